"""Accomplices have contributed to the reference set, with wrong labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.experiment.attacks.label_flip import LabelFlip


@dataclass(frozen=True, slots=True)
class PoisonedReference(LabelFlip):
    """Label flipping, at home and in the accomplices' share of the reference set."""

    def reference_labels(
        self, labels: NDArray[np.int64], clients: int, classes: int
    ) -> NDArray[np.int64]:
        """Mirror what the accomplices contributed."""
        theirs = np.isin(np.arange(len(labels)) % clients, list(self.malicious(clients)))
        return np.where(theirs, classes - 1 - labels, labels)
