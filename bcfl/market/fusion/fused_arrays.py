"""A fused model as named arrays, and back: what a buyer keeps, and what Flower carries.

Beside the fusion layers' arrays there is, for each model k, its architecture as ``uint8`` of the
canonical JSON, and its weights. Nothing in them is run that is not built from the fixed list
of layer kinds (``bcfl.market.spec.architecture``).
PROTOCOL, System B: "the models become one model".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from bcfl.core.errors import ModelError
from bcfl.files import save_arrays
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.fusion.layers import ACTIVATIONS, FusionLayers
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Architecture, Limits
from bcfl.market.spec.model_blob import TrainedModel

_LAYERS = ("hidden_weight", "hidden_bias", "output_weight", "output_bias")
_ACTIVATION = "fusion.activation"


def fused_arrays(fused: FusedModel) -> dict[str, NDArray[Any]]:
    """The arrays, in a fixed order.

    Raises
    ------
    ModelError
        There is no model in it yet.
    """
    if fused.layers is None:
        raise ModelError("a fused model has one model or more in it; found none")
    arrays: dict[str, NDArray[Any]] = {_ACTIVATION: _text(fused.layers.activation.encode())}
    for name in _LAYERS:
        arrays[f"fusion.{name}"] = getattr(fused.layers, name)
    for index, model in enumerate(fused.models):
        arrays[f"model.{index}.architecture"] = _text(model.architecture.to_json())
        for slot in model.architecture.arrays():
            arrays[f"model.{index}.{slot.key}"] = model.weights[slot.key]
    return arrays


def fused_from_arrays(
    arrays: Mapping[str, NDArray[Any]], limits: Limits = DEFAULT_LIMITS
) -> FusedModel:
    """Invert :func:`fused_arrays`: a model that classifies, but cannot be joined.

    Raises
    ------
    ArchitectureError, ModelError
        They are not the arrays of a fused model.
    """
    count = sum(name.endswith(".architecture") for name in arrays)
    models = tuple(_read_model(arrays, index, limits) for index in range(count))
    try:
        # copies: those of a record may not be written to, and PyTorch warns of such
        parts = {name: arrays[f"fusion.{name}"].copy() for name in _LAYERS}
        activation = arrays[_ACTIVATION].tobytes().decode("ascii", "replace")
    except KeyError as missing:
        raise ModelError(f"a fused model has an array {missing}; found none") from missing
    if activation not in ACTIVATIONS:
        raise ModelError(f"φ is one of {', '.join(ACTIVATIONS)}; found {activation[:20]!r}")
    if parts["output_weight"].ndim != 2:
        raise ModelError("fusion.output_weight has two dimensions; found another number")
    widths = tuple(_features(model) for model in models)
    layers = FusionLayers(widths=widths, activation=activation, **parts)
    return FusedModel(models, (), layers)


def save_fused(fused: FusedModel, path: Path) -> None:
    """Write a ``.safetensors`` file; raises as :func:`fused_arrays`, or OSError."""
    save_arrays(path, fused_arrays(fused))


def load_fused(path: Path, limits: Limits = DEFAULT_LIMITS) -> FusedModel:
    """Read what :func:`save_fused` wrote, or a run's ``model.safetensors``.

    ``load_fused(path).logits(samples)`` classifies.

    Raises
    ------
    ModelError
        It is no such file.
    """
    try:
        arrays = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} holds no fused model: {error}") from error
    return fused_from_arrays(arrays, limits)


def _read_model(arrays: Mapping[str, NDArray[Any]], index: int, limits: Limits) -> TrainedModel:
    prefix = f"model.{index}."
    own = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    try:
        text = own.pop("architecture")
    except KeyError:
        raise ModelError(f"a fused model's parts are numbered from 0; found no {index}") from None
    return TrainedModel(Architecture.from_json(text.tobytes(), limits), own)


def _features(model: TrainedModel) -> int:
    return model.architecture.shapes()[-2][0]


def _text(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8).copy()
