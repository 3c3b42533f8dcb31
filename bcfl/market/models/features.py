"""Frozen feature extractors: what a model puts out, computed once for each model and data set.

Double precision and one thread. Two verifiers' processors may sum in different orders, and
the last bits then differ; at 1e-16 that does not carry over to an accuracy, where in single
precision it sometimes would.
PROTOCOL, System B, fusion: "remove their output layers".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bcfl.core.errors import ModelError
from bcfl.market.models.build import load_module
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.model_blob import TrainedModel

#: Numbers that one batch may keep: 64 MiB of doubles.
_BATCH_NUMBERS = 1 << 23
#: No feature or logit may be larger: its square, summed over all samples, stays finite.
_LARGEST = 1e30


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """One model on one data set of ``count`` samples.

    Parameters
    ----------
    features : float64, (count, features)
        What the layer before the output layer puts out.
    logits : float64, (count, classes)
        What the model says by itself.
    weight : float64, (classes, features)
        Its output layer, which strategy II starts from.
    bias : float64, (classes,)
    """

    features: NDArray[np.float64]
    logits: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def predictions(self) -> NDArray[np.intp]:
        """The class that the model says, for each sample: (count,)."""
        predictions: NDArray[np.intp] = self.logits.argmax(axis=1)
        return predictions

    def at(self, rows: NDArray[np.intp]) -> ModelOutputs:
        """The same model on some of the samples."""
        return replace(self, features=self.features[rows], logits=self.logits[rows])


def model_outputs(
    model: TrainedModel, samples: NDArray[np.float32], limits: Limits = DEFAULT_LIMITS
) -> ModelOutputs:
    """Pass the samples through the model, once.

    Parameters
    ----------
    samples : float32, (count, *input_shape)
    limits : Limits
        Bounds memory: batches are made smaller for models that keep more for a sample.

    Raises
    ------
    ArchitectureError
        The model is beyond ``limits``.
    ModelError
        The model takes other samples, or something that it puts out is not
        finite, or beyond ±1e30.
    """
    if samples.shape[1:] != model.architecture.input_shape:
        raise ModelError(
            f"the task's samples are of shape {samples.shape[1:]}; "
            f"the model takes {model.architecture.input_shape}"
        )
    batch = max(1, min(256, _BATCH_NUMBERS // model.architecture.check(limits).activations))
    with deterministic():
        module = load_module(model, limits).double()
        extractor, output = module[:-1], module[-1]
        assert isinstance(output, nn.Linear)
        parts = [
            extractor(torch.tensor(samples[at : at + batch], dtype=torch.float64))
            for at in range(0, len(samples), batch)
        ]
        features = torch.cat(parts)
        logits = output(features)
    for values in (features, logits):
        if not bool((values.abs() <= _LARGEST).all()):  # NaN, too, is not within
            raise ModelError(
                f"what a model puts out lies within ±{_LARGEST:g} always; found NaN or more"
            )
    return ModelOutputs(
        features.numpy(), logits.numpy(), output.weight.numpy(), output.bias.numpy()
    )


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside, torch sums in one order, on one thread, by algorithms that repeat themselves."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    # What use_deterministic_algorithms(True) sets, without importing the compiler as it does.
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
