"""The malicious client sends its update reversed and magnified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.core.model import Arrays
from bcfl.experiment.attacks.attack import Attack, expect_scale


@dataclass(frozen=True, slots=True)
class SignFlip(Attack):
    """θ' = θ − scale·(θ_trained − θ): a step up the loss instead of down.

    Parameters
    ----------
    scale : float
        How many times the honest step's length; positive.
    """

    scale: float = 4.0

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        expect_scale(self.scale)

    def update(self, before: Arrays, after: Arrays, rng: np.random.Generator) -> Arrays:
        """Walk ``scale`` times the trained step in the opposite direction."""
        return {
            key: (array - self.scale * (after[key] - array)).astype(array.dtype)
            for key, array in before.items()
        }
