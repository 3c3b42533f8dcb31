"""One batch of all clients trains each of them to the bits that it would get alone."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.models import build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.stacked import evaluate_together, train_together
from bcfl.experiment.clients.training import evaluate_model, train_model

SHAPE = (1, 8, 8)
MODELS = [
    ModelSettings("mlp", SHAPE, 10, (19,)),
    ModelSettings("cnn", SHAPE, 10, (3, 5), (False, True)),
    ModelSettings("cnn", SHAPE, 10, (4, 8), (True, True), group_norm=True),
]
NAMES = ["mlp", "cnn", "cnn with norms"]


def share(count: int) -> ClientData:
    rng = np.random.default_rng(count)
    images = rng.normal(size=(count, *SHAPE)).astype(np.float32)
    labels = rng.integers(0, 10, count)
    return ClientData(images, labels, images, labels)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
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
        assert losses[client] == loss
        for name, tensor in alone.state_dict().items():
            assert np.array_equal(stack[name][client].numpy(), tensor.numpy()), (client, name)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_a_model_is_measured_on_all_clients_images_as_on_each(model: ModelSettings) -> None:
    module = build_model(model, seed=1)
    shares = [share(count) for count in (7, 9, 7, 600, 7, 600)]
    alone = [evaluate_model(module, own.validation_images, own.validation_labels) for own in shares]
    assert evaluate_together(module, shares) == alone
