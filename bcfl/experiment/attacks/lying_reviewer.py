"""The malicious client poisons its update and, with its accomplices, lies about everyone's."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from bcfl.experiment.attacks.sign_flip import SignFlip


@dataclass(frozen=True, slots=True)
class LyingReviewer(SignFlip):
    """Flips the sign of its update; rates accomplices first, and the honest in reverse.

    It knows who its accomplices are, and so does as much harm as a ballot can.
    """

    def ratings(self, qualities: Mapping[int, float], accomplices: Set[int]) -> dict[int, float]:
        """Turn the honest ranking upside down, below every accomplice."""
        lies = {member: -quality for member, quality in qualities.items()}
        best = max(lies.values(), default=0.0) + 1.0
        return {member: best if member in accomplices else lie for member, lie in lies.items()}
