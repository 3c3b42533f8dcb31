"""The networks of the experiment, in torch, built from a description and a seed.

No batch normalisation: its running counts are integers and its statistics leak between
clients' averages. GroupNorm keeps nothing, so every array of a model is floating point.
"""

from __future__ import annotations

from math import gcd, prod

import torch
from torch import nn

from bcfl.experiment.clients.settings import ModelSettings

__all__ = ["build_model"]


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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILDERS[settings.kind](settings)


def _cnn(settings: ModelSettings) -> nn.Module:
    channels, height, width = settings.shape
    layers: list[nn.Module] = []
    for out_channels, pool in zip(settings.widths, settings.pool, strict=True):
        layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1))
        if settings.group_norm:
            layers.append(nn.GroupNorm(gcd(out_channels, 4), out_channels))
        layers.append(nn.ReLU())
        if pool:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        channels = out_channels
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(channels * height * width, settings.classes)
    )


def _mlp(settings: ModelSettings) -> nn.Module:
    units = prod(settings.shape)
    layers: list[nn.Module] = [nn.Flatten()]
    for width in settings.widths:
        layers += [nn.Linear(units, width), nn.ReLU()]
        units = width
    return nn.Sequential(*layers, nn.Linear(units, settings.classes))


def _logistic(settings: ModelSettings) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(settings.shape), settings.classes))


_BUILDERS = {"cnn": _cnn, "mlp": _mlp, "logistic": _logistic}
