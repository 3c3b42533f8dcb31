"""What an attack may do, hook by hook. An attack overrides the hooks that it attacks.

To add one: one file like ``sign_flip.py`` and one YAML in ``conf/attack/`` that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import floor, inf
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import expect
from bcfl.experiment.clients.client_data import ClientData

#: What malicious reviewers say: the truth; accomplices first and the honest in reverse;
#: accomplices alone; or the truth, but accomplices just above the honest that would just win.
Lie: TypeAlias = Literal["honest", "front", "leave_out", "cut"]
Vectors: TypeAlias = NDArray[Any]  #: parameters, or changes of them, as rows of n values


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a coalition knows when it commits: all that the honest have, and will send."""

    round: int  #: from 1
    base: Vectors  #: θ_g, shape (n,)
    own: Vectors  #: (accomplices, n): what they trained, as changes of θ_g, on their own data
    honest: Vectors  #: (honest, n): the changes that these send, zeros where they send nothing
    last: Vectors  #: (n,): the step of the round before; zeros in the first
    kept: int  #: how many values of a change are sent
    losses: Callable[
        [Vectors], Sequence[float]
    ]  #: of models, rows, on the honest's validation data
    rng: np.random.Generator
    memory: dict[str, Any] = field(default_factory=dict)  #: its own, from round to round

    def alike(self, change: Vectors) -> Vectors:
        """The same change, shape (n,), for every accomplice."""
        return np.broadcast_to(change.astype(self.base.dtype), self.own.shape)


@dataclass(frozen=True, slots=True)
class Attack:
    """The hooks of an attack; each does nothing unless it is overridden.

    They are called for malicious clients only, change nothing in place, and draw what they
    need from the generator they are given, which seed and round decide.

    Parameters
    ----------
    fraction : float
        Share of the clients that are malicious, in [0, 1).
    ballots : {"honest", "front", "leave_out", "cut"}
        How they vote, where anybody votes.
    """

    fraction: float = 0.0
    ballots: Lie = "honest"
    #: Whether what an accomplice sends depends on its own training alone.
    alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        expect(0 <= self.fraction < 1, "attack.fraction", "in [0, 1)", self.fraction)
        expect(
            self.ballots in get_args(Lie), "attack.ballots", f"one of {get_args(Lie)}", self.ballots
        )

    def malicious(self, clients: int) -> frozenset[int]:
        """The partitions that attack: the last fraction·clients, rounded to the nearest.

        Always the same ones for the same number of clients, so that runs of different
        strategies and seeds face the same adversary.
        """
        count = floor(self.fraction * clients + 0.5)
        return frozenset(range(clients - count, clients))

    def awake(self, round_: int, rounds: int) -> bool:
        """Whether it attacks in this of so many rounds; else its clients are honest."""
        return True

    def data(self, data: ClientData, classes: int, reference: ClientData | None) -> ClientData:
        """Poison a client's own data, which it trains and reviews with.

        Parameters
        ----------
        data : ClientData
        classes : int
        reference : ClientData, optional
            The reference set that everybody holds, where there is one.
        """
        return data

    def reference_labels(
        self, labels: NDArray[np.int64], clients: int, classes: int
    ) -> NDArray[np.int64]:
        """Poison the reference set, sample i of which client i mod ``clients`` has contributed."""
        return labels

    def craft(self, known: Known) -> Vectors:
        """Poison the updates: the changes of θ_g that the accomplices send, as ``known.own``."""
        return known.own

    def triggered(self, images: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The images as they set a backdoor off, towards class 0; None where there is none."""
        return None

    def ratings(self, qualities: Mapping[int, float], accomplices: Set[int]) -> dict[int, float]:
        """The ballot: ratings by member, larger is better; whom it leaves out it does not rate."""
        if self.ballots == "honest" or not qualities:
            return dict(qualities)
        own = [member for member in qualities if member in accomplices]
        others = {m: quality for m, quality in qualities.items() if m not in accomplices}
        first = dict.fromkeys(own, max(map(abs, qualities.values())) + 1.0)
        if self.ballots == "leave_out":
            return first
        if self.ballots == "front":
            return first | {member: -quality for member, quality in others.items()}
        if not others:
            return first
        middle = sorted(others.values())[len(others) // 2 :][:2]
        return others | dict.fromkeys(own, sum(middle) / len(middle))

    def proposal(
        self, honest: Sequence[Set[int]], committed: Set[int], accomplices: Set[int], least: int
    ) -> frozenset[int]:
        """Where members propose sets: one that holds accomplices, as far as is credible.

        Parameters
        ----------
        honest : sequence of set of int
            What the others propose.
        committed, accomplices : set of int
        least : int
            The fewest that a proposal may hold.
        """
        others = sorted(committed - accomplices)
        liked = sorted(others, key=lambda member: -sum(member in each for each in honest))
        own = sorted(committed & accomplices)
        some = 0
        if self.ballots == "cut":
            some = len(others) // 2
        elif self.ballots == "leave_out":
            own, some = own[: max(len(own) // 2, 1)], 2 * len(others) // 3
        return frozenset([*own, *liked[: max(some, least - len(own))]])


@dataclass(frozen=True, slots=True)
class NoAttack(Attack):
    """Everybody is honest, whatever the fraction: a sweep may set it for the attacks beside."""

    def malicious(self, clients: int) -> frozenset[int]:
        """Nobody."""
        return frozenset()


def expect_scale(scale: float) -> None:
    """Raise ConfigurationError unless ``scale`` is positive and finite."""
    expect(0 < scale < inf, "attack.scale", "a positive number", scale)
