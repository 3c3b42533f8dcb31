"""What the chain says has happened: all that the roles know of one another.

Nothing is remembered beside it; a role that was killed reads it again and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bcfl.chain.event import Event
from bcfl.core.errors import ConfigurationError
from bcfl.market.contract.events import (
    Disclosed,
    Granted,
    Judged,
    Launched,
    Registered,
    Reported,
    Shared,
    Submitted,
    Voided,
)
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.spec.terms import MarketPhase, Submission, Task

__all__ = ["History", "Story", "expect_task", "read_history", "read_story", "state_of"]


@dataclass(slots=True)
class Story:
    """One submission: what was logged of it so far."""

    submission: bytes  #: its digest, which is that of the offer
    task: int
    contributor: str
    key_commitment: bytes
    bought_before: tuple[bytes, ...]  #: models of its task that it has to join, in buying order
    reports: dict[str, Reported]  #: by verifier
    models: bytes | None = None  #: digest of the initiator's newest grant
    keys: bytes | None = None  #: digest of the contributor's newest keys for the panel
    secret: bytes | None = None  #: disclosed, and so paid for
    outcome: MarketPhase | None = None  #: PAID, REJECTED or VOID; None while there is none
    cause: MarketPhase = MarketPhase.NONE  #: the phase in which a void one failed


@dataclass(frozen=True, slots=True)
class History:
    """The market's tasks and submissions, in the chain's order."""

    launched: Mapping[int, Launched]
    stories: Mapping[bytes, Story]
    bought: Mapping[int, Sequence[bytes]]  #: by task, in buying order
    public_keys: Mapping[str, bytes]  #: of everybody who was ever a verifier, 64 bytes each

    def of_task(self, task: int) -> list[Story]:
        """The submissions to one task."""
        return [story for story in self.stories.values() if story.task == task]

    def pending(self) -> list[Story]:
        """The submissions without an outcome."""
        return [story for story in self.stories.values() if story.outcome is None]


def read_history(ledger: MarketLedger) -> History:
    """Put the events of a market together. Raises LedgerError as ``MarketLedger.events``."""
    launched: dict[int, Launched] = {}
    stories: dict[bytes, Story] = {}
    bought: dict[int, list[bytes]] = {}
    public_keys: dict[str, bytes] = {}
    for event in ledger.events():
        match event:
            case Launched(task=task):
                launched[task] = event
                bought[task] = []
            case Registered(verifier=verifier, public_key=public_key):
                public_keys[verifier] = public_key
            case Submitted(task=task, submission=submission):
                stories[submission] = Story(
                    submission,
                    task,
                    event.contributor,
                    event.key_commitment,
                    tuple(bought[task]),
                    {},
                )
            case Disclosed(submission=submission):
                bought[stories[submission].task].append(submission)
                _tell(stories[submission], event)
            case Granted() | Shared() | Reported() | Judged() | Voided():
                _tell(stories[event.submission], event)
    return History(launched, stories, bought, public_keys)


def _tell(story: Story, event: Event) -> None:
    match event:
        case Granted(models=models):
            story.models = models
        case Shared(keys=keys):
            story.keys = keys
        case Reported(verifier=verifier):
            story.reports[verifier] = event
        case Judged(accepted=False):
            story.outcome = MarketPhase.REJECTED
        case Disclosed(key=secret):
            story.secret, story.outcome = secret, MarketPhase.PAID
        case Voided(cause=cause):
            story.outcome, story.cause = MarketPhase.VOID, cause


def expect_task(ledger: MarketLedger, task: int) -> Task:
    """The task of that number; raises ConfigurationError where there is none."""
    found = ledger.task(task)
    if found is None:
        raise ConfigurationError(
            f"this market has {ledger.tasks()} tasks, numbered from 1; found {task}"
        )
    return found


def read_story(ledger: MarketLedger, story: Story) -> tuple[History, Story]:
    """The history anew, and a submission's own.

    To be read after the state that one acts on: a history of before may lack who has sat down
    on the panel since, or the keys that were shared with it.
    """
    history = read_history(ledger)
    return history, history.stories[story.submission]


def state_of(ledger: MarketLedger, story: Story) -> Submission:
    """How a submission stands now, time included."""
    found = ledger.submission(story.submission)
    assert found is not None, "an event has named it"
    return found
