"""Bundled data, shared out as Flower's examples do it: by ``partition-id``."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

__all__ = ["FEATURES", "Seed", "answer", "partition", "patients", "test_set"]

FEATURES = 64
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]
_TEST = 397


class Seed:
    """Of the order in which samples are shared out: who has which, and which nobody has."""

    value = 0


def _digits() -> Rows:
    data = load_digits()
    order = np.random.default_rng(Seed.value).permutation(len(data.target))
    return (data.data[order] / 16).astype(np.float32), data.target[order].astype(np.int64)


def test_set() -> Rows:
    """397 of scikit-learn's digits, which no client has: (397, 64) in [0, 1], labels 0 to 9."""
    x, y = _digits()
    return x[-_TEST:], y[-_TEST:]


def partition(context: Context) -> tuple[Rows, Rows]:
    """A client's digits, for training and for validation."""
    x, y = _digits()
    x, y = x[:-_TEST], y[:-_TEST]
    mine = slice(int(context.node_config["partition-id"]), None, _count(context))
    x, y = x[mine], y[mine]
    return (x[40:], y[40:]), (x[:40], y[:40])


def patients(context: Context | None = None) -> Rows:
    """A table: 30 measured properties, two classes. A client's rows, or those of nobody."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(Seed.value).permutation(len(y))
    x, y = ((x - x.mean(0)) / x.std(0)).astype(np.float32)[order], y[order].astype(np.int64)
    if context is None:
        return x[-169:], y[-169:]
    mine = slice(int(context.node_config["partition-id"]), 400, _count(context))
    return x[mine], y[mine]


def answer(
    message: Message, metrics: dict[str, float], arrays: ArrayRecord | None = None
) -> Message:
    """The last lines of every handler in Flower's examples."""
    records = {} if arrays is None else {"arrays": arrays}
    return Message(RecordDict(records | {"metrics": MetricRecord(metrics)}), reply_to=message)


def _count(context: Context) -> int:
    return int(context.node_config["num-partitions"])
