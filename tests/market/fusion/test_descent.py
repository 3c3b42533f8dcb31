"""Inputs at one scale, folded back exactly; and a descent that decays to where it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bcfl.market.fusion.descent import Parameters, Standardised, descend
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.features import ModelOutputs


def outputs(features: np.ndarray) -> ModelOutputs:
    count, width = features.shape
    return ModelOutputs(features, np.zeros((count, 2)), np.ones((2, width)), np.zeros(2))


@pytest.fixture
def inputs() -> Standardised:
    rng = np.random.default_rng(0)
    wild = 1e6 + 1e3 * rng.normal(size=(40, 3)) * [1, 0.01, 0]
    return Standardised([outputs(wild), outputs(rng.normal(size=(40, 2)))])


def test_features_are_centred_and_models_scaled_each_by_one_number(inputs):
    assert np.allclose(inputs.samples.mean(0), 0, atol=1e-9)
    first, second = inputs.samples.split(inputs.widths, dim=1)
    assert float(first.square().mean()) == pytest.approx(1)
    assert float(second.square().mean()) == pytest.approx(1)
    assert float(first[:, 1].std() / first[:, 0].std()) == pytest.approx(0.01, rel=0.5)
    assert not first[:, 2].any()


def test_a_model_that_never_moves_is_left_at_its_scale():
    still = Standardised([outputs(np.full((4, 2), 7.0))])
    weight, bias = still.fold(torch.ones(1, 2).double(), torch.zeros(1).double())
    assert weight.tolist() == [[1, 1]]
    assert bias.tolist() == [-14]


def test_folding_gives_the_same_map_on_the_features_as_they_come(inputs):
    rng = np.random.default_rng(1)
    weight, bias = torch.from_numpy(rng.normal(size=(4, 5))), torch.from_numpy(rng.normal(size=4))
    raw = rng.normal(size=(6, 5)) * 100 + 1e6
    mean, scale = inputs._mean.numpy(), inputs._scale.numpy()
    folded, folded_bias = inputs.fold(weight, bias)
    expected = (raw - mean) / scale @ weight.numpy().T + bias.numpy()
    assert np.allclose(raw @ folded.T + folded_bias, expected)


def test_unfolding_is_folding_turned_round_for_the_last_model(inputs):
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(3, 2)), rng.normal(size=3)
    inner, inner_bias = inputs.unfold_last(weight, bias)
    padded = torch.cat([torch.zeros(3, 3).double(), inner], dim=1)
    folded, folded_bias = inputs.fold(padded, inner_bias)
    assert np.allclose(folded, np.pad(weight, ((0, 0), (3, 0))))
    assert np.allclose(folded_bias, bias)


def start(rows: int, width: int, earlier: int = 0) -> Parameters:
    rng = np.random.default_rng(3)
    shapes = (rows, width), (rows,), (2, earlier + rows), (2,)
    return Parameters(*(torch.from_numpy(rng.normal(size=shape)) for shape in shapes))


def learned(decay: list[float], keep: bool = False) -> tuple[Parameters, Parameters]:
    rng = np.random.default_rng(4)
    samples, earlier = torch.from_numpy(rng.normal(size=(20, 3))), torch.ones(20, 2).double()
    begun, labels = start(2, 3, earlier=2), (samples[:, 0] > 0).long().numpy()
    settings = FusionSettings(steps=60)
    column = torch.tensor(decay, dtype=torch.float64)
    return begun, descend(samples, labels, begun, begun, settings, column, earlier, keep)


def test_each_column_decays_by_its_own_rate_to_where_it_began():
    begun, loose = learned([0, 0, 0])
    _, tight = learned([0, 40, 0])
    moved = [(each.weight - begun.weight).abs().sum(0) for each in (loose, tight)]
    assert moved[1][1] < moved[0][1] / 3
    assert moved[1][0] > moved[0][0] / 2


def test_columns_of_earlier_rows_stay_where_they_are_to_be_kept():
    begun, kept = learned([1, 1, 1], keep=True)
    assert torch.equal(kept.output[:, :2], begun.output[:, :2])
    assert not torch.isclose(kept.output[:, 2:], begun.output[:, 2:]).any()
    _, free = learned([1, 1, 1])
    assert not torch.isclose(free.output[:, :2], begun.output[:, :2]).any()


def test_where_it_begins_is_not_changed():
    begun, _ = learned([1, 1, 1])
    for one, other in zip(begun.tensors(), start(2, 3, earlier=2).tensors(), strict=True):
        assert torch.equal(one, other)
