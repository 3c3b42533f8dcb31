"""A small federated task in plain NumPy: softmax regression on three blobs of points.

Written as Flower's documentation writes an app; knows nothing of bcfl.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

FEATURES, CLASSES, POINTS = 6, 3, 60


def initial_arrays() -> ArrayRecord:
    """Zeros: weight (6, 3) and bias (3,), float32."""
    return ArrayRecord([np.zeros((FEATURES, CLASSES), np.float32), np.zeros(CLASSES, np.float32)])


def points(partition: int) -> tuple[np.ndarray, np.ndarray]:
    """One client's data: 60 points about three centres."""
    rng = np.random.default_rng(100 + partition)
    centres = np.random.default_rng(7).normal(0, 2, (CLASSES, FEATURES))
    labels = rng.integers(0, CLASSES, POINTS)
    return (centres[labels] + rng.normal(size=(POINTS, FEATURES))).astype(np.float32), labels


def probabilities(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Softmax of x·W + b."""
    logits = x @ weights[0] + weights[1]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def loss_and_accuracy(weights: list[np.ndarray], partition: int) -> tuple[float, float]:
    """Cross entropy and accuracy on one client's data."""
    x, y = points(partition)
    p = probabilities(weights, x)
    loss = float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())
    return loss, float((p.argmax(axis=1) == y).mean())


def client_app(mods: list[Any] | None = None) -> ClientApp:
    """The app, with the mods that a test wants."""
    app = ClientApp(mods=mods or [])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        weights = message.content["arrays"].to_numpy_ndarrays()
        x, y = points(int(context.node_config["partition-id"]))
        for _ in range(5):
            residual = probabilities(weights, x) - np.eye(CLASSES, dtype=np.float32)[y]
            weights = [
                (weights[0] - 0.5 * x.T @ residual / len(y)).astype(np.float32),
                (weights[1] - 0.5 * residual.mean(axis=0)).astype(np.float32),
            ]
        metrics = MetricRecord({"train_loss": 0.0, "num-examples": len(y)})
        return Message(
            RecordDict({"arrays": ArrayRecord(weights), "metrics": metrics}), reply_to=message
        )

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        weights = message.content["arrays"].to_numpy_ndarrays()
        loss, accuracy = loss_and_accuracy(weights, int(context.node_config["partition-id"]))
        metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": POINTS})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app
