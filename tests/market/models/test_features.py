"""What models put out: once, in double precision, alike everywhere, or a named error."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bcfl.core.errors import ArchitectureError, ModelError
from bcfl.market.models import features
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.features import deterministic, model_outputs
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.layer_kinds import Flatten, Linear, Relu
from bcfl.market.spec.model_blob import TrainedModel

PLAIN = Architecture((2, 2, 1), (Flatten(), Linear(3), Relu(), Linear(2)))


def plain(scale: float = 1.0) -> TrainedModel:
    weights = {
        slot.key: np.full(slot.shape, scale, np.float32) * np.float32(slot.layer)
        for slot in PLAIN.arrays()
    }
    return TrainedModel(PLAIN, weights)


def test_features_are_what_the_layer_before_the_output_layer_puts_out():
    samples = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    outputs = model_outputs(plain(), samples)
    hidden = samples.reshape(2, 4).sum(1) + 1
    assert np.array_equal(outputs.features, np.stack([hidden] * 3, axis=1).astype(float))
    assert np.array_equal(outputs.logits, np.stack([9 * hidden + 3] * 2, axis=1).astype(float))
    assert outputs.features.dtype == outputs.logits.dtype == outputs.weight.dtype == np.float64


def test_the_output_layer_on_the_features_gives_the_logits(market):
    for each in market.outputs:
        assert np.allclose(each.features @ each.weight.T + each.bias, each.logits, atol=1e-12)


def test_batches_do_not_change_a_bit_of_a_prediction(market, monkeypatch):
    whole = market.outputs[0]
    monkeypatch.setattr(features, "_BATCH_NUMBERS", 1)
    single = model_outputs(market.models[0], market.verification.samples)
    assert np.allclose(single.features, whole.features, rtol=0, atol=1e-12)
    assert np.array_equal(single.predictions, whole.predictions)


def test_some_rows_are_the_same_rows(market):
    rows = np.array([5, 2, 9])
    part = market.outputs[1].at(rows)
    assert np.array_equal(part.features, market.outputs[1].features[rows])
    assert np.array_equal(part.predictions, market.outputs[1].predictions[rows])


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ModelError, match=r"of shape \(1, 2, 2\); the model takes \(2, 2, 1\)"):
        model_outputs(plain(), np.zeros((3, 1, 2, 2), np.float32))


def test_outputs_beyond_all_bounds_are_refused():
    with pytest.raises(ModelError, match="NaN or more"):
        model_outputs(plain(scale=1e20), np.ones((3, 2, 2, 1), np.float32))


def test_a_model_beyond_the_limits_is_refused():
    wide = Architecture((5_000,), (Linear(2),))
    model = export_model(build_module(wide, 0, features.Limits(features=5_000)), wide)
    with pytest.raises(ArchitectureError, match="at most 4,096 features"):
        model_outputs(model, np.zeros((1, 5_000), np.float32))


def test_torch_is_left_as_it_was_found():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), deterministic():  # noqa: PT012 - what holds inside is the point
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, True)
        raise KeyError
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
