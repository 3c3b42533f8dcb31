"""One turn of a role: look at the chain, do what is due, say when to look again.

A role remembers nothing between two turns that it cannot find again on the chain, in the blob
store or in its own folder. So it may be killed at any moment, and its next turn goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bcfl.core.errors import BcflError, ContractReverted, NodeUnreachable
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.spec.terms import Submission

__all__ = ["Diary", "Role", "Turn", "attempt", "earliest", "settle", "short"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a role did, and when it has something to do again."""

    deeds: tuple[str, ...] = ()  #: for a person
    wake: int | None = None  #: chain time, seconds, at which something is due that waits for nobody
    finished: bool = False  #: it will never have anything to do again
    troubles: tuple[str, ...] = ()  #: for a person: what could not be done, this time


class Role(Protocol):
    """Whoever takes turns."""

    def turn(self) -> Turn:
        """Do what is due now.

        What goes wrong with one submission leaves the others alone: it is among the troubles.
        Raises LedgerError where the chain cannot be read at all.
        """


@dataclass(slots=True)
class Diary:
    """What becomes of a turn, while it is taken."""

    deeds: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    wake: int | None = None

    @contextmanager
    def about(self, submission: bytes) -> Iterator[None]:
        """Inside, whatever goes wrong is this submission's trouble, and nobody else's."""
        try:
            yield
        except NodeUnreachable:
            raise  # it would be the same with the others
        except BcflError as error:
            self.troubles.append(f"{error} ({short(submission)})")

    def act(self, submission: bytes, found: Submission, act: Callable[[], str]) -> None:
        """Have something done about a submission; if nothing was, its deadline is what is next."""
        deed = ""
        with self.about(submission):
            deed = act()
        if deed:
            self.deeds.append(f"{deed} ({short(submission)})")
        elif not found.phase.is_final:
            self.wake = earliest(self.wake, found.deadline + 1)

    def turn(self, *, finished: bool = False) -> Turn:
        """All of it."""
        return Turn(tuple(self.deeds), self.wake, finished, tuple(self.troubles))


def earliest(one: int | None, other: int | None) -> int | None:
    """The earlier of two times, of which either may lack."""
    return min((time for time in (one, other) if time is not None), default=None)


def attempt(
    ledger: MarketLedger,
    submission: bytes,
    found: Submission,
    act: Callable[[], object],
    deed: str,
) -> str:
    """Do what was due when the submission was ``found`` so; the deed, or nothing.

    Nothing where it is not due any more: somebody else was quicker, a transaction of before
    this process was killed has been mined, a deadline has passed while it was on its way.

    Raises
    ------
    ContractReverted
        The contract refused it, although it is in time and nothing has changed.
    """
    try:
        act()
    except ContractReverted:
        if ledger.submission(submission) == found and ledger.now() <= found.deadline:
            raise
        return ""
    return deed


def settle(ledger: MarketLedger, submission: bytes, found: Submission) -> str:
    """Draw the consequences of a deadline that has passed, as anyone may; see :func:`attempt`."""
    act = partial(ledger.settle, submission)
    return attempt(ledger, submission, found, act, "settled what was overdue")


def short(digest: bytes) -> str:
    """A submission's name for a person: the digest's first eight digits."""
    return digest.hex()[:8]
