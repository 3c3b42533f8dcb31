"""What ``coalition`` and ``referee`` rate: sets of members, as the step that each would make.

PROTOCOL, System A, *Rules* **[beyond]**. A member's own numbers decide what it proposes, so that
nothing here needs to come out the same on two machines; what a set stands for does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.aggregation import moved
from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import NobodyLeft

#: The loss of each of these parameter vectors, shape (n,); they may come one at a time. Smaller
#: is better; NaN is the worst there is.
Losses: TypeAlias = Callable[[Iterable[NDArray[Any]]], Sequence[float]]

#: How far along a single delta a member looks to put them in order. A whole one is the step of a
#: round with nobody else in it, on which losses say little of what it does among others.
SINGLE = 0.25


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ballots of a round come to."""

    chosen: tuple[int, ...]  #: the winning proposals, by proposer, ascending; none: void
    scores: dict[int, int]  #: by proposer; the larger, the better


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """A round's deltas, and what may be made of them."""

    base: NDArray[Any]  #: θ_g, shape (n,)
    deltas: Mapping[int, Delta]  #: by member, clipped
    learning_rate: float = 1.0  #: η, the server's

    def step(self, members: Iterable[int]) -> NDArray[Any]:
        """θ_g + η·pair(members), shape (n,): the model that this set would make."""
        chosen = {member: self.deltas[member] for member in members}
        return moved(self.base, [chosen], "pair", self.learning_rate)

    def single(self, member: int) -> NDArray[Any]:
        """θ_g + Δθ_j/4, shape (n,)."""
        return moved(self.base, [{member: self.deltas[member]}], "sum", SINGLE)

    def in_order(self, losses: Losses) -> list[int]:
        """All members, the smallest loss of a single delta first; of equal ones the lower index.

        Raises
        ------
        NobodyLeft
            There are no deltas.
        """
        members = sorted(self.deltas)
        if not members:
            raise NobodyLeft("expected at least one delta to propose; found none")
        found = ordered(losses(map(self.single, members)))
        return [members[at] for at in np.argsort(found, kind="stable")]

    def best_prefix(self, order: Sequence[int], losses: Losses, least: int) -> frozenset[int]:
        """Of the first ``least`` and more of ``order``, those whose step has the smallest loss.

        Of equal ones the fewest. Where there is no loss of any of them, as deltas that are harmless
        alone break the model together, those are left out that break what stands before them.

        Raises
        ------
        NobodyLeft
            They are fewer than ``least``.
        """
        if len(order) < least:
            raise NobodyLeft(
                f"expected at least {least} deltas to propose a set of; found {len(order)}"
            )
        sizes = range(max(least, 1), len(order) + 1)
        found = ordered(losses(self.step(order[:size]) for size in sizes))
        if all(map(math.isinf, found)):
            sound = self._sound(order, losses)
            if least <= len(sound) < len(order):
                return self.best_prefix(sound, losses, least)
        return frozenset(order[: sizes[int(np.argmin(found))]])

    def _sound(self, order: Sequence[int], losses: Losses) -> list[int]:
        """Without whom there is no loss of, behind those before that there is one of."""
        sound: list[int] = []
        for member in order:
            if not math.isinf(ordered(losses([self.step([*sound, member])]))[0]):
                sound.append(member)
        return sound


def half(committed: int) -> int:
    """⌈c/2⌉."""
    return -(-committed // 2)


def ordered(losses: Sequence[float]) -> list[float]:
    """The losses, with infinity for NaN, so that they can be compared."""
    return [math.inf if math.isnan(loss) else loss for loss in losses]


def eligible(proposals: Iterable[int], barred: int) -> frozenset[int]:
    """The proposals, by proposer, that can win: those that no cheat has made.

    Proposals of others that hold the cheat stand as they were rated. Were they void, a member that
    all think well of could bring theirs down together. Were it struck out of them, it could have
    vouched for a poisoned delta by one of its own that undoes it, and go when the ballots are in.

    Parameters
    ----------
    proposals : iterable of int
        Who proposed.
    barred : int
        Bit field: who was shown to have signed two deltas for one round.
    """
    return frozenset(proposer for proposer in proposals if not barred >> proposer & 1)


def takes_part(candidates: int, proposals: int, ballots: int, committed: int, quorum: int) -> bool:
    """Whether so many are enough for a round to count.

    Parameters
    ----------
    candidates : int
        How many proposals can win.
    proposals, ballots, committed : int
        How many members proposed; whose ballots count; who committed.
    quorum : int
        The rules'.
    """
    enough = min(candidates, ballots) >= quorum
    return enough and 2 * min(proposals, ballots) > committed
