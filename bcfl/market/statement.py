"""What a task came to, from its events alone: every wei from deposit to payment, panel by panel.

Plain values, for a task's folder, for its audit, which computes them anew, and for its report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from bcfl.chain.event import Event
from bcfl.market.contract.events import (
    Armed,
    Burnt,
    Collected,
    Disclosed,
    Entered,
    Judged,
    Launched,
    Left,
    Reported,
    ReportSealed,
    Seated,
    StruckOff,
    SubmissionVoided,
    Submitted,
)
from bcfl.market.spec.terms import MarketPhase, deposit


@dataclass(slots=True)
class Seat:
    """What became of one verifier on one panel; amounts in wei."""

    verifier: str
    seat: int
    sealed: bool = False
    fitness: int | None = None  #: parts per million, as reported
    reason: str = ""  #: of the report; empty where there is none
    fee: int = 0
    forfeited: int = 0  #: of its bond, by vanishing


@dataclass(slots=True)
class Panel:
    """What became of one submission; amounts in wei."""

    number: int  #: the how manieth of its task, from 1
    submission: str  #: hex digest
    contributor: str
    submitted: int  #: chain time, seconds
    stake: int
    outcome: str = "pending"
    cause: str = ""  #: the phase in which a void one failed
    above: int = 0  #: reports above MAFR
    reports: int = 0
    redraws: int = 0
    reward: int = 0
    fees: int = 0
    burnt: int = 0  #: stake, bonds, and what the initiator lost by not granting
    ended: int = 0  #: chain time of the outcome, seconds; 0 while there is none
    verifiers: list[Seat] = field(default_factory=list)

    def seat_of(self, verifier: str) -> Seat:
        """Of one who sits, or sat, here; the newest of them."""
        return next(each for each in reversed(self.verifiers) if each.verifier == verifier)


@dataclass(slots=True)
class Purse:
    """What one account put into a task and had out of it, in wei."""

    put_in: int = 0
    back: int = 0
    earned: int = 0
    forfeited: int = 0


def statement_of(events: Iterable[Event], task: int) -> dict[str, Any]:
    """The task's statement, JSON values; empty where it was never launched.

    Returns
    -------
    dict
        ``terms`` (the launch, amounts in wei), ``deposit``, ``rewards``, ``fees``, ``burnt``
        (of the deposit), ``returned``, ``left`` (still on the contract), ``panels`` and, by
        address, ``purses``.
    """
    reader = _Reader(task)
    for event in events:
        reader.take(event)
    return reader.statement()


def transactions_of(events: Iterable[Event], submission: bytes) -> dict[str, str]:
    """Number and name of each transaction about a submission, in order.

    It is called by its first event, a draw not by its seats: the last report's is also the
    verdict's.
    """
    named: dict[str, str] = {}
    for event in events:
        if getattr(event, "submission", None) == submission and not isinstance(event, Seated):
            sealed = isinstance(event, ReportSealed)
            name = "sealed" if sealed else type(event).__name__.lower()
            named.setdefault(event.transaction, name)
    return named


class _Reader:
    def __init__(self, task: int) -> None:
        self._task = task
        self._launched: Launched | None = None
        self._panels: dict[bytes, Panel] = {}
        self._purses: dict[str, Purse] = {}
        self._burnt: dict[bytes, int] = {}  # beside bonds
        self._bonds: dict[str, int] = {}
        self._spent = dict.fromkeys(("rewards", "fees", "burnt", "returned"), 0)

    def take(self, event: Event) -> None:
        if getattr(event, "task", self._task) != self._task:
            return
        match event:
            case Launched():
                self._launched = event
                self._purse(event.initiator).put_in += deposit(event.rules, event.conditions)
            case Entered():
                self._bonds[event.verifier] = event.bond
                self._purse(event.verifier).put_in += event.bond
            case Left():
                self._purse(event.verifier).back += self._bonds.pop(event.verifier, 0)
            case Collected():
                self._spent["returned"] += event.amount
                self._purse(event.initiator).back += event.amount
            case Submitted() if self._launched is not None:
                stake = self._launched.conditions.stake
                self._panels[event.submission] = Panel(
                    event.number,
                    event.submission.hex(),
                    event.contributor,
                    event.timestamp,
                    stake,
                )
                self._burnt[event.submission] = 0
                self._purse(event.contributor).put_in += stake
            case _:
                digest = getattr(event, "submission", None)
                if digest in self._panels and self._launched is not None:
                    self._judge(event, self._panels[digest], self._launched)

    def _judge(self, event: Event, panel: Panel, launched: Launched) -> None:
        match event:
            case Armed():
                panel.redraws = event.redraws
            case Seated():
                panel.verifiers.append(Seat(event.verifier, event.seat))
            case ReportSealed():
                panel.seat_of(event.verifier).sealed = True
            case Reported():
                seat = panel.seat_of(event.verifier)
                seat.fitness, seat.reason = event.fitness, event.reason.name.lower()
                seat.fee = launched.rules.fee
                panel.fees += seat.fee
                self._spent["fees"] += seat.fee
                self._purse(event.verifier).earned += seat.fee
            case StruckOff():
                panel.seat_of(event.verifier).forfeited = event.forfeited
                self._purse(event.verifier).forfeited += event.forfeited
                self._bonds.pop(event.verifier, None)
                self._burnt[event.submission] -= event.forfeited
            case Burnt():
                panel.burnt += event.amount
                self._burnt[event.submission] += event.amount
            case Judged():
                panel.above, panel.reports = event.above, event.reports
                if not event.accepted:
                    junk = 2 * event.junk > event.reports
                    self._end(panel, event, MarketPhase.JUNK if junk else MarketPhase.REJECTED)
            case Disclosed():
                panel.reward = launched.rules.reward
                self._spent["rewards"] += panel.reward
                self._purse(event.contributor).earned += panel.reward
                self._end(panel, event, MarketPhase.PAID)
            case SubmissionVoided():
                panel.cause = event.cause.name.lower()
                self._end(panel, event, MarketPhase.VOID)

    @staticmethod
    def _end(panel: Panel, event: Event, outcome: MarketPhase) -> None:
        panel.outcome, panel.ended = outcome.name.lower(), event.timestamp

    def _purse(self, address: str) -> Purse:
        return self._purses.setdefault(address, Purse())

    def statement(self) -> dict[str, Any]:
        if (launched := self._launched) is None:
            return {}
        # whose money was burnt beside bonds follows from the outcome, which may be logged later
        for digest, panel in self._panels.items():
            if panel.outcome == "pending":
                continue
            ungranted = panel.cause == MarketPhase.GRANT.name.lower()
            loser = self._purse(launched.initiator if ungranted else panel.contributor)
            loser.forfeited += (lost := self._burnt[digest])
            if ungranted:
                self._spent["burnt"] += lost
            if ungranted or not lost:
                self._purse(panel.contributor).back += panel.stake
        whole = deposit(launched.rules, launched.conditions)
        return {
            "task": self._task,
            "initiator": launched.initiator,
            "launched": launched.timestamp,
            "description": launched.description.hex(),
            "terms": {**asdict(launched.rules), **asdict(launched.conditions)},
            "deposit": whole,
            **self._spent,
            "left": whole - sum(self._spent.values()),
            "panels": [asdict(panel) for panel in self._panels.values()],
            "purses": {address: asdict(purse) for address, purse in self._purses.items()},
        }
