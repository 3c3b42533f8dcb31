"""Centralised: Flower's loop without clients."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord

from bcfl.flower.grid import InProcessGrid
from bcfl.strategies.centralised import Centralised


def record(value: float) -> ArrayRecord:
    return ArrayRecord({"w": Array(np.array([value]))})


def nobody(message: object, context: object) -> None:
    raise AssertionError("a client was asked")


def test_each_round_trains_what_the_last_one_left() -> None:
    seen = []

    def train(round_: int, arrays: ArrayRecord) -> tuple[ArrayRecord, MetricRecord]:
        value = float(arrays["w"].numpy()[0])
        seen.append((round_, value))
        return record(value + 10 * round_), MetricRecord({"train_loss": 1.0 / round_})

    def evaluate(round_: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": float(arrays["w"].numpy()[0])})

    result = Centralised(train).start(
        InProcessGrid(nobody, 3), record(1.0), num_rounds=3, evaluate_fn=evaluate
    )
    assert seen == [(1, 1.0), (2, 11.0), (3, 31.0)]
    assert result.arrays["w"].numpy().tolist() == [61.0]
    assert [m["accuracy"] for m in result.evaluate_metrics_serverapp.values()] == [1, 11, 31, 61]
    assert result.train_metrics_clientapp[2]["train_loss"] == 0.5
    assert not result.evaluate_metrics_clientapp
