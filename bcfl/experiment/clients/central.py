"""What the server of an experiment does itself: measure the global model, or train it all alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord, MetricRecord

from bcfl.experiment.clients.client_app import load_arrays
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.models import blank_model, build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.training import evaluate_model, train_model
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.seeds import derive_seed


def initial_arrays(model: ModelSettings, seed: int) -> ArrayRecord:
    """θ_g before the first round: the same for every strategy with this seed."""
    return ArrayRecord(build_model(model, derive_seed(seed, "model")).state_dict())


@dataclass(frozen=True, slots=True)
class CentralEvaluation:
    """Flower's ``evaluate_fn``: loss and accuracy on the central test part."""

    model: ModelSettings
    images: Images
    device: str = "cpu"  #: see ``use_device``

    def __call__(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        """Measure ``arrays``; ``accuracy`` in [0, 1], ``loss`` in nats."""
        model = blank_model(self.model, use_device(self.device))
        load_arrays(model, arrays)
        loss, accuracy = evaluate_model(model, self.images.test_images, self.images.test_labels)
        return MetricRecord({"loss": loss, "accuracy": accuracy})


@dataclass(frozen=True, slots=True)
class CentralTraining:
    """What ``bcfl.strategies.Centralised`` trains by: all clients' training images together.

    As many epochs a round as each client would do, so as many in total; the clients'
    validation images stay out of it, as they do where clients train.
    """

    clients: Sequence[ClientData]
    model: ModelSettings
    training: TrainingSettings
    seed: int  #: the run's
    device: str = "cpu"

    def __call__(self, server_round: int, arrays: ArrayRecord) -> tuple[ArrayRecord, MetricRecord]:
        """Train for one round."""
        images = np.concatenate([client.train_images for client in self.clients])
        labels = np.concatenate([client.train_labels for client in self.clients])
        model = blank_model(self.model, use_device(self.device))
        load_arrays(model, arrays)
        seed = derive_seed(self.seed, "train centrally", server_round)
        loss = train_model(model, images, labels, self.training, seed)
        metrics = MetricRecord({"train_loss": loss, "num-examples": len(labels)})
        return ArrayRecord(model.state_dict()), metrics
