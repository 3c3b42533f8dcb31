"""The malicious client adds noise to what it trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.core.model import Arrays
from bcfl.experiment.attacks.attack import Attack, expect_scale


@dataclass(frozen=True, slots=True)
class Gaussian(Attack):
    """θ' = θ_trained + N(0, scale²), independently for every parameter.

    Parameters
    ----------
    scale : float
        Standard deviation, in the parameters' own unit; positive. The weights of the networks
        here lie around 0.1.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        expect_scale(self.scale)

    def update(self, before: Arrays, after: Arrays, rng: np.random.Generator) -> Arrays:
        """Drown the update in noise."""
        return {
            key: (array + rng.normal(0.0, self.scale, array.shape)).astype(array.dtype)
            for key, array in after.items()
        }
