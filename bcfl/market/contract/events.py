"""The marketplace's events, as ``contracts/ModelMarketplace.vy`` logs them."""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.chain.event import Event
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import Conditions, MarketPhase, Rules

__all__ = [
    "Armed",
    "Collected",
    "Disclosed",
    "Drawn",
    "Granted",
    "Judged",
    "Launched",
    "Left",
    "Registered",
    "Reported",
    "Sealed",
    "Shared",
    "StruckOff",
    "Submitted",
    "Voided",
    "Withdrawn",
]


@dataclass(frozen=True, slots=True)
class Launched(Event):
    """A task was launched, and its deposit paid."""

    task: int
    initiator: str
    description: bytes
    rules: Rules
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
class Left(Event):
    """A verifier went."""

    verifier: str


@dataclass(frozen=True, slots=True)
class StruckOff(Event):
    """A verifier let a panel wait in vain, and is not registered any more."""

    verifier: str
    submission: bytes
    forfeited: int  #: wei


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
    verifiers: tuple[str, ...]  #: for the seats that were vacant, lowest first


@dataclass(frozen=True, slots=True)
class Granted(Event):
    """The initiator passed on what was bought before."""

    submission: bytes
    models: bytes  #: digest of the blob that opens, to this panel, the models bought before


@dataclass(frozen=True, slots=True)
class Shared(Event):
    """The contributor passed on its keys: the panel can begin."""

    submission: bytes
    keys: bytes  #: digest of the blob that opens, to this panel, the submitted model


@dataclass(frozen=True, slots=True)
class Sealed(Event):
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
    reports: int  #: how many there are


@dataclass(frozen=True, slots=True)
class Disclosed(Event):
    """The secret was published, and the contributor was paid the reward."""

    submission: bytes
    contributor: str
    key: bytes  #: the secret


@dataclass(frozen=True, slots=True)
class Voided(Event):
    """A submission came to nothing."""

    submission: bytes
    cause: MarketPhase  #: the phase that failed


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """Somebody took its credit."""

    owner: str
    amount: int
