"""The largest step aside whose distances to the honest updates add up to no more than theirs.

Shejwalkar and Houmansadr, *Manipulating the Byzantine*, 2021, AGR-agnostic Min-Sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Vectors
from bcfl.experiment.attacks.min_max import MinMax


@dataclass(frozen=True, slots=True)
class MinSum(MinMax):
    """μ − t·μ/‖μ‖ for the largest t whose squared distances' sum is one of the honest ones'."""

    def aside(self, honest: Vectors) -> Vectors:
        """Against the mean."""
        mean = honest.mean(axis=0)
        step: Vectors = -mean / max(float(np.linalg.norm(mean)), 1e-9)
        return step

    def measure(self, distances: Vectors) -> Vectors:
        """Their sum."""
        total: Vectors = distances.sum(axis=1)
        return total
