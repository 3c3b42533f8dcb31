"""Softmax regression on points about four centres; each partition has its own points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEATURES, CLASSES, POINTS = 20, 4, 200

Arrays = list[NDArray[np.float32]]


def initial_arrays() -> Arrays:
    """Zeros: weight (20, 4) and bias (4,)."""
    return [np.zeros((FEATURES, CLASSES), np.float32), np.zeros(CLASSES, np.float32)]


def load_data(partition: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """200 points of one partition, and their classes."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng(1 + partition)
    labels = rng.integers(0, CLASSES, POINTS)
    points = centres[labels] + rng.normal(size=(POINTS, FEATURES))
    return points.astype(np.float32), labels


def train(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.int64]) -> Arrays:
    """Ten steps of gradient descent."""
    weight, bias = arrays
    for _ in range(10):
        residual = _probabilities([weight, bias], x) - np.eye(CLASSES, dtype=np.float32)[y]
        weight = (weight - 0.5 * x.T @ residual / len(y)).astype(np.float32)
        bias = (bias - 0.5 * residual.mean(axis=0)).astype(np.float32)
    return [weight, bias]


def evaluate(arrays: Arrays, x: NDArray[np.float32], y: NDArray[np.int64]) -> tuple[float, float]:
    """Cross entropy and accuracy."""
    p = _probabilities(arrays, x)
    loss = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean()
    return float(loss), float((p.argmax(axis=1) == y).mean())


def _probabilities(arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
    logits = x @ arrays[0] + arrays[1]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
