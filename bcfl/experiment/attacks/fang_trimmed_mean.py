"""Values beyond the honest ones, on the side away from where these go.

Fang et al., *Local Model Poisoning Attacks to Byzantine-Robust Federated Learning*, 2020, the
attack on the trimmed mean with full knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class FangTrimmedMean(Attack):
    """Where the honest mean grows, values below their smallest; where it falls, above the largest.

    Parameters
    ----------
    factor : float
        Up to how many times as far out they lie, above 1.
    """

    factor: float = 2.0

    def craft(self, known: Known) -> Vectors:
        """Each accomplice draws its own."""
        low, high = known.honest.min(axis=0), known.honest.max(axis=0)
        times = known.rng.uniform(1.0, self.factor, known.own.shape)
        # away from zero: a negative bound is multiplied, a positive one divided
        below = np.where(low < 0, low * times, low / times)
        above = np.where(high > 0, high * times, high / times)
        beyond: Vectors = np.where(known.honest.mean(axis=0) > 0, below, above)
        return beyond
