"""The marketplace's events, as ``contracts/ModelMarketplace.vy`` logs them."""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.chain.event import Event
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import Conditions, MarketPhase, TaskRules

__all__ = [
    "Armed",
    "Burnt",
    "Collected",
    "Disclosed",
    "Drawn",
    "Entered",
    "Granted",
    "Judged",
    "Launched",
    "Left",
    "Registered",
    "ReportSealed",
    "Reported",
    "Seated",
    "Shared",
    "StruckOff",
    "SubmissionVoided",
    "Submitted",
    "Withdrawn",
]


@dataclass(frozen=True, slots=True)
class Launched(Event):
    """A task was launched, and its deposit paid."""

    task: int
    initiator: str
    description: bytes
    rules: TaskRules
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Collected(Event):
    """What was left of a task's deposit became its initiator's credit."""

    task: int
    initiator: str
    amount: int  #: wei, from now on the initiator's to withdraw


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """A verifier came."""

    verifier: str
    number: int
    public_key: bytes  #: 64 bytes, x ‖ y; the contract has checked that it is the address's


@dataclass(frozen=True, slots=True)
class Entered(Event):
    """A verifier entered a task's pool."""

    task: int
    verifier: str
    bond: int  #: wei


@dataclass(frozen=True, slots=True)
class Left(Event):
    """A verifier left a task's pool."""

    task: int
    verifier: str


@dataclass(frozen=True, slots=True)
class StruckOff(Event):
    """A verifier let a panel wait in vain, and is not in the task's pool any more."""

    verifier: str
    submission: bytes
    forfeited: int  #: wei


@dataclass(frozen=True, slots=True)
class Burnt(Event):
    """What was forfeited over a submission is gone for good."""

    submission: bytes
    amount: int  #: wei


@dataclass(frozen=True, slots=True)
class Submitted(Event):
    """A model was submitted, and is to be judged."""

    task: int
    submission: bytes
    contributor: str
    key_commitment: bytes
    number: int  #: the how manieth of its task, from 1


@dataclass(frozen=True, slots=True)
class Armed(Event):
    """A draw will be due once block ``anchor`` is mined."""

    submission: bytes
    anchor: int
    redraws: int


@dataclass(frozen=True, slots=True)
class Drawn(Event):
    """Seats were filled; the panel is complete if the phase is no longer ``DRAW``."""

    submission: bytes
    seed: bytes
    seats: int  #: how many


@dataclass(frozen=True, slots=True)
class Seated(Event):
    """A verifier was drawn."""

    submission: bytes
    verifier: str
    task: int
    seat: int


@dataclass(frozen=True, slots=True)
class Granted(Event):
    """The initiator passed on what the panel measures by."""

    submission: bytes
    opening: bytes  #: digest of the blob that opens, to this panel, samples and bought models


@dataclass(frozen=True, slots=True)
class Shared(Event):
    """The contributor passed on its keys: the panel can begin."""

    submission: bytes
    keys: bytes  #: digest of the blob that opens, to this panel, the submitted model


@dataclass(frozen=True, slots=True)
class ReportSealed(Event):
    """A verifier has its report ready."""

    submission: bytes
    verifier: str
    seal: bytes


@dataclass(frozen=True, slots=True)
class Reported(Event):
    """A verifier reported, and was paid its fee."""

    submission: bytes
    verifier: str
    fitness: int  #: parts per million
    reason: Reason


@dataclass(frozen=True, slots=True)
class Judged(Event):
    """The verdict of a panel."""

    submission: bytes
    accepted: bool
    above: int  #: how many reports are above MAFR
    junk: int  #: how many say that it is no model, or a copy
    ungranted: int  #: how many say that the initiator did not grant what it had promised
    reports: int  #: how many there are


@dataclass(frozen=True, slots=True)
class Disclosed(Event):
    """The secret was published, and the contributor was paid the reward."""

    submission: bytes
    contributor: str
    key: bytes  #: the secret


@dataclass(frozen=True, slots=True)
class SubmissionVoided(Event):
    """A submission came to nothing."""

    submission: bytes
    cause: MarketPhase  #: the phase that failed


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """Somebody took its credit."""

    owner: str
    amount: int
