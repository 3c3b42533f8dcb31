"""The networks of the experiment, described as the marketplace describes its own.

No batch normalisation: its running counts are integers and its statistics leak between
clients' averages. GroupNorm keeps nothing, so every array of a model is floating point.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gcd

import torch
from torch import nn

from bcfl.experiment.clients.settings import ModelSettings
from bcfl.market.models.build import build_module
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.layer_kinds import Conv2d, Flatten, Linear, MaxPool2d, Relu
from bcfl.market.spec.layers import Layer

CPU = torch.device("cpu")


def build_model(settings: ModelSettings, seed: int) -> nn.Module:
    """The network, with the weights that this seed draws.

    Parameters
    ----------
    settings : ModelSettings
        Kind, image shape, classes, widths.
    seed : int
        Seeds the initial weights; torch's global generator is left as it was.

    Returns
    -------
    torch.nn.Module
        Takes float32 images of shape (batch, channels, height, width), gives logits of
        shape (batch, classes).
    """
    layers = (*_hidden_layers(settings), Linear(settings.classes))
    module = build_module(Architecture(settings.shape, layers), seed)
    return nn.Sequential(*_fitted(module, group_norm=settings.group_norm))


@lru_cache(maxsize=8)
def blank_model(settings: ModelSettings, device: torch.device = CPU) -> nn.Module:
    """The network, for whoever overwrites all its values: the same object each time."""
    return build_model(settings, seed=0).to(device)


def _hidden_layers(settings: ModelSettings) -> Iterator[Layer]:
    if settings.kind == "cnn":
        for channels, pool in zip(settings.widths, settings.pool, strict=True):
            yield from (Conv2d(channels, kernel=3, padding=1), Relu())
            if pool:
                yield MaxPool2d(2, 2)
    yield Flatten()
    if settings.kind == "mlp":
        for units in settings.widths:
            yield from (Linear(units), Relu())


def _fitted(module: nn.Sequential, *, group_norm: bool) -> Iterator[nn.Module]:
    """Its layers, with what no model may be sold with: a norm after each convolution."""
    for layer in module:
        yield layer
        if group_norm and isinstance(layer, nn.Conv2d):
            yield nn.GroupNorm(gcd(layer.out_channels, 4), layer.out_channels)
