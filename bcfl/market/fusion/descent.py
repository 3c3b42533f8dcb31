"""Back-propagation for the fusion layers: inputs at one scale, and one descent for both strategies.

Everything is a function of its arguments in double precision; nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from bcfl.market.fusion.layers import ACTIVATIONS
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.features import ModelOutputs


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one descent learns; float64 tensors.

    Parameters
    ----------
    weight : (rows, width)
        New rows of A, on standardised features.
    bias : (rows,)
    output : (classes, earlier + rows)
        B: the columns of earlier rows first.
    output_bias : (classes,)
    """

    weight: torch.Tensor
    bias: torch.Tensor
    output: torch.Tensor
    output_bias: torch.Tensor

    def zeros(self) -> Parameters:
        """As many zeros."""
        return Parameters(*(torch.zeros_like(each) for each in self.tensors()))

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All four."""
        return self.weight, self.bias, self.output, self.output_bias


class Standardised:
    """f_c on the fusion part: each feature's mean is 0, each model's mean square 1.

    One scale for all features of a model: a scale for each would stretch those that hardly
    move, which are noise more often than not.

    Parameters
    ----------
    models : sequence of ModelOutputs
        In joining order, on the same samples.
    """

    def __init__(self, models: Sequence[ModelOutputs]) -> None:
        raw = [torch.from_numpy(model.features) for model in models]
        self.widths = tuple(part.shape[1] for part in raw)
        self.width = sum(self.widths)
        self._mean = torch.cat([part.mean(0) for part in raw])
        centred = [part - part.mean(0) for part in raw]
        self._scale = torch.cat([_scale(part) for part in centred])
        self.samples = torch.cat(centred, dim=1) / self._scale

    def fold(
        self, weight: torch.Tensor, bias: torch.Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same affine map, on the features as they come."""
        folded = weight / self._scale
        return folded.numpy(), (bias - folded @ self._mean).numpy()

    def unfold_last(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """An affine map of the last model's features, on them as standardised."""
        matrix, width = torch.from_numpy(weight), self.widths[-1]
        shifted = torch.from_numpy(bias) + matrix @ self._mean[-width:]
        return matrix * self._scale[-width:], shifted


def descend(
    samples: torch.Tensor,
    labels: NDArray[np.int64],
    start: Parameters,
    origin: Parameters,
    settings: FusionSettings,
    weight_decay: torch.Tensor,
    earlier: torch.Tensor | None = None,
    keep_earlier_columns: bool = False,
) -> Parameters:
    """Adam on the cross-entropy of softmax(B·[earlier, φ(A·f_c)]), all samples in every step.

    Parameters
    ----------
    samples : float64, (count, width)
        f_c, standardised.
    labels : int64, (count,)
    origin : Parameters
        What weight, bias and output decay to, as in AdamW; the output bias does not.
    weight_decay : float64, (width,)
        How strongly each column of weight decays; bias and output do by ``settings.decay``.
    earlier : float64, (count, earlier), optional
        h of rows of A that stay as they are.
    keep_earlier_columns : bool
        Leave B's columns for them as they are, too.
    """
    if earlier is None:
        earlier = samples.new_zeros(len(samples), 0)
    phi, targets = ACTIVATIONS[settings.activation], torch.from_numpy(labels)
    learned = Parameters(*(each.clone().requires_grad_() for each in start.tensors()))
    decay = torch.tensor(settings.decay, dtype=torch.float64)
    decays = (weight_decay, decay, decay)
    optimizer = torch.optim.Adam(learned.tensors(), lr=settings.learning_rate)
    for step in range(settings.steps):
        rate = settings.learning_rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        hidden = phi(torch.addmm(learned.bias, samples, learned.weight.T))
        logits = torch.addmm(
            learned.output_bias, torch.cat([earlier, hidden], dim=1), learned.output.T
        )
        loss = cross_entropy(logits, targets, label_smoothing=settings.smoothing)
        torch.autograd.backward(loss)
        if keep_earlier_columns:
            assert learned.output.grad is not None
            learned.output.grad[:, : earlier.shape[1]] = 0
        optimizer.step()
        with torch.no_grad():
            for value, goal, pull in zip(
                learned.tensors()[:3], origin.tensors()[:3], decays, strict=True
            ):
                value.lerp_(goal, rate * pull)
    return Parameters(*(each.detach() for each in learned.tensors()))


def _scale(centred: torch.Tensor) -> torch.Tensor:
    """The root mean square, once for each feature; 1 where nothing moves."""
    scale = centred.square().mean().sqrt()
    return (scale if scale > 0 else torch.ones_like(scale)).expand(centred.shape[1])
