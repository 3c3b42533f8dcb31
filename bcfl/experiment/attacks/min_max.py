"""The largest step aside that is no farther from any honest update than these are apart.

Shejwalkar and Houmansadr, *Manipulating the Byzantine*, 2021, AGR-agnostic Min-Max.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors

_HALVINGS = 18
_LONGEST = 50.0


def squared_distances(rows: Vectors, others: Vectors) -> Vectors:
    """Shape (rows, others), float64."""
    one, other = rows.astype(np.float64), others.astype(np.float64)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None]
    found: Vectors = np.maximum(squares - 2 * one @ other.T, 0.0)
    return found


@dataclass(frozen=True, slots=True)
class MinMax(Attack):
    """μ − t·σ for the largest t whose longest distance to an honest update is one of theirs."""

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same; t by halving."""
        honest, mean, aside = known.honest, known.honest.mean(axis=0), self.aside(known.honest)
        most = self.measure(squared_distances(honest, honest)).max()
        low, high = 0.0, _LONGEST
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            tried = (mean + middle * aside)[None]
            fits = self.measure(squared_distances(tried, honest))[0] <= most
            low, high = (middle, high) if fits else (low, middle)
        return known.alike(mean + low * aside)

    def aside(self, honest: Vectors) -> Vectors:
        """The direction of the step."""
        step: Vectors = -honest.std(axis=0, ddof=1)
        return step

    def measure(self, distances: Vectors) -> Vectors:
        """What of each row of squared distances is not to be exceeded."""
        longest: Vectors = distances.max(axis=1)
        return longest
