"""A contributor's training: repeatable, and refused where the data do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bcfl.core.errors import ArchitectureError, ConfigurationError, ModelError
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.features import model_outputs
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.architecture import Architecture, Limits
from bcfl.market.spec.layer_kinds import BatchNorm2d, Conv2d, Flatten, Linear
from bcfl.market.spec.model_blob import TrainedModel

SHORT = ContributorTraining(epochs=2, batch_size=16)


def same_bits(one: TrainedModel, other: TrainedModel) -> bool:
    return all(one.weights[key].tobytes() == other.weights[key].tobytes() for key in one.weights)


@pytest.mark.parametrize("name", ["cnn", "mlp", "deep_cnn"])
def test_training_is_decided_by_its_seed_alone(market, name):
    architecture = shipped_architecture(name, (1, 8, 8), 10)
    images, labels = market.images.train_images[:80], market.images.train_labels[:80]

    def trained(seed: int) -> TrainedModel:
        return train_contributor(architecture, images, labels, SHORT, seed)

    before = torch.get_rng_state()
    one = trained(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    assert same_bits(one, trained(1))
    assert not same_bits(one, trained(2))


def test_a_trained_model_knows_what_it_was_shown(market):
    outputs = model_outputs(market.models[3], market.images.train_images[1::4])
    assert (outputs.predictions == market.images.train_labels[1::4]).mean() > 0.85


@pytest.mark.parametrize("count", [2, 3, 17, 33])
def test_any_number_of_samples_from_two_can_be_trained_on(count):
    # One sample left over would have no statistics for batch normalisation.
    architecture = Architecture((1, 3, 3), (Conv2d(2, 2), BatchNorm2d(), Flatten(), Linear(2)))
    samples = np.random.default_rng(0).normal(size=(count, 1, 3, 3)).astype(np.float32)
    labels = np.arange(count) % 2
    model = train_contributor(architecture, samples, labels, SHORT, seed=0)
    assert model.architecture == architecture


def test_data_that_do_not_fit_are_refused():
    architecture = Architecture((4,), (Linear(3),))
    samples, labels = np.zeros((5, 4), np.float32), np.array([0, 1, 2, 0, 1])
    with pytest.raises(ModelError, match=r"samples of shape \(4,\) expected; found \(5, 3\)"):
        train_contributor(architecture, samples[:, :3], labels, SHORT, seed=0)
    with pytest.raises(ModelError, match="two or more samples"):
        train_contributor(architecture, samples[:1], labels[:1], SHORT, seed=0)
    with pytest.raises(ModelError, match=r"labels lie in \[0, 3\); found 0 to 3"):
        train_contributor(architecture, samples, np.array([0, 1, 2, 3, 1]), SHORT, seed=0)
    with pytest.raises(ModelError, match="one label for each of 5 samples; found 4"):
        train_contributor(architecture, samples, labels[:4], SHORT, seed=0)
    with pytest.raises(ArchitectureError, match="at most 3 parameters"):
        train_contributor(architecture, samples, labels, SHORT, 0, Limits(parameters=3))


def test_a_training_that_diverges_is_an_error_and_no_model():
    architecture = Architecture((4,), (Linear(3), Linear(3)))
    samples = np.full((4, 4), np.inf, np.float32)
    with pytest.raises(ModelError, match="finite numbers only"):
        train_contributor(architecture, samples, np.array([0, 1, 2, 0]), SHORT, seed=0)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 1.0}, {"weight_decay": -0.1}],
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(ConfigurationError, match=rf"training\.{next(iter(change))}: expected"):
        ContributorTraining(**change)
