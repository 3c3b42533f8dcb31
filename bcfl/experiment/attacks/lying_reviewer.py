"""The malicious client poisons its update and, with its accomplices, lies about everyone's."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np

from bcfl.core.model import Arrays
from bcfl.experiment.attacks.attack import Attack, expect_scale
from bcfl.experiment.attacks.sign_flip import flip_sign

__all__ = ["LyingReviewer"]


@dataclass(frozen=True, slots=True)
class LyingReviewer(Attack):
    """Flips the sign of its update; rates accomplices first, and the honest in reverse.

    It knows who its accomplices are, and so does as much harm as a ballot can.

    Parameters
    ----------
    scale : float
        As in :class:`bcfl.experiment.attacks.SignFlip`.
    """

    scale: float = 4.0

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        expect_scale(self.scale)

    def update(self, before: Arrays, after: Arrays, rng: np.random.Generator) -> Arrays:
        """Walk ``scale`` times the trained step in the opposite direction."""
        return flip_sign(before, after, self.scale)

    def ratings(self, qualities: Mapping[int, float], accomplices: Set[int]) -> dict[int, float]:
        """Turn the honest ranking upside down, below every accomplice."""
        lies = {member: -quality for member, quality in qualities.items()}
        best = max(lies.values(), default=0.0) + 1.0
        return {member: best if member in accomplices else lie for member, lie in lies.items()}
