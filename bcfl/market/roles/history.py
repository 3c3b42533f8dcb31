"""What the chain says has happened: all that the roles know of one another.

Nothing is remembered beside it; a role that was killed reads it again and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bcfl.chain.event import Event
from bcfl.core.errors import ConfigurationError
from bcfl.market.contract.events import (
    Armed,
    Disclosed,
    Drawn,
    Entered,
    Granted,
    Judged,
    Launched,
    Left,
    Registered,
    Reported,
    Seated,
    Shared,
    StruckOff,
    SubmissionVoided,
    Submitted,
)
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.spec.terms import MarketPhase, Submission, Task


@dataclass(slots=True)
class SubmissionLog:
    """One submission: what was logged of it so far."""

    digest: bytes  #: the offer's
    task: int
    number: int  #: the how manieth of its task, from 1
    contributor: str
    key_commitment: bytes
    bought_before: tuple[bytes, ...]  #: models of its task that it has to join, in buying order
    reports: dict[str, Reported] = field(default_factory=dict)  #: by verifier
    drawing: bool = True  #: a draw is due, or will be
    seated: set[str] = field(default_factory=set)  #: who was ever drawn for it
    opening: bytes | None = None  #: digest of the initiator's newest grant
    keys: bytes | None = None  #: digest of the contributor's newest keys for the panel
    secret: bytes | None = None  #: disclosed, and so paid for
    outcome: MarketPhase | None = None  #: a final phase; None while there is none
    cause: MarketPhase = MarketPhase.NONE  #: the phase in which a void one failed


@dataclass(frozen=True, slots=True)
class MarketHistory:
    """The market's tasks and submissions, in the chain's order."""

    launched: Mapping[int, Launched]
    submissions: Mapping[bytes, SubmissionLog]
    bought: Mapping[int, Sequence[bytes]]  #: by task, in buying order
    public_keys: Mapping[str, bytes]  #: of everybody who ever registered, 64 bytes each
    pools: Mapping[int, set[str]]  #: by task: who may be drawn now

    def of_task(self, task: int) -> list[SubmissionLog]:
        """The submissions to one task."""
        return [submitted for submitted in self.submissions.values() if submitted.task == task]

    def pending(self, task: int | None = None) -> list[SubmissionLog]:
        """The submissions without an outcome, of one task or of all."""
        known = self.submissions.values() if task is None else self.of_task(task)
        return [submitted for submitted in known if submitted.outcome is None]


def read_history(ledger: MarketLedger) -> MarketHistory:
    """What a market's events tell. Raises LedgerError as ``MarketLedger.events``."""
    return history_of(ledger.events())


def history_of(events: Iterable[Event]) -> MarketHistory:
    """Put the events of a market together."""
    launched: dict[int, Launched] = {}
    submissions: dict[bytes, SubmissionLog] = {}
    bought: dict[int, list[bytes]] = {}
    public_keys: dict[str, bytes] = {}
    pools: dict[int, set[str]] = {}
    for event in events:
        match event:
            case Launched(task=task):
                launched[task] = event
                bought[task], pools[task] = [], set()
            case Entered(task=task, verifier=verifier):
                pools[task].add(verifier)
            case Left(task=task, verifier=verifier):
                pools[task].discard(verifier)
            case StruckOff(submission=submission, verifier=verifier):
                pools[submissions[submission].task].discard(verifier)
            case Registered(verifier=verifier, public_key=public_key):
                public_keys[verifier] = public_key
            case Submitted(task=task, submission=submission):
                submissions[submission] = SubmissionLog(
                    submission,
                    task,
                    event.number,
                    event.contributor,
                    event.key_commitment,
                    tuple(bought[task]),
                )
            case Disclosed(submission=submission):
                bought[submissions[submission].task].append(submission)
                _tell(submissions[submission], event)
            case (
                Armed()
                | Drawn()
                | Seated()
                | Granted()
                | Shared()
                | Reported()
                | Judged()
                | SubmissionVoided()
            ):
                _tell(submissions[event.submission], event)
    return MarketHistory(launched, submissions, bought, public_keys, pools)


def _tell(submitted: SubmissionLog, event: Event) -> None:
    match event:
        case Armed() | Drawn():
            submitted.drawing = isinstance(event, Armed)
        case Seated(verifier=verifier):
            submitted.seated.add(verifier)
        case Granted(opening=opening):
            submitted.opening = opening
        case Shared(keys=keys):
            submitted.keys = keys
        case Reported(verifier=verifier):
            submitted.reports[verifier] = event
        case Judged(accepted=False):
            # burnt for want of a grant, it is void: that is logged after the verdict
            junk = 2 * event.junk > event.reports
            submitted.outcome = MarketPhase.JUNK if junk else MarketPhase.REJECTED
        case Disclosed(key=secret):
            submitted.secret, submitted.outcome = secret, MarketPhase.PAID
        case SubmissionVoided(cause=cause):
            submitted.outcome, submitted.cause = MarketPhase.VOID, cause


def expect_task(ledger: MarketLedger, task: int) -> Task:
    """The task of that number; raises ConfigurationError where there is none."""
    found = ledger.task(task)
    if found is None:
        raise ConfigurationError(
            f"this market has {ledger.tasks()} tasks, numbered from 1; found {task}"
        )
    return found


def state_of(ledger: MarketLedger, submitted: SubmissionLog) -> Submission:
    """How a submission stands now, time included."""
    found = ledger.submission(submitted.digest)
    assert found is not None, "an event has named it"
    return found
