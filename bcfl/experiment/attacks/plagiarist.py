"""Accomplices send the best honest update as their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class Plagiarist(Attack):
    """The honest update with the smallest loss on all honest validation data together."""

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        best = int(np.argmin(known.losses(known.base + known.honest)))
        return known.alike(known.honest[best])
