"""A contributor's own training, on its own data; bcfl's suggestion, which nobody has to take.

PROTOCOL, System B, computing contributor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from bcfl.core.errors import ModelError, expect
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.features import deterministic
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Architecture, Limits
from bcfl.market.spec.model_blob import TrainedModel

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class ContributorTraining:
    """AdamW with a learning rate that rises for a fifth of the steps and then falls.

    Raises
    ------
    ConfigurationError
        A setting is out of its range.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.002  #: the highest
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("learning_rate", 0 < self.learning_rate < 1, "in (0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < 1, "in [0, 1)"),
        ):
            expect(valid, f"training.{name}", expected, getattr(self, name))


def train_contributor(
    architecture: Architecture,
    samples: NDArray[np.float32],
    labels: NDArray[np.int64],
    settings: ContributorTraining,
    seed: int,
    limits: Limits = DEFAULT_LIMITS,
    device: torch.device = CPU,
) -> TrainedModel:
    """Train a model from scratch; the same arguments give the same weights.

    Parameters
    ----------
    samples : float32, (count, *input_shape)
        Two or more.
    labels : int64, (count,)
    seed : int
        Decides initial weights, order and dropout; torch's generators are left as they were.
    device : torch.device
        On which to train.

    Raises
    ------
    ArchitectureError
        The architecture is beyond ``limits``.
    ModelError
        The data do not fit the architecture, or the training diverged.
    """
    if samples.shape[1:] != architecture.input_shape or len(samples) < 2:
        raise ModelError(
            f"two or more samples of shape {architecture.input_shape} expected; "
            f"found {samples.shape}"
        )
    if len(labels) != len(samples):
        raise ModelError(f"one label for each of {len(samples)} samples; found {len(labels)}")
    if labels.min() < 0 or labels.max() >= architecture.classes:
        raise ModelError(
            f"labels lie in [0, {architecture.classes}); found {labels.min()} to {labels.max()}"
        )
    drawing = [device] if device.type == "cuda" else []
    with deterministic(), torch.random.fork_rng(drawing):
        module = build_module(architecture, seed, limits).to(device)
        torch.manual_seed(seed)
        inputs = torch.tensor(samples).to(device)
        targets = torch.tensor(labels).to(device)
        # A batch of one has no statistics for batch normalisation: drop the remainder.
        batch = min(settings.batch_size, len(samples))
        steps = settings.epochs * (len(samples) // batch)
        optimizer = torch.optim.AdamW(module.parameters(), weight_decay=settings.weight_decay)
        rates = _learning_rates(settings.learning_rate, steps)
        for _ in range(settings.epochs):
            order = torch.randperm(len(inputs)).to(device)
            for at in range(0, len(inputs) - batch + 1, batch):
                rows = order[at : at + batch]
                optimizer.param_groups[0]["lr"] = next(rates)
                optimizer.zero_grad()
                loss = cross_entropy(module(inputs[rows]), targets[rows])
                torch.autograd.backward(loss)
                optimizer.step()
        return export_model(module, architecture)


def _learning_rates(highest: float, steps: int) -> Iterator[float]:
    """A line up for a fifth of the steps, then half a cosine down to zero."""
    rise = max(1, steps // 5)
    for step in range(steps):
        if step < rise:
            yield highest * (step + 1) / rise
        else:
            yield highest * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
