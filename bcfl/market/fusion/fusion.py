"""Strategies I and II: how A and B of the fused model come about.

**I.** A and B unconstrained, from random weights, by back-propagation; every model that joins
means training all of A and B anew.

**II**, progressive. **[reading]** A is block lower-triangular. Block A_kk starts as model k's
own output layer, blocks A_kj (j < k) at zero; they learn what model k can take from earlier
ones. When model k joins, the rows of the models before it stay as they are, and what they put
out is computed once: joining costs the training of row k and of B, classes × hidden numbers.
**[reading]** "B is extended": by the identity, each model's own vote; and its old columns?
``old_columns="relearn"``, the default, starts them, too, from the identity. ``"train"`` goes
on from where they stood, ``"keep"`` leaves them as they were: then the fused model of k − 1
has already learned the samples by heart, and little is left for row k to learn from.

Beyond the article, the same for both. (1) Trained on centred features, those of each model
scaled by one number, because models put out numbers of any scale; folded back into A
afterwards. (2) Smoothed labels, decay, all samples in every step: a thousand samples are few.

Beyond the article, II alone. (3) A_kk is divided by twice the root mean square of the model's
own logits, which keeps their order: a model that has seen two classes is certain about
everything, and large logits would begin where ELU is flat. (4) Decay is towards the start, and
stronger for A_kj than for A_kk: B has the earlier models' rows already, and A_kj need only
bring what these do not say.

PROTOCOL, System B, fusion; arXiv 1807.02515, fig. 4 and the text on strategies I and II.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bcfl.core.errors import ModelError
from bcfl.market.fusion.descent import Parameters, Standardised, descend
from bcfl.market.fusion.layers import FusionLayers
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.features import ModelOutputs, deterministic

#: Root mean square of what row k puts out at its start, before φ.
_START = 0.5


def join(
    layers: FusionLayers | None,
    models: Sequence[ModelOutputs],
    labels: NDArray[np.int64],
    settings: FusionSettings,
) -> FusionLayers:
    """Let the last of ``models`` join the fused model of those before it.

    Strategy II trains the new part alone; strategy I has no part that it could keep.

    Parameters
    ----------
    layers : FusionLayers or None
        The fused model of ``models[:-1]``; None where there is only one model.
    models : sequence of ModelOutputs
        One or more, all on the same samples: the fusion part of the verification set.
    labels : int64, (count,)

    Raises
    ------
    ModelError
        No model, models that differ in classes or samples, or ``layers`` of other models.
    """
    _expect_alike(models, labels)
    if (len(layers.widths) if layers else 0) != len(models) - 1:
        raise ModelError("one model joins at a time: layers of all models but the last expected")
    if settings.strategy == "I":
        return _fuse_freely(models, labels, settings)
    return _join_progressively(layers, models, labels, settings)


def _expect_alike(models: Sequence[ModelOutputs], labels: NDArray[np.int64]) -> None:
    if not models:
        raise ModelError("one model or more is needed to fuse; found none")
    shapes = {model.logits.shape for model in models}
    if shapes != {(len(labels), models[0].logits.shape[1])} or not len(labels):
        raise ModelError(
            f"all models' logits are (samples, classes) on the same {len(labels)} labelled "
            f"samples; found {sorted(shapes)}"
        )


def _fuse_freely(
    models: Sequence[ModelOutputs], labels: NDArray[np.int64], settings: FusionSettings
) -> FusionLayers:
    classes = models[0].logits.shape[1]
    hidden = classes * len(models)
    with deterministic():
        inputs = Standardised(models)
        generator = torch.Generator().manual_seed(settings.seed)
        start = Parameters(
            _uniform((hidden, inputs.width), generator),
            torch.zeros(hidden, dtype=torch.float64),
            _uniform((classes, hidden), generator),
            torch.zeros(classes, dtype=torch.float64),
        )
        decay = torch.full((inputs.width,), settings.decay, dtype=torch.float64)
        learned = descend(inputs.samples, labels, start, start.zeros(), settings, decay)
        weight, bias = inputs.fold(learned.weight, learned.bias)
    return FusionLayers(
        settings.activation,
        inputs.widths,
        weight,
        bias,
        learned.output.numpy(),
        learned.output_bias.numpy(),
    )


def _join_progressively(
    before: FusionLayers | None,
    models: Sequence[ModelOutputs],
    labels: NDArray[np.int64],
    settings: FusionSettings,
) -> FusionLayers:
    with deterministic():
        inputs = Standardised(models)
        earlier = _hidden_before(before, models)
        start = _own_layer_as_start(before, models[-1], inputs, settings)
        decay = torch.full((inputs.width,), settings.cross_decay, dtype=torch.float64)
        decay[-inputs.widths[-1] :] = settings.decay
        kept = settings.old_columns == "keep"
        learned = descend(inputs.samples, labels, start, start, settings, decay, earlier, kept)
        row, bias = inputs.fold(learned.weight, learned.bias)
    if before is not None:
        new_columns = inputs.width - before.hidden_weight.shape[1]
        row = np.concatenate([np.pad(before.hidden_weight, ((0, 0), (0, new_columns))), row])
        bias = np.concatenate([before.hidden_bias, bias])
    return FusionLayers(
        settings.activation,
        inputs.widths,
        row,
        bias,
        learned.output.numpy(),
        learned.output_bias.numpy(),
    )


def _hidden_before(before: FusionLayers | None, models: Sequence[ModelOutputs]) -> torch.Tensor:
    """What the rows of earlier models put out: (count, hidden), perhaps none."""
    if before is None:
        return torch.zeros(len(models[0].logits), 0, dtype=torch.float64)
    return torch.from_numpy(before.hidden([model.features for model in models[:-1]]))


def _own_layer_as_start(
    before: FusionLayers | None,
    joining: ModelOutputs,
    inputs: Standardised,
    settings: FusionSettings,
) -> Parameters:
    """Row k: A_kj = 0 and A_kk the model's own output layer; B extended by the identity."""
    classes, width = joining.weight.shape
    weight = torch.zeros(classes, inputs.width, dtype=torch.float64)
    scale = np.sqrt(np.mean(joining.logits**2)) / _START or 1.0
    own, bias = inputs.unfold_last(joining.weight / scale, joining.bias / scale)
    weight[:, inputs.width - width :] = own
    vote = torch.eye(classes, dtype=torch.float64)
    if before is None:
        return Parameters(weight, bias, vote, torch.zeros(classes, dtype=torch.float64))
    if settings.old_columns == "relearn":
        old, output_bias = vote.repeat(1, len(before.widths)), torch.zeros_like(bias)
    else:
        old = torch.from_numpy(before.output_weight)
        output_bias = torch.from_numpy(before.output_bias)
    return Parameters(weight, bias, torch.cat([old, vote], dim=1), output_bias)


def _uniform(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Uniform in ±1/√fan-in, as ``torch.nn.Linear`` begins."""
    values = torch.empty(shape, dtype=torch.float64)
    return values.uniform_(-1, 1, generator=generator) / math.sqrt(shape[1])
