"""Strategies I and II: what is learned, what stays, and that every verifier gets the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bcfl.core.errors import ModelError
from bcfl.market.fusion import fusion
from bcfl.market.fusion.fusion import join
from bcfl.market.fusion.layers import ACTIVATIONS, FusionLayers
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.features import ModelOutputs

FREE, PROGRESSIVE = FusionSettings(strategy="I", steps=60), FusionSettings(steps=60)
BOTH = pytest.mark.parametrize("settings", [FREE, PROGRESSIVE], ids=["I", "II"])
KNOWN: dict[tuple[FusionSettings, int], FusionLayers] = {}
ARRAYS = ("hidden_weight", "hidden_bias", "output_weight", "output_bias")


def fuse(models, labels, settings: FusionSettings) -> FusionLayers:
    """Let ``models`` join one after the other."""
    layers = join(None, models[:1], labels, settings)
    for count in range(2, len(models) + 1):
        layers = join(layers, models[:count], labels, settings)
    return layers


def fused(market, settings: FusionSettings, count: int = 4) -> FusionLayers:
    """The first models fused; once, for all tests that only look at it."""
    if (settings, count) not in KNOWN:
        before = fused(market, settings, count - 1) if count > 1 else None
        models = market.on_fusion_part[:count]
        KNOWN[settings, count] = join(before, models, market.fusion_labels, settings)
    return KNOWN[settings, count]


def same_bits(one: FusionLayers, other: FusionLayers) -> bool:
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ARRAYS)


def accuracy(layers: FusionLayers, market, count: int) -> float:
    rows = market.verification.parts()[1]
    logits = layers.logits([each.features[rows] for each in market.outputs[:count]])
    return float((logits.argmax(1) == market.verification.labels[rows]).mean())


def toy(count: int, width: int, classes: int = 3, seed: int = 0) -> ModelOutputs:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    weight, bias = rng.normal(size=(classes, width)), rng.normal(size=classes)
    return ModelOutputs(features, features @ weight.T + bias, weight, bias)


@BOTH
def test_h_is_as_wide_as_the_models_outputs_together(market, settings):
    layers = fused(market, settings)
    assert layers.hidden_weight.shape == (40, 64 + 64 + 96 + 64)
    assert layers.output_weight.shape == (10, 40)
    assert layers.widths == (64, 64, 96, 64)


@BOTH
def test_y_is_softmax_of_b_phi_a_f(market, settings):
    layers = fused(market, settings)
    joint = np.concatenate([each.features for each in market.outputs], axis=1)
    inner = joint @ layers.hidden_weight.T + layers.hidden_bias
    hidden = np.where(inner > 0, inner, np.expm1(np.minimum(inner, 0)))
    expected = hidden @ layers.output_weight.T + layers.output_bias
    assert np.allclose(layers.logits([each.features for each in market.outputs]), expected)


@BOTH
def test_the_fused_model_is_better_than_any_of_its_models(market, settings):
    layers = fused(market, settings)
    rows = market.verification.parts()[1]
    labels = market.verification.labels[rows]
    best = max(float((each.predictions[rows] == labels).mean()) for each in market.outputs)
    assert accuracy(layers, market, 4) > best + 0.02


def test_accuracy_rises_with_every_model_that_knows_other_classes(market):
    curve = [accuracy(fused(market, PROGRESSIVE, n), market, n) for n in (1, 2, 3)]
    assert curve == sorted(curve)
    assert curve[2] > curve[0] + 0.1


@BOTH
def test_the_same_inputs_give_the_same_bits(market, settings):
    again = fuse(market.on_fusion_part, market.fusion_labels, settings)
    assert same_bits(fused(market, settings), again)


@BOTH
def test_rounding_of_another_processor_changes_no_prediction(market, settings):
    rng = np.random.default_rng(1)
    shaken = [
        replace(each, features=each.features * (1 + 1e-13 * rng.normal(size=each.features.shape)))
        for each in market.on_fusion_part
    ]
    one = fused(market, settings)
    other = fuse(shaken, market.fusion_labels, settings)
    assert not same_bits(one, other)
    features = [each.features for each in market.outputs]
    assert np.array_equal(one.logits(features).argmax(1), other.logits(features).argmax(1))
    assert np.allclose(one.logits(features), other.logits(features), atol=1e-6)


def test_torchs_generator_has_no_say_and_is_left_alone(market):
    before = torch.get_rng_state()
    one = fuse(market.on_fusion_part[:2], market.fusion_labels, FREE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert same_bits(one, fuse(market.on_fusion_part[:2], market.fusion_labels, FREE))


def test_strategy_one_depends_on_its_seed_and_strategy_two_has_none(market):
    def with_seed(settings: FusionSettings, seed: int) -> FusionLayers:
        return fused(market, replace(settings, seed=seed), 2)

    assert not same_bits(with_seed(FREE, 0), with_seed(FREE, 1))
    assert same_bits(with_seed(PROGRESSIVE, 0), with_seed(PROGRESSIVE, 1))


@pytest.mark.parametrize("old_columns", ["relearn", "train", "keep"])
def test_a_is_block_lower_triangular_and_earlier_rows_stay_to_the_bit(market, old_columns):
    settings = replace(PROGRESSIVE, old_columns=old_columns)
    before = fused(market, settings, 2)
    after = join(before, market.on_fusion_part[:3], market.fusion_labels, settings)
    assert np.array_equal(after.hidden_weight[:20, :128], before.hidden_weight)
    assert np.array_equal(after.hidden_bias[:20], before.hidden_bias)
    assert not after.hidden_weight[:20, 128:].any()
    assert not after.hidden_weight[:10, 64:].any()
    assert after.hidden_weight[20:, :128].any()
    kept = np.array_equal(after.output_weight[:, :20], before.output_weight)
    assert kept == (old_columns == "keep")


def numbers_trained(monkeypatch) -> list[int]:
    """One entry for each descent from here on: how many numbers it learned."""
    counts, learn = [], fusion.descend

    def watched(samples, labels, start, *rest):
        counts.append(sum(each.numel() for each in start.tensors()))
        return learn(samples, labels, start, *rest)

    monkeypatch.setattr(fusion, "descend", watched)
    return counts


def test_a_model_that_joins_costs_the_training_of_its_own_row(market, monkeypatch):
    before = fused(market, PROGRESSIVE, 3)
    counts = numbers_trained(monkeypatch)
    after = join(before, market.on_fusion_part, market.fusion_labels, PROGRESSIVE)
    own_row, output = 10 * (288 + 1), 10 * (40 + 1)
    assert counts == [own_row + output]
    assert np.array_equal(after.hidden_weight[:30, :224], before.hidden_weight)
    assert np.array_equal(after.hidden_bias[:30], before.hidden_bias)


def test_under_strategy_one_everything_is_trained_anew(market, monkeypatch):
    before = fused(market, FREE, 3)
    counts = numbers_trained(monkeypatch)
    after = join(before, market.on_fusion_part, market.fusion_labels, FREE)
    assert counts == [40 * (288 + 1) + 10 * (40 + 1)]
    assert not np.isclose(after.hidden_weight[:30, :224], before.hidden_weight).all(axis=1).any()


def test_cross_decay_holds_back_what_is_taken_from_earlier_models_alone(market):
    def row(cross_decay: float) -> tuple[float, float]:
        settings = replace(PROGRESSIVE, cross_decay=cross_decay)
        last = fuse(market.on_fusion_part[:2], market.fusion_labels, settings).hidden_weight[10:]
        return float(np.linalg.norm(last[:, :64])), float(np.linalg.norm(last[:, 64:]))

    (loose, own), (tight, same_own) = row(0.1), row(20)
    assert tight < loose / 3
    assert same_own == pytest.approx(own, rel=0.2)


def test_a_row_starts_as_the_models_own_output_layer(market):
    barely = replace(PROGRESSIVE, steps=1, learning_rate=1e-9)
    layers = fuse(market.on_fusion_part[:2], market.fusion_labels, barely)
    for index, each in enumerate(market.on_fusion_part[:2]):
        rows, columns = slice(10 * index, 10 * index + 10), slice(64 * index, 64 * index + 64)
        scale = 2 * np.sqrt(np.mean(each.logits**2))
        assert np.allclose(layers.hidden_weight[rows, columns], each.weight / scale, atol=1e-6)
        assert np.allclose(layers.hidden_bias[rows], each.bias / scale, atol=1e-6)
    assert np.allclose(layers.hidden_weight[10:, :64], 0, atol=1e-6)
    assert np.allclose(layers.output_weight, np.tile(np.eye(10), 2), atol=1e-6)


def test_untrained_the_first_fused_model_says_what_the_model_says(market):
    barely = replace(PROGRESSIVE, steps=1, learning_rate=1e-12)
    layers = fuse(market.on_fusion_part[:1], market.fusion_labels, barely)
    said = layers.logits([market.outputs[0].features]).argmax(1)
    assert np.array_equal(said, market.outputs[0].predictions)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@BOTH
def test_every_activation_fuses(market, settings, activation):
    settings = replace(settings, activation=activation)
    layers = fused(market, settings)
    assert accuracy(layers, market, 4) > 0.8


def test_nothing_that_goes_in_is_changed(market):
    copies = [each.features.copy() for each in market.on_fusion_part[:2]]
    parts = market.on_fusion_part[:2]
    before = fuse(parts[:1], market.fusion_labels, PROGRESSIVE)
    kept = replace(before, hidden_weight=before.hidden_weight.copy())
    join(before, parts, market.fusion_labels, PROGRESSIVE)
    assert all(np.array_equal(a, b.features) for a, b in zip(copies, parts, strict=True))
    assert np.array_equal(kept.hidden_weight, before.hidden_weight)


@BOTH
def test_models_that_do_not_belong_together_are_refused(settings):
    labels = np.array([0, 1, 2, 0])
    with pytest.raises(ModelError, match="found none"):
        fuse([], labels, settings)
    with pytest.raises(ModelError, match="on the same 4 labelled samples"):
        join(None, [toy(4, 5), toy(5, 5)], labels, settings)
    with pytest.raises(ModelError, match="on the same 4 labelled samples"):
        join(None, [toy(4, 5), toy(4, 5, classes=2)], labels, settings)
    with pytest.raises(ModelError, match="one model joins at a time"):
        join(None, [toy(4, 5), toy(4, 5)], labels, settings)
    fused = fuse([toy(4, 5)], labels, settings)
    with pytest.raises(ModelError, match=r"put out \(5,\) features; found \(6,\)"):
        fused.logits([toy(4, 6).features])


magnitudes = st.sampled_from([0.0, 1e-300, 1e-12, 1.0, 1e12, 1e30])


@given(
    arrays(np.float64, (6, 4), elements=st.floats(-1, 1)),
    magnitudes,
    magnitudes,
    st.sampled_from([FREE, PROGRESSIVE]),
)
def test_features_of_any_scale_fuse_to_finite_layers(pattern, scale, weight_scale, settings):
    features = pattern * scale
    weight = np.linspace(-1, 1, 12).reshape(3, 4) * weight_scale
    logits = np.clip(features @ weight.T, -1e30, 1e30)
    odd = ModelOutputs(features, logits, weight, np.zeros(3))
    labels = np.array([0, 1, 2, 0, 1, 2])
    layers = fuse([toy(6, 5), odd], labels, replace(settings, steps=3))
    assert np.isfinite(layers.logits([toy(6, 5).features, features])).all()
