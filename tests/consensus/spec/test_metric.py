"""Which metric is the value, and which way it points."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.metric import choose_quality, says_direction
from bcfl.core.errors import MetricError


@pytest.mark.parametrize(
    ("metrics", "wanted", "name", "quality"),
    [
        ({"loss": 2.0, "accuracy": 0.5}, None, "loss", -2.0),
        ({"eval_loss": 2.0, "eval_acc": 0.5, "num-examples": 9}, None, "eval_loss", -2.0),
        ({"Val-Loss": 2.0}, None, "Val-Loss", -2.0),
        ({"eval_acc": 0.5, "num-examples": 9}, None, "eval_acc", 0.5),
        ({"Accuracy": 1, "f1": 0.3}, None, "Accuracy", 1.0),
        ({"loss": 2.0, "accuracy": 0.5}, "accuracy", "accuracy", 0.5),
        ({"eval_loss": 2.0, "eval_acc": 0.5}, "accuracy", "eval_acc", 0.5),
        ({"eval_loss": 2.0, "eval_acc": 0.5}, "Accuracy", "eval_acc", 0.5),
        ({"eval_loss": 2.0, "eval_acc": 0.5}, "acc", "eval_acc", 0.5),
        ({"eval_loss": 2.0, "eval_acc": 0.5}, "loss", "eval_loss", -2.0),
        ({"f1": 0.25, "loss": 2.0}, "f1", "f1", 0.25),
        ({"loss": 2.0, "val_loss": 3.0}, "loss", "loss", -2.0),
        ({"accuracy": 0.5, "balanced_accuracy": 0.4}, "accuracy", "accuracy", 0.5),
        ({"rmse": 3.0}, "rmse", "rmse", -3.0),
        ({"perplexity": 3.0}, "perplexity", "perplexity", -3.0),
        ({"latency": 3.0}, "-latency", "latency", -3.0),
        ({"eval_latency": 3.0}, "-latency", "eval_latency", -3.0),
        ({"loss": 3.0}, "-loss", "loss", -3.0),
        ({"error_free": 3.0}, "+error_free", "error_free", 3.0),
        ({"acceleration": 1.0, "eval_acc": 0.5}, None, "eval_acc", 0.5),
        ({"acceleration": 1.0, "valAcc": 0.5}, "acc", "valAcc", 0.5),
        ({"vaccine": 1.0, "Acc": 0.5}, None, "Acc", 0.5),
        ({"train_loss": 1.0, "loss": 2.0}, None, "loss", -2.0),
        ({"train_Loss": 1.0, "Loss": 2.0}, "loss", "Loss", -2.0),
        ({"acc": 0.5, "top5_acc": 0.9}, "accuracy", "acc", 0.5),
        ({"neg_log_loss": -0.7}, "neg_log_loss", "neg_log_loss", -0.7),
        ({"neg_mean_squared_error": -0.7}, "neg_mean_squared", "neg_mean_squared_error", -0.7),
        ({"mape": 3.0}, "-mape", "mape", -3.0),
        ({"test_logloss": 3.0}, None, "test_logloss", -3.0),
        ({"lossless": 1.0, "acc5": 0.5}, None, "acc5", 0.5),
        ({"eval_f1": 0.5, "loss": 1.0}, "f1", "eval_f1", 0.5),
        ({"acceleration": 1.0}, "-acceleration", "acceleration", -1.0),
    ],
)
def test_the_metric_and_its_direction(
    metrics: dict[str, Any], wanted: str | None, name: str, quality: float
) -> None:
    assert choose_quality(metrics, wanted) == (name, quality)


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        ({}, None),
        ({"f1": 0.3, "num-examples": 9}, None),
        ({"train_loss": 1.0, "eval_loss": 2.0}, None),
        ({"top1_acc": 1.0, "top5_acc": 2.0}, None),
        ({"eval_loss": 1.0}, "accuracy"),
        ({"acceleration": 1.0}, None),
        ({"accumulated": 1.0}, "acc"),
        ({"trainAccumulated": 1.0}, "acc"),
        ({"eval_loss": 1.0, "train_loss": 1.0}, "loss"),
        ({"loss": 1.0}, "f1"),
        ({"loss": 1.0}, "-f1"),
    ],
)
def test_none_or_several_is_an_error_that_lists_the_names(
    metrics: dict[str, float], wanted: str | None
) -> None:
    with pytest.raises(MetricError) as raised:
        choose_quality(metrics, wanted)
    message = str(raised.value)
    assert (str(sorted(metrics)) if metrics else "found none") in message
    assert "Set metric= to one of the names" in message
    if wanted:
        assert repr(wanted.removeprefix("-")) in message


@pytest.mark.parametrize("name", ["mape", "wer", "brier", "deviance", "acceleration", "entropy"])
def test_a_name_that_does_not_say_it_asks_for_its_direction(name: str) -> None:
    assert not says_direction(name)
    with pytest.raises(MetricError, match=rf'metric="-{name}" if smaller is better'):
        choose_quality({name: 1.0}, name)
    assert says_direction("-" + name)


def test_a_name_that_says_two_directions_says_none() -> None:
    assert not says_direction("accuracy_loss")


def test_lists_are_passed_over() -> None:
    metrics = {"loss": [2.0, 3.0], "loss_by_class": [1.0], "accuracy": 0.5}
    assert choose_quality(metrics, None) == ("accuracy", 0.5)
    with pytest.raises(MetricError, match=r"found \['accuracy'\]"):
        choose_quality(metrics, "loss")


def test_a_loss_that_is_nan_stays_nan() -> None:
    name, quality = choose_quality({"loss": math.nan, "accuracy": 0.9}, None)
    assert name == "loss"
    assert math.isnan(quality)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_the_smaller_loss_and_the_larger_accuracy_are_better(one: float, other: float) -> None:
    losses = [choose_quality({"loss": value}, None)[1] for value in (one, other)]
    accuracies = [choose_quality({"acc": value}, None)[1] for value in (one, other)]
    assert (losses[0] > losses[1]) == (one < other)
    assert (accuracies[0] > accuracies[1]) == (one > other)


def test_the_metrics_are_left_as_they_are() -> None:
    metrics = {"loss": 1, "acc": [1.0]}
    choose_quality(metrics, None)
    assert metrics == {"loss": 1, "acc": [1.0]}
