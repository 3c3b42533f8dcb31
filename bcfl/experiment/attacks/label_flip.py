"""The malicious client's data carries wrong labels; the client itself behaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.experiment.attacks.attack import Attack


@dataclass(frozen=True, slots=True)
class LabelFlip(Attack):
    """Class c becomes class C − 1 − c, in the images it trains with and reviews with alike."""

    def labels(self, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
        """Mirror the classes."""
        return classes - 1 - labels
