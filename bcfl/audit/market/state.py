"""A marketplace's tasks and submissions, as the machine keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bcfl.chain.event import Event
from bcfl.market.contract import events as logged
from bcfl.market.spec.draw import HORIZON
from bcfl.market.spec.pool import Pool
from bcfl.market.spec.terms import MarketPhase, Task

#: Phases in which a submission waits for somebody before its panel can seal.
WAITING: Final = (MarketPhase.DRAW, MarketPhase.GRANT, MarketPhase.SHARE)


class Impossible(Exception):
    """The contract's code cannot have done that."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected, self.found = expected, found


@dataclass(slots=True)
class TaskState:
    """One task."""

    launched: logged.Launched
    free: int
    bond: int
    opened: int = 0
    taken: int = 0
    pending: int = 0
    paid: int = 0
    drawing: int = 0
    pool: Pool = field(default_factory=Pool)

    def task(self) -> Task:
        """As the contract's view says it."""
        told = self.launched
        return Task(
            told.initiator, told.description, told.rules, told.conditions,
            self.free, self.opened, self.taken, self.pending, self.paid, self.drawing,
        )  # fmt: skip


@dataclass(slots=True)
class SubmissionState:
    """One submission; bit fields are over the seats."""

    submitted: logged.Submitted
    task: TaskState
    panel: list[str | None]
    phase: MarketPhase = MarketPhase.NONE
    cause: MarketPhase = MarketPhase.NONE
    redraws: int = 0
    short: bool = False
    deadline: int | None = 0  #: None: it began with a settlement that no event tells of
    anchor: int = 0
    first: int = 0
    length: int = 0
    seals: dict[str, bytes] = field(default_factory=dict)  #: not yet revealed, by verifier
    sealed: int = 0
    revealed: int = 0
    above: int = 0
    junk: int = 0
    ungranted: int = 0

    @property
    def digest(self) -> bytes:
        """Its name."""
        return self.submitted.submission

    @property
    def reserved(self) -> int:
        """Wei set aside for it, beside its stake."""
        if not MarketPhase.DRAW <= self.phase <= MarketPhase.DISCLOSE:
            return 0
        rules = self.task.launched.rules
        if self.phase is MarketPhase.DISCLOSE:
            return rules.reward
        return rules.reward + (rules.seats - self.revealed.bit_count()) * rules.fee

    def lapsed(self, event: Event) -> bool:
        """Whether what its phase waits for can be done no more."""
        unseen = event.block > self.anchor + HORIZON
        if self.phase is MarketPhase.DRAW and not self.short and unseen:
            return True
        return self.deadline is None or event.timestamp > self.deadline

    def in_time(self, event: Event) -> bool:
        """Whether it can be done still, as far as is known."""
        return self.deadline is None or event.timestamp <= self.deadline
