"""Copies are recognised however they are disguised; models with data of their own are not."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.apps.market.originality import explained_share


def share(market, candidate: np.ndarray, known: int = 0) -> float:
    return explained_share(
        market.outputs[known].features,
        candidate,
        market.verification.labels,
        *market.verification.parts(),
    )


@pytest.mark.parametrize("disguise", ["none", "permuted", "scaled", "mixed", "fewer", "more"])
def test_a_disguised_copy_is_explained_entirely(market, disguise):
    features, rng = market.outputs[0].features, np.random.default_rng(0)
    width = features.shape[1]
    candidate = {
        "none": features,
        "permuted": features[:, rng.permutation(width)],
        "scaled": features * rng.uniform(0.01, 100, width),
        "mixed": features @ rng.normal(size=(width, width)),
        "fewer": features[:, :20],
        "more": np.concatenate([features, features], axis=1),
    }[disguise]
    assert share(market, candidate) > 0.99


def test_a_copy_with_some_noise_is_explained_nearly(market):
    features, rng = market.outputs[0].features, np.random.default_rng(0)
    noise = 0.05 * features.std() * rng.normal(size=features.shape)
    assert share(market, features + noise) > 0.95


def test_models_with_data_of_their_own_are_explained_in_part(market):
    for known in range(4):
        for candidate in range(4):
            if candidate != known:
                assert share(market, market.outputs[candidate].features, known) < 0.9


def test_noise_is_not_explained(market):
    noise = np.random.default_rng(0).normal(size=market.outputs[0].features.shape)
    assert share(market, noise) < 0.2


def test_a_model_of_more_features_than_samples_is_recognised_too(market):
    rng = np.random.default_rng(0)
    wide = np.maximum(market.verification.samples.reshape(599, 64) @ rng.normal(size=(64, 900)), 0)
    parts = market.verification.parts()
    copied = explained_share(wide, wide[:, ::-1], market.verification.labels, *parts)
    other = np.maximum(wide @ rng.normal(size=(900, 50)), 0)
    foreign = explained_share(wide, other, market.verification.labels, *parts)
    assert copied > 0.97 > foreign


def test_features_that_say_nothing_beyond_the_class_count_as_explained(market):
    assert share(market, np.zeros((599, 5))) == 1
