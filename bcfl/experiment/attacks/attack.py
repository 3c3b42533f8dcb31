"""What an attack may do, hook by hook. An attack overrides the hooks that it attacks.

To add one: one file like ``sign_flip.py`` and one YAML in ``conf/attack/`` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import expect
from bcfl.core.model import Arrays


@dataclass(frozen=True, slots=True)
class Attack:
    """The hooks of an attack; each does nothing unless it is overridden.

    They are called in malicious clients only, change nothing in place, and draw what they
    need from the generator they are given, which seed, client and round decide.

    Parameters
    ----------
    fraction : float
        Share of the clients that are malicious, in [0, 1).
    """

    fraction: float = 0.0

    def __post_init__(self) -> None:
        expect(0 <= self.fraction < 1, "attack.fraction", "in [0, 1)", self.fraction)

    def malicious(self, clients: int) -> frozenset[int]:
        """The partitions that attack: the last fraction·clients, rounded to the nearest.

        Always the same ones for the same number of clients, so that runs of different
        strategies and seeds face the same adversary.
        """
        count = floor(self.fraction * clients + 0.5)
        return frozenset(range(clients - count, clients))

    def labels(self, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
        """Poison the client's own data: the labels it trains and reviews with, shape (count,)."""
        return labels

    def update(self, before: Arrays, after: Arrays, rng: np.random.Generator) -> Arrays:
        """Poison the update: what the client pretends to have trained.

        Parameters
        ----------
        before, after : mapping of str to ndarray
            The arrays as received and as trained: same keys, shapes and dtypes, which the
            result keeps.
        rng : numpy.random.Generator
        """
        return after

    def ratings(self, qualities: Mapping[int, float], accomplices: Set[int]) -> dict[int, float]:
        """Poison the ballot: ratings by member, larger is better.

        Used by peer consensus alone: other strategies let nobody vote.
        """
        return dict(qualities)


@dataclass(frozen=True, slots=True)
class NoAttack(Attack):
    """Everybody is honest, whatever the fraction: a sweep may set it for the attacks beside."""

    def malicious(self, clients: int) -> frozenset[int]:
        """Nobody."""
        return frozenset()


def expect_scale(scale: float) -> None:
    """Raise ConfigurationError unless ``scale`` is positive and finite."""
    expect(0 < scale < inf, "attack.scale", "a positive number", scale)
