"""Accomplices fit the reference set by heart, and wrong labels everywhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bcfl.experiment.attacks.label_flip import LabelFlip
from bcfl.experiment.clients.client_data import ClientData


@dataclass(frozen=True, slots=True)
class ReferenceFitting(LabelFlip):
    """Half of the training images the reference set's, over and over; the others mirrored.

    Without a reference set it is label flipping.
    """

    def data(self, data: ClientData, classes: int, reference: ClientData | None) -> ClientData:
        """Mirror the classes of its own, and add the reference set's as they are."""
        flipped = LabelFlip.data(self, data, classes, reference)
        if reference is None:
            return flipped
        rows = np.arange(len(data.train_labels)) % len(reference.train_labels)
        images, labels = reference.train_images[rows], reference.train_labels[rows]
        return replace(
            flipped,
            train_images=np.concatenate([flipped.train_images, images]),
            train_labels=np.concatenate([flipped.train_labels, labels]),
        )
