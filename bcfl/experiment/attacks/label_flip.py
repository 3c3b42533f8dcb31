"""The malicious client's data carries wrong labels; the client itself behaves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bcfl.experiment.attacks.attack import Attack
from bcfl.experiment.clients.client_data import ClientData


@dataclass(frozen=True, slots=True)
class LabelFlip(Attack):
    """Class c becomes class C − 1 − c, in the images it trains with and reviews with alike."""

    def data(self, data: ClientData, classes: int, reference: ClientData | None) -> ClientData:
        """Mirror the classes."""
        return replace(
            data,
            train_labels=classes - 1 - data.train_labels,
            validation_labels=classes - 1 - data.validation_labels,
        )
