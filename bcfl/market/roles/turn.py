"""One turn of a role: look at the chain, do what is due, say when to look again.

A role remembers nothing between two turns that it cannot find again on the chain, in the blob
store or in its own folder. So it may be killed at any moment, and its next turn goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from bcfl.core.errors import BcflError, ContractReverted, NodeUnreachable
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.roles.access import Session
from bcfl.market.roles.history import MarketHistory, SubmissionLog, read_history, state_of
from bcfl.market.spec.draw import HORIZON
from bcfl.market.spec.terms import Submission


@dataclass(frozen=True, slots=True)
class Turn:
    """What a role did, and when it has something to do again."""

    actions: tuple[str, ...] = ()  #: for a person
    wake: int | None = None  #: chain time, seconds, at which something is due that waits for nobody
    finished: bool = False  #: it will never have anything to do again
    troubles: tuple[str, ...] = ()  #: for a person: what could not be done, this time


class Role(ABC):
    """One account's part in a market, a turn at a time.

    Parameters
    ----------
    session : Session
        Its ledger sends from its account.
    """

    def __init__(self, session: Session) -> None:
        self._ledger, self._store = session.ledger, session.store
        self._account = session.account
        self._most_bond, self._most_stake = session.most_bond_wei, session.most_stake_wei

    @abstractmethod
    def turn(self) -> Turn:
        """Do what is due now.

        What goes wrong with one submission leaves the others alone: it is among the troubles.
        Raises LedgerError where the chain cannot be read at all.
        """

    def withdraw(self) -> int:
        """Take what the market owes the account; how many wei."""
        credit = self._ledger.account_of(self._account.address).credit
        if credit:
            self._ledger.withdraw()
        return credit


@dataclass(frozen=True, slots=True)
class Pending:
    """A submission, and the state in which it was found."""

    ledger: MarketLedger
    log: SubmissionLog
    found: Submission

    def attempt(self, action: str, act: Callable[..., object], *arguments: object) -> str:
        """Call ``act`` with the submission's digest and ``arguments``; ``action``, or nothing.

        Nothing where it is not due any more: somebody else was quicker, a transaction of before
        this process was killed has been mined, a deadline has passed while it was on its way.

        Raises
        ------
        ContractReverted
            The contract refused it, although it is in time and nothing has changed.
        """
        try:
            act(self.log.digest, *arguments)
        except ContractReverted:
            in_time = self.ledger.now() <= self.found.deadline
            if self.ledger.submission(self.log.digest) == self.found and in_time:
                raise
            return ""
        return action

    def draw(self, log: TurnLog) -> str:
        """Draw the panel, or settle that nobody did; nothing where neither is due.

        Anyone may, and everybody does: a draw that only its contributor makes is one that it can
        let go.
        """
        if self.found.short and self.ledger.entered(self.log.task) < len(self.found.panel):
            return ""
        age = self.ledger.blocks_since_anchor(self.found)
        if age < 1:
            log.wake = earliest(log.wake, self.ledger.now())  # with the next block
            return ""
        if age > HORIZON and not self.found.short:
            return self.attempt("settled a draw that nobody had made", self.ledger.settle)
        return self.attempt("drew the panel", self.ledger.draw)

    def reread(self) -> tuple[MarketHistory, SubmissionLog]:
        """The history anew, and the submission's own.

        To be read after the state that one acts on: a history of before may lack who has sat
        down on the panel since, or the keys that were shared with it.
        """
        history = read_history(self.ledger)
        return history, history.submissions[self.log.digest]


@dataclass(slots=True)
class TurnLog:
    """What becomes of a turn, while it is taken."""

    ledger: MarketLedger
    actions: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    wake: int | None = None

    def act(self, submitted: SubmissionLog, act: Callable[[Pending], str]) -> None:
        """Have what is due about a submission done; if nothing is, its deadline is next.

        Whatever goes wrong is this submission's trouble, and leaves the others alone; but for
        NodeUnreachable, which would be the same with them.

        Parameters
        ----------
        act : callable
            Says what it has done, or nothing. Not called past the deadline: then the
            consequences are drawn, as anyone may.
        """
        found = state_of(self.ledger, submitted)
        if found.phase.is_final:
            return
        pending = Pending(self.ledger, submitted, found)
        action = ""
        try:
            if self.ledger.now() > found.deadline:
                action = pending.attempt("settled what was overdue", self.ledger.settle)
            else:
                action = act(pending)
        except NodeUnreachable:
            raise
        except BcflError as error:
            self.troubles.append(f"{error} ({short_name(submitted.digest)})")
        if action:
            self.actions.append(f"{action} ({short_name(submitted.digest)})")
        else:
            self.wake = earliest(self.wake, found.deadline + 1)

    def turn(self, *, finished: bool = False) -> Turn:
        """All of it."""
        return Turn(tuple(self.actions), self.wake, finished, tuple(self.troubles))


def earliest(one: int | None, other: int | None) -> int | None:
    """The earlier of two times, of which either may lack."""
    return min((time for time in (one, other) if time is not None), default=None)


def short_name(digest: bytes) -> str:
    """A submission's name for a person: the digest's first eight digits."""
    return digest.hex()[:8]
