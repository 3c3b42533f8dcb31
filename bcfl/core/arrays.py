"""Named arrays: what they are made of, and their canonical bytes.

Layout, little-endian::

    version u8 | number of arrays u32
    for each array: length of its key u16 | key, UTF-8 | dtype u8 | dimensions u8 | shape u64 …
    the entries of one array after the other, C order

The digest of these bytes is what the chain calls the model.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError, ModelError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

_VERSION = 1
#: The dtypes that can carry a delta.
FLOATS = ("float16", "float32", "float64")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = (*FLOATS, *_INTEGERS, "bool")  # a dtype's place is its code in the bytes: only append
_MAX_ENTRIES = 2**34
_MAX_NDIM = 32
_MAX_KEY_CHARACTERS = 2**14 - 1  # of four bytes at most, so that a u16 counts them
_MAX_ARRAYS = 2**16  # each that a short blob claims costs its reader some hundred bytes


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Name, shape and dtype of one array of a model."""

    key: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Of the entries alone."""
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def trained(self) -> bool:
        """Whether its entries are parameters, part of θ_g's flat vector."""
        return self.dtype in FLOATS


def _is_too_large(shape: tuple[int, ...]) -> bool:
    # An array without entries may have dimensions of any length.
    return math.prod(max(1, length) for length in shape) > _MAX_ENTRIES


def describe(arrays: Arrays) -> tuple[ArraySpec, ...]:
    """One spec an array, in their order; nothing is refused."""
    return tuple(ArraySpec(key, tuple(a.shape), a.dtype.name) for key, a in arrays.items())


def expect_carried(specs: tuple[ArraySpec, ...]) -> None:
    """Refuse what has no canonical bytes.

    Raises
    ------
    ModelError
        An array of a dtype that is not carried; too many of them; a name or a shape that is too
        long.
    """
    if len(specs) > _MAX_ARRAYS:
        raise ModelError(f"expected at most {_MAX_ARRAYS} arrays; found {len(specs)}")
    for spec in specs:
        if spec.dtype not in _DTYPES:
            raise ModelError(
                f"array {spec.key!r} is {spec.dtype}; expected one of {', '.join(_DTYPES)}. Cast "
                "it; the real and the imaginary part of complex numbers may be two arrays"
            )
        if _is_too_large(spec.shape):
            raise ModelError(f"array {spec.key!r} of shape {spec.shape} is larger than any model")
        if len(spec.shape) > _MAX_NDIM or len(spec.key) > _MAX_KEY_CHARACTERS:
            raise ModelError(
                f"expected at most {_MAX_NDIM} dimensions and {_MAX_KEY_CHARACTERS} characters; "
                f"found {len(spec.shape)} and {len(spec.key)} in array {spec.key[:40]!r}"
            )


def encode_model(arrays: Arrays) -> bytes:
    """The canonical bytes of ``arrays``, in their order.

    Raises
    ------
    ModelError
        An array that they cannot carry, see :func:`expect_carried`.
    """
    return b"".join(_encoded(arrays))


def decode_model(blob: bytes) -> dict[str, NDArray[Any]]:
    """Invert :func:`encode_model`; sizes are held against ``blob`` before anything is made.

    Raises
    ------
    CodecError
        Bytes that no model encodes to.
    """
    try:
        specs, at = _decode_specs(blob)
    except (struct.error, UnicodeDecodeError) as error:
        raise CodecError(f"not a model: its header ends or breaks off: {error}") from error
    size = at + sum(spec.size_bytes for spec in specs)
    if size != len(blob):
        raise CodecError(f"a model of these shapes is {size} bytes; found {len(blob)}")
    arrays: dict[str, NDArray[Any]] = {}
    for spec in specs:
        if spec.dtype == "bool" and (np.frombuffer(blob, np.uint8, spec.size, at) > 1).any():
            raise CodecError(f"array {spec.key!r} is bool; expected bytes 0 and 1")
        raw = np.frombuffer(blob, np.dtype(spec.dtype).newbyteorder("<"), spec.size, at)
        arrays[spec.key] = raw.astype(spec.dtype).reshape(spec.shape)
        at += spec.size_bytes
    return arrays


def model_digest(arrays: Arrays) -> bytes:
    """SHA-256 of the canonical bytes: what the chain calls the model. Raises as they do."""
    found = hashlib.sha256()
    for part in _encoded(arrays):
        found.update(part)
    return found.digest()


def _encoded(arrays: Arrays) -> Iterator[bytes | memoryview]:
    specs = describe(arrays)
    expect_carried(specs)
    yield struct.pack("<BI", _VERSION, len(specs))
    for spec in specs:
        name = spec.key.encode()
        yield struct.pack("<H", len(name)) + name
        yield struct.pack("<BB", _DTYPES.index(spec.dtype), len(spec.shape))
        yield struct.pack(f"<{len(spec.shape)}Q", *spec.shape)
    for array in arrays.values():
        yield np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).data


def _decode_specs(blob: bytes) -> tuple[list[ArraySpec], int]:
    version, count = struct.unpack_from("<BI", blob, 0)
    if version != _VERSION:
        raise CodecError(f"expected a model of version {_VERSION}; found {version}")
    if count > _MAX_ARRAYS:
        raise CodecError(f"expected at most {_MAX_ARRAYS} arrays; found {count}")
    at = 5
    specs: dict[str, ArraySpec] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", blob, at)
        key = blob[at + 2 : at + 2 + length].decode()
        at += 2 + length
        code, ndim = struct.unpack_from("<BB", blob, at)
        if code >= len(_DTYPES) or ndim > _MAX_NDIM or len(key) > _MAX_KEY_CHARACTERS:
            raise CodecError(f"array {key[:40]!r} has dtype code {code} and {ndim} dimensions")
        shape = struct.unpack_from(f"<{ndim}Q", blob, at + 2)
        at += 2 + 8 * ndim
        if key in specs:
            raise CodecError(f"expected each array once; found {key[:40]!r} again")
        specs[key] = ArraySpec(key, shape, _DTYPES[code])
        if _is_too_large(shape):
            raise CodecError(f"array {key[:40]!r} of shape {shape} is larger than any model")
    return list(specs.values()), at
