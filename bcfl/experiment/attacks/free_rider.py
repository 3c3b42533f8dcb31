"""Accomplices train nothing and send noise that looks like a very small update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class FreeRider(Attack):
    """N(0, scale²).

    Parameters
    ----------
    scale : float
        Standard deviation.
    """

    scale: float = 1e-5
    alone: ClassVar[bool] = True

    def craft(self, known: Known) -> Vectors:
        """Each its own."""
        return known.rng.normal(0.0, self.scale, known.own.shape).astype(known.base.dtype)
