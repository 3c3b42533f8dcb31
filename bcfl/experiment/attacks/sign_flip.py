"""Accomplices send their updates reversed and magnified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bcfl.experiment.attacks.attack import Attack, Known, Vectors, expect_scale


@dataclass(frozen=True, slots=True)
class SignFlip(Attack):
    """−scale·Δθ: a step up the loss instead of down.

    Parameters
    ----------
    scale : float
        How many times the honest step's length; positive.
    """

    scale: float = 4.0
    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        expect_scale(self.scale)

    def craft(self, known: Known) -> Vectors:
        """Walk ``scale`` times the trained step in the opposite direction."""
        return -self.scale * known.own
