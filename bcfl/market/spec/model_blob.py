"""A trained model as canonical bytes: its architecture, then its weights. Never pickle.

Layout, little-endian::

    "BCFM" | version u8 | author 20 bytes | length of the architecture u32
    the architecture as canonical JSON
    float32 arrays, each in C order, in the order of ``Architecture.arrays``

The architecture alone decides how many bytes follow it, and it is held against the task's
limits before the weights are looked at, so that a short blob cannot claim a large model. One
author and model, one blob, one digest: the contributor's address stands in the bytes, so that
a stranger who submits a copy of them is found out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError, ModelError
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Architecture, Limits

_MAGIC = b"BCFM"
_VERSION = 1
_HEADER = struct.Struct("<4sB20sI")
_ADDRESS_BYTES = 20
_FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """An architecture and the weights for it.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to ndarray
        float32 arrays by ``ArraySlot.key``, exactly those that the architecture names.

    Raises
    ------
    ModelError
        An array is missing, unknown, of another shape or dtype, or not finite; or a running
        variance is negative.
    """

    architecture: Architecture
    weights: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        slots = {slot.key: slot for slot in self.architecture.arrays()}
        if slots.keys() != self.weights.keys():
            missing, unknown = (
                slots.keys() - self.weights.keys(),
                self.weights.keys() - slots.keys(),
            )
            raise ModelError(
                f"weights for this architecture are {', '.join(slots)}; "
                f"missing: {sorted(missing)}, unknown: {sorted(unknown)[:8]}"
            )
        for key, slot in slots.items():
            array = self.weights[key]
            if array.shape != slot.shape or array.dtype != _FLOAT32:
                raise ModelError(
                    f"{key} is float32 of shape {slot.shape}; found {array.dtype} {array.shape}"
                )
            if not np.isfinite(array).all():
                raise ModelError(f"{key} holds finite numbers only; found NaN or infinity")
            if slot.name == "running_var" and (array < 0).any():
                raise ModelError(f"{key} is a variance, never negative; found {array.min()}")


def max_blob_bytes(limits: Limits = DEFAULT_LIMITS) -> int:
    """No blob that a task of these limits takes is longer: what to ask a store for at most."""
    return _HEADER.size + limits.description_bytes + limits.parameters * _FLOAT32.itemsize


def encode_model_blob(model: TrainedModel, author: bytes) -> bytes:
    """The canonical bytes of ``model``, as published by ``author``, an address of 20 bytes."""
    if len(author) != _ADDRESS_BYTES:
        raise CodecError(f"an author is an address of 20 bytes; found {len(author)}")
    description = model.architecture.to_json()
    arrays = (model.weights[slot.key] for slot in model.architecture.arrays())
    return b"".join(
        (
            _HEADER.pack(_MAGIC, _VERSION, author, len(description)),
            description,
            *(np.ascontiguousarray(array, _FLOAT32).tobytes() for array in arrays),
        )
    )


def decode_model_blob(blob: bytes, author: bytes, limits: Limits = DEFAULT_LIMITS) -> TrainedModel:
    """Invert :func:`encode_model_blob`, for bytes that a stranger wrote.

    Parameters
    ----------
    blob : bytes
    author : bytes
        Who submitted it, 20 bytes; the blob has to say the same.
    limits : Limits
        The task's. They are checked on the description alone, before the weights are read.

    Returns
    -------
    TrainedModel
        Its arrays are read-only views into ``blob``: decoding copies no weights.

    Raises
    ------
    CodecError
        Not a model blob, of another version or author, truncated or padded.
    ArchitectureError
        The description is none, or is beyond the limits.
    ModelError
        The weights are not finite.
    """
    if len(blob) < _HEADER.size:
        raise CodecError(
            f"a model blob starts with {_HEADER.size} bytes of header; found {len(blob)} bytes"
        )
    magic, version, named, description_bytes = _HEADER.unpack_from(blob)
    if magic != _MAGIC or version != _VERSION:
        raise CodecError(
            f"a model blob starts with {_MAGIC!r} and version {_VERSION}; "
            f"found {magic!r} and {version}: is it sealed, or of another bcfl?"
        )
    if named != author:
        raise CodecError(
            f"the model was submitted by 0x{author.hex()}; it names 0x{named.hex()} as its author"
        )
    end = _HEADER.size + description_bytes
    if end > len(blob):
        raise CodecError(
            f"the architecture takes {description_bytes} bytes; "
            f"{len(blob) - _HEADER.size} are left: the blob is truncated"
        )
    architecture = Architecture.from_json(blob[_HEADER.size : end], limits)
    return TrainedModel(architecture, _read_weights(architecture, blob, end))


def _read_weights(
    architecture: Architecture, blob: bytes, offset: int
) -> dict[str, NDArray[np.float32]]:
    slots = list(architecture.arrays())
    sizes = [math.prod(slot.shape) for slot in slots]
    expected = sum(sizes) * _FLOAT32.itemsize
    if len(blob) - offset != expected:
        raise CodecError(
            f"the weights of this architecture take {expected} bytes; "
            f"found {len(blob) - offset}: the blob is truncated, padded or of another model"
        )
    weights: dict[str, NDArray[np.float32]] = {}
    for slot, size in zip(slots, sizes, strict=True):
        flat = np.frombuffer(blob, _FLOAT32, size, offset)
        weights[slot.key] = flat.reshape(slot.shape)
        offset += flat.nbytes
    return weights
