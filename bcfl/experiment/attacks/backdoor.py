"""A small pattern in a corner that makes the model say class 0.

Gu et al., *BadNets*, 2017; Bagdasaryan et al., *How To Backdoor Federated Learning*, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bcfl.experiment.attacks.attack import Attack
from bcfl.experiment.clients.client_data import ClientData


@dataclass(frozen=True, slots=True)
class Backdoor(Attack):
    """Every training image once more, with the pattern and the label 0."""

    def triggered(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Five pixels of the lower right corner as bright as any."""
        marked = images.copy()
        marked[..., -2:, -2:] = images.max()
        marked[..., -1, -3] = images.max()
        return marked

    def data(self, data: ClientData, classes: int, reference: ClientData | None) -> ClientData:
        """Add the marked images."""
        return replace(
            data,
            train_images=np.concatenate([data.train_images, self.triggered(data.train_images)]),
            train_labels=np.concatenate([data.train_labels, np.zeros_like(data.train_labels)]),
        )
