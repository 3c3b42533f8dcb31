"""Verifiers report what a model is worth to the whole; guessers, copies and spoilers get 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bcfl.core.errors import ConfigurationError, ModelError
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules, judge
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.architecture import Limits
from bcfl.market.spec.model_blob import TrainedModel, decode_model_blob, encode_model_blob
from bcfl.market.spec.report import Reason, Report
from tests.market.conftest import fuse_models

RULES = FitnessRules(fusion=FusionSettings(steps=60))
FREE = replace(RULES, fusion=FusionSettings(strategy="I", steps=60))
BOTH = pytest.mark.parametrize("rules", [FREE, RULES], ids=["I", "II"])


@pytest.fixture(scope="module")
def two(market) -> FusedModel:
    return fuse_models(market.models[:2], market.verification, RULES.fusion)


def with_weights(model: TrainedModel, **changes: np.ndarray) -> TrainedModel:
    return TrainedModel(model.architecture, dict(model.weights) | changes)


def untrained(name: str, seed: int, classes: int = 10, shape=(1, 8, 8)) -> TrainedModel:
    architecture = shipped_architecture(name, shape, classes)
    return export_model(build_module(architecture, seed), architecture)


@BOTH
def test_an_honest_model_is_reported_at_the_accuracy_of_the_whole(market, rules):
    accepted = fuse_models(market.models[:2], market.verification, rules.fusion)
    fitness = judge(market.models[2], accepted, market.verification, rules)
    rows = market.verification.parts()[1]
    samples, labels = market.verification.samples[rows], market.verification.labels[rows]
    accuracy = (fitness.fused.logits(samples).argmax(1) == labels).mean()
    assert fitness.accuracy == accuracy > accepted.accuracy + 0.01
    assert fitness.report == Report(round(accuracy * 1_000_000), Reason.MEASURED)
    assert (fitness.before, len(fitness.fused.models)) == (accepted.accuracy, 3)


@BOTH
def test_two_honest_verifiers_report_the_same(market, rules):
    author, reports = bytes(20), []
    for _ in range(2):  # each from the published bytes alone
        models = [
            decode_model_blob(encode_model_blob(model, author), author) for model in market.models
        ]
        accepted = fuse_models(models[:3], market.verification, rules.fusion)
        reports.append(judge(models[3], accepted, market.verification, rules))
    assert reports[0].report == reports[1].report
    assert reports[0].accuracy == reports[1].accuracy


def test_the_first_model_is_measured_by_itself(market):
    fitness = judge(market.models[3], FusedModel(), market.verification, RULES)
    assert fitness.report.fitness > 700_000
    assert (fitness.before, fitness.likeness) == (0, 0)


@pytest.mark.parametrize("name", ["cnn", "mlp", "deep_cnn"])
@pytest.mark.parametrize("position", ["first", "third"])
def test_an_untrained_model_is_worth_nothing(market, two, name, position):
    accepted = two if position == "third" else FusedModel()
    for seed in range(3):
        fitness = judge(untrained(name, seed), accepted, market.verification, RULES)
        assert fitness.report == Report(0, Reason.MEASURED)
        assert "by itself the model reaches" in fitness.finding


def test_trained_fusion_layers_would_have_paid_for_random_features(market):
    # Why a model's own output layer is looked at: the accuracy alone would pass.
    fitness = judge(untrained("mlp", 0), FusedModel(), market.verification, RULES)
    assert fitness.accuracy > 0.6


def disguised(stolen: TrainedModel, disguise: str) -> TrainedModel:
    """The fixture's first CNN, made to look like another; its units lie in layer 7."""
    weights, rng = dict(stolen.weights), np.random.default_rng(0)
    match disguise:
        case "none":
            changes = {}
        case "permuted units":
            order = rng.permutation(64)
            changes = {"7.weight": weights["7.weight"][order], "7.bias": weights["7.bias"][order]}
            changes["9.weight"] = weights["9.weight"][:, order]
        case "scaled units":  # ReLU passes a positive factor on; the next layer takes it back
            factor = rng.uniform(0.1, 10, 64).astype(np.float32)
            changes = {"7.weight": factor[:, None] * weights["7.weight"]}
            changes |= {
                "7.bias": factor * weights["7.bias"],
                "9.weight": weights["9.weight"] / factor,
            }
        case "permuted channels":
            order = rng.permutation(8)
            changes = {"0.weight": weights["0.weight"][order], "0.bias": weights["0.bias"][order]}
            changes["3.weight"] = weights["3.weight"][:, order]
        case "scaled outputs":
            changes = {"9.weight": 3 * weights["9.weight"], "9.bias": 3 * weights["9.bias"]}
        case _:
            changes = {
                key: (array + 0.02 * array.std() * rng.normal(size=array.shape)).astype(np.float32)
                for key, array in weights.items()
            }
    return with_weights(stolen, **changes)


