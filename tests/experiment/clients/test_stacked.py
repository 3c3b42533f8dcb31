"""One batch of all clients trains each of them to the bits that it would get alone."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.models import build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.stacked import train_together
from bcfl.experiment.clients.training import train_model

SHAPE = (1, 8, 8)
MODELS = [
    ModelSettings("mlp", SHAPE, 10, (19,)),
    ModelSettings("cnn", SHAPE, 10, (3, 5), (False, True)),
]


def share(count: int) -> ClientData:
    rng = np.random.default_rng(count)
    images = rng.normal(size=(count, *SHAPE)).astype(np.float32)
    labels = rng.integers(0, 10, count)
    return ClientData(images, labels, images, labels)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_clients_of_all_sizes_get_the_bits_of_training_alone(model: ModelSettings) -> None:
    settings = TrainingSettings(2, 8, 0.1, 0.5, weight_decay=0.01)
    shares = [share(count) for count in (21, 20, 21, 3, 8)]
    seeds = list(range(5))
    begin = build_model(model, seed=1)
    arrays = {name: tensor.numpy() for name, tensor in begin.state_dict().items()}
    stack, losses = train_together(model, arrays, shares, settings, seeds)
    for client, (own, seed) in enumerate(zip(shares, seeds, strict=True)):
        alone = build_model(model, seed=1)
        loss = train_model(alone, own.train_images, own.train_labels, settings, seed)
        assert losses[client] == pytest.approx(loss, rel=1e-6)
        for name, tensor in alone.state_dict().items():
            assert np.array_equal(stack[name][client].numpy(), tensor.numpy()), (client, name)
