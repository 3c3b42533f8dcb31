"""Accomplices train nothing and send the last round's step again.

Lin et al., *Free-riders in Federated Learning: Attacks and Defenses*, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bcfl.experiment.attacks.attack import Known, Vectors
from bcfl.experiment.attacks.free_rider import FreeRider


@dataclass(frozen=True, slots=True)
class Stale(FreeRider):
    """θ_g − θ_g of the round before, and noise, so that no two are alike."""

    alone: ClassVar[bool] = False

    def craft(self, known: Known) -> Vectors:
        """Each its own."""
        return known.last + FreeRider.craft(self, known)