@pytest.mark.parametrize(
    "disguise",
    ["none", "permuted units", "scaled units", "permuted channels", "scaled outputs", "noise"],
)
def test_a_stolen_model_is_worth_nothing(market, two, disguise):
    stolen = disguised(market.models[0], disguise)
    fitness = judge(stolen, two, market.verification, RULES)
    assert fitness.report == Report(0, Reason.DUPLICATE)
    assert "a copy" in fitness.finding


def test_a_model_that_learned_from_wrong_labels_is_worth_nothing(market, two):
    samples, labels = market.images.train_images[::4], market.images.train_labels[::4]
    shuffled = np.random.default_rng(0).permutation(labels)
    architecture = market.models[0].architecture
    wrong = train_contributor(architecture, samples, shuffled, ContributorTraining(), seed=0)
    for accepted in (FusedModel(), two):
        assert judge(wrong, accepted, market.verification, RULES).report.fitness == 0


def test_a_model_that_knows_little_is_reported_below_what_is_demanded(market):
    few = np.flatnonzero(market.images.train_labels < 2)
    little = train_contributor(
        market.models[0].architecture,
        market.images.train_images[few],
        market.images.train_labels[few],
        ContributorTraining(epochs=3),
        seed=0,
    )
    fitness = judge(little, FusedModel(), market.verification, RULES)
    assert fitness.report.fitness < 900_000


def test_honest_models_are_not_taken_for_copies(market):
    accepted = FusedModel()
    for model in market.models:
        fitness = judge(model, accepted, market.verification, RULES)
        assert fitness.report.reason == Reason.MEASURED
        assert fitness.likeness < RULES.copy_likeness
        accepted = fitness.fused


def test_a_model_with_swapped_outputs_is_worth_nothing(market, two):
    weights = market.models[3].weights
    turned = {key: np.roll(weights[key], 1, axis=0) for key in ("9.weight", "9.bias")}
    fitness = judge(with_weights(market.models[3], **turned), two, market.verification, RULES)
    assert fitness.report.fitness == 0

    # Swap few enough that it still does better than guessing.
    order = [0, 1, 2, 3, 4, 5, 8, 9, 6, 7]
    turned = {key: weights[key][order] for key in ("9.weight", "9.bias")}
    fitness = judge(with_weights(market.models[3], **turned), two, market.verification, RULES)
    assert fitness.own > 0.4
    assert fitness.report.fitness == 0
    assert "renamed" in fitness.finding


def test_a_model_that_does_not_bring_what_is_demanded_is_worth_nothing(market, two):
    demanding = replace(RULES, least_gain_ppm=900_000)
    fitness = judge(market.models[2], two, market.verification, demanding)
    assert fitness.report == Report(0, Reason.MEASURED)
    assert "expected 900000 or more" in fitness.finding
    forgiving = replace(RULES, least_gain_ppm=-1_000_000)
    assert judge(market.models[2], two, market.verification, forgiving).report.fitness > 0


@pytest.mark.parametrize(
    "candidate",
    [
        untrained("cnn", 0, classes=9),
        untrained("cnn", 0, classes=11),
        untrained("cnn", 0, shape=(1, 12, 12)),
        untrained("mlp", 0, shape=(64,)),
        with_weights(
            untrained("cnn", 0),
            **{
                key: np.full(untrained("cnn", 0).weights[key].shape, 3e38, np.float32)
                for key in ("0.weight", "3.weight", "7.weight", "9.weight")
            },
        ),
    ],
    ids=["9 classes", "11 classes", "other images", "vectors", "beyond all bounds"],
)
def test_a_model_that_cannot_be_measured_is_reported_not_raised(market, two, candidate):
    fitness = judge(candidate, two, market.verification, RULES)
    assert fitness.report == Report(0, Reason.MALFORMED)
    assert fitness.fused is None
    assert fitness.finding


def test_a_model_beyond_the_tasks_limits_is_reported_not_raised(market, two):
    strict = replace(RULES, limits=Limits(parameters=100))
    fitness = judge(market.models[2], two, market.verification, strict)
    assert fitness.report == Report(0, Reason.MALFORMED)
    assert "at most 100 parameters" in fitness.finding


def test_whatever_is_judged_the_fused_model_is_unharmed(market, two):
    rows = market.verification.parts()[1]
    samples = market.verification.samples[rows]
    before = two.logits(samples)
    for candidate in (untrained("mlp", 1), market.models[0], market.models[2]):
        judge(candidate, two, market.verification, RULES)
    assert two.logits(samples).tobytes() == before.tobytes()
    assert len(two.models) == 2


def test_a_fused_model_without_models_says_nothing():
    with pytest.raises(ModelError, match="one model or more"):
        FusedModel().logits(np.zeros((1, 1, 8, 8), np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"own_lift": -1.0},
        {"own_names": 1.1},
        {"copy_likeness": 0.0},
        {"copy_likeness": float("nan")},
        {"least_gain_ppm": 1_000_001},
        {"public_accuracy": -0.1},
        {"data_gain_ppm": 1_000_001},
    ],
)
def test_rules_out_of_range_are_refused_by_name(change):
    with pytest.raises(ConfigurationError, match=rf"fitness\.{next(iter(change))}: expected"):
        FitnessRules(**change)
