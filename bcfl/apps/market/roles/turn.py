"""One turn of a role: look at the chain, do what is due, say when to look again.

A role remembers nothing between two turns that it cannot find again on the chain, in the blob
store or in its own folder. So it may be killed at any moment, and its next turn goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bcfl.core.errors import ContractReverted
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Role", "Turn", "attempt", "earliest", "short"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a role did, and when it has something to do again."""

    deeds: tuple[str, ...] = ()  #: for a person
    wake: int | None = None  #: chain time, seconds, at which something is due that waits for nobody
    finished: bool = False  #: it will never have anything to do again


class Role(Protocol):
    """Whoever takes turns."""

    def turn(self) -> Turn:
        """Do what is due now. Raises BcflError where it cannot."""


def earliest(one: int | None, other: int | None) -> int | None:
    """The earlier of two times, of which either may lack."""
    return min((time for time in (one, other) if time is not None), default=None)


def attempt(ledger: MarketLedger, submission: bytes, act: Callable[[], object], deed: str) -> str:
    """Send a transaction; the deed, or nothing where somebody else, or the deadline, was quicker.

    Raises
    ------
    ContractReverted
        The contract refused it, although it is in time and nothing has changed meanwhile.
    """
    before = ledger.submission(submission)
    assert before is not None
    try:
        act()
    except ContractReverted:
        if ledger.submission(submission) == before and ledger.now() <= before.deadline:
            raise
        return ""
    return deed


def short(digest: bytes) -> str:
    """A submission's name for a person: the digest's first eight digits."""
    return digest.hex()[:8]
