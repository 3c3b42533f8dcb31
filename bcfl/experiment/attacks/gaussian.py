"""Accomplices add noise to what they trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bcfl.experiment.attacks.attack import Attack, Known, Vectors, expect_scale


@dataclass(frozen=True, slots=True)
class Gaussian(Attack):
    """Δθ + N(0, scale²), independently for every parameter.

    Parameters
    ----------
    scale : float
        Standard deviation, in the parameters' own unit; positive. The weights of the networks
        here lie around 0.1.
    """

    scale: float = 1.0
    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        expect_scale(self.scale)

    def craft(self, known: Known) -> Vectors:
        """Drown the updates in noise."""
        return known.own + known.rng.normal(0.0, self.scale, known.own.shape)
