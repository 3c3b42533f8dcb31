"""Copies are recognised however they are disguised; models with data of their own are not."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.market.fusion.fused_model import outputs_for_task
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.judging.originality import likeness
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.training import ContributorTraining, train_contributor


def like(market, candidate: np.ndarray, known: int = 0) -> float:
    return likeness(
        market.outputs[known].features,
        candidate,
        market.verification.labels,
        *market.verification.parts(),
    )


@pytest.mark.parametrize("disguise", ["none", "permuted", "scaled", "mixed", "doubled"])
def test_a_disguised_copy_is_explained_entirely(market, disguise):
    features, rng = market.outputs[0].features, np.random.default_rng(0)
    width = features.shape[1]
    candidate = {
        "none": features,
        "permuted": features[:, rng.permutation(width)],
        "scaled": features * rng.uniform(0.01, 100, width),
        "mixed": features @ rng.normal(size=(width, width)),
        "doubled": np.concatenate([features, features], axis=1),
    }[disguise]
    assert like(market, candidate) > 0.98


def test_a_copy_with_some_noise_is_explained_nearly(market):
    features, rng = market.outputs[0].features, np.random.default_rng(0)
    noise = 0.02 * features.std() * rng.normal(size=features.shape)
    assert like(market, features + noise) > 0.95


def test_models_with_data_of_their_own_are_explained_in_part(market):
    for known in range(4):
        for candidate in range(4):
            if candidate != known:
                assert like(market, market.outputs[candidate].features, known) < 0.9


@pytest.mark.parametrize("name", ["cnn", "mlp", "deep_cnn"])
def test_two_who_began_alike_and_saw_the_same_classes_are_no_copies(market, name):
    # The hardest honest case: one architecture, one seed, two halves of the same classes.
    images, labels = market.images.train_images, market.images.train_labels
    few = np.flatnonzero(labels < 5)
    halves = [
        outputs_for_task(
            train_contributor(
                shipped_architecture(name, market.images.shape, 10),
                images[half],
                labels[half],
                ContributorTraining(epochs=20, batch_size=16),
                seed=0,
            ),
            market.verification,
        ).features
        for half in (few[::2], few[1::2])
    ]
    labels, parts = market.verification.labels, market.verification.parts()
    assert likeness(*halves, labels, *parts) < FitnessRules().copy_likeness


def test_noise_is_not_explained(market):
    noise = np.random.default_rng(0).normal(size=market.outputs[0].features.shape)
    assert like(market, noise) < 0.2


def test_a_very_wide_model_does_not_make_copies_of_all_others(market):
    rng = np.random.default_rng(0)
    wide = np.maximum(market.verification.samples.reshape(599, 64) @ rng.normal(size=(64, 900)), 0)
    labels, parts = market.verification.labels, market.verification.parts()
    assert likeness(wide, wide[:, ::-1], labels, *parts) > 0.95
    assert likeness(wide, market.outputs[3].features, labels, *parts) < 0.9
    assert likeness(market.outputs[3].features, wide, labels, *parts) < 0.9


def test_features_that_never_vary_are_like_nothing(market):
    assert like(market, np.zeros((599, 5))) == 0
