"""A torch module from an architecture, and back: the only place where a description runs.

The cases below are all there is: a kind, and the ``torch.nn`` class that it stands for.
Nothing is looked up by a name that a stranger wrote.
PROTOCOL, System B, computing contributor.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bcfl.market.spec import layer_kinds as kinds
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Architecture, ArraySlot, Limits
from bcfl.market.spec.layers import Layer, Shape
from bcfl.market.spec.model_blob import TrainedModel


def build_module(
    architecture: Architecture, seed: int, limits: Limits = DEFAULT_LIMITS
) -> nn.Sequential:
    """The module, with the initial weights that this seed draws, ready to be trained.

    Parameters
    ----------
    architecture : Architecture
        Layer ``i`` of it is entry ``i`` of the module.
    seed : int
        torch's global generator is left as it was.
    limits : Limits
        Checked before anything is allocated.

    Returns
    -------
    torch.nn.Sequential
        Takes float32 of shape (batch, *input_shape), gives logits of shape (batch, classes).

    Raises
    ------
    ArchitectureError
        The architecture is beyond ``limits``.
    """
    architecture.check(limits)
    shapes = architecture.shapes()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            *(_build(layer, shapes[index]) for index, layer in enumerate(architecture.layers))
        )


def load_module(model: TrainedModel, limits: Limits = DEFAULT_LIMITS) -> nn.Sequential:
    """The trained model as a module in evaluation mode, its weights copied and frozen."""
    module = build_module(model.architecture, seed=0, limits=limits)
    with torch.no_grad():
        for slot in model.architecture.arrays():
            _tensor(module, slot).copy_(torch.tensor(model.weights[slot.key]))
    return module.eval().requires_grad_(False)


def export_model(module: nn.Sequential, architecture: Architecture) -> TrainedModel:
    """What was trained, as a value that can be published; copies the weights.

    Raises
    ------
    ModelError
        The module is not of this architecture, or training went to NaN or infinity.
    """
    weights = {
        slot.key: _tensor(module, slot).detach().cpu().numpy().astype(np.float32)
        for slot in architecture.arrays()
    }
    return TrainedModel(architecture, weights)


def _tensor(module: nn.Sequential, slot: ArraySlot) -> torch.Tensor:
    tensor = getattr(module[slot.layer], slot.name)
    assert isinstance(tensor, torch.Tensor)
    return tensor


def _build(layer: Layer, shape: Shape) -> nn.Module:
    match layer:
        case kinds.Conv2d(out_channels, kernel, stride, padding):
            return nn.Conv2d(shape[0], out_channels, kernel, stride, padding)
        case kinds.Linear(units):
            return nn.Linear(shape[0], units)
        case kinds.MaxPool2d(kernel, stride):
            return nn.MaxPool2d(kernel, stride)
        case kinds.AvgPool2d(kernel, stride):
            return nn.AvgPool2d(kernel, stride)
        case kinds.AdaptiveAvgPool2d(size):
            return nn.AdaptiveAvgPool2d(size)
        case kinds.BatchNorm2d():
            return nn.BatchNorm2d(shape[0])
        case kinds.LayerNorm():
            return nn.LayerNorm(shape)
        case kinds.Dropout(percent):
            return nn.Dropout(percent / 100)
        case _:
            return _PLAIN[type(layer)]()


_PLAIN: dict[type[Layer], type[nn.Module]] = {
    kinds.Relu: nn.ReLU,
    kinds.Tanh: nn.Tanh,
    kinds.Gelu: nn.GELU,
    kinds.Flatten: nn.Flatten,
}
