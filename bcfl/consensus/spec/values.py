"""The values of a delta in fewer bits: one scale a block, and what is left by lot.

**[beyond]** Layout, little-endian::

    scales: float32, one for every ``block`` values in the order of their indices
    codes: float16 | int8 | five ternary digits a byte, the first the lowest: 0, 1, and 2 for −1

A block's scale is its largest magnitude M, exactly, and a value is M·code/top, with codes in
[−top, top]: top = 1 of float16 and of ternary, 127 of int8. So the largest code of a block is top,
the scale is known from the values, and no delta has two encodings. A block in which nothing reaches
2⁻¹⁰⁰ is zeros. Neighbours are mostly of one array, and alike in size; and of a block of ternary,
whose codes say little, the scale says most, so its blocks are the shortest.

A value between two codes becomes the one or the other, with chances that keep its mean (Alistarh
et al., QSGD, 2017). The lots are drawn from author, round and base: everybody knows them, nobody
can choose them, and a member that encodes again says the same. That it knows them before it
trains is worth nothing: it may send any delta that it likes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError

Values: TypeAlias = Literal["float32", "float16", "int8", "ternary"]

_LEAST = np.float32(2.0**-100)  # of a scale; of a smaller one two codes could be one value
_LOTS = 2**14  # values whose lots are drawn at once
_DIGITS = 5  # in a byte: 3⁵ ≤ 256
_POWERS = 3 ** np.arange(_DIGITS, dtype=np.uint8)
#: Byte to its five codes.
_TERNARY = np.array([0, 1, -1], np.int8)[np.arange(3**_DIGITS)[:, None] // _POWERS % 3]


@dataclass(frozen=True, slots=True)
class _Kind:
    block: int  #: values to a scale
    top: int  #: the largest code
    codes: np.dtype[Any]


_KINDS = {
    "float16": _Kind(4096, 1, np.dtype("<f2")),
    "int8": _Kind(512, 127, np.dtype("i1")),
    "ternary": _Kind(256, 1, np.dtype("i1")),
}


def short_size(k: int, values: Values, dtype: np.dtype[Any]) -> int:
    """The exact length in bytes of ``k`` values.

    Raises
    ------
    CodecError
        The model's ``dtype`` is neither float32 nor float64.
    """
    if dtype.name not in ("float32", "float64"):
        raise CodecError(
            f"values={values!r} shortens those of float32 and float64; found {dtype.name}: "
            "leave values at its default"
        )
    return 4 * -(-k // _KINDS[values].block) + _code_bytes(k, values)


def encode_short(array: NDArray[Any], values: Values, seed: bytes) -> list[memoryview]:
    """Scales and codes of ``array``, shape (k,), float32 or float64.

    Parameters
    ----------
    seed : bytes
        Of the lots: the i-th of each 2¹⁴ values has the i-th number, 32 bits, of
        SHAKE-128(seed ‖ number of the 2¹⁴, u64).

    Raises
    ------
    CodecError
        A value beyond float32's range.
    """
    kind = _KINDS[values]
    scales = _scales(array, kind.block)
    codes = np.empty(len(array), kind.codes)
    for part in range(0, len(array), _LOTS):
        at = slice(part, part + _LOTS)
        given = array[at].astype(np.float64)
        scale = _spread(scales, at, len(given), kind.block)
        lots = hashlib.shake_128(seed + (part // _LOTS).to_bytes(8, "little"))
        chances = np.frombuffer(lots.digest(4 * len(given)), "<u4") * 2.0**-32
        codes[at] = _drawn(given, scale, chances, kind)
    return [scales.astype("<f4", copy=False).data, _packed(codes, values).data]


def decode_short(blob: memoryview, k: int, values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The ``k`` values that the bytes, of ``short_size``, stand for; shape (k,), ``dtype``.

    Raises
    ------
    CodecError
        A scale or a code that no encoding has.
    """
    kind = _KINDS[values]
    blocks = -(-k // kind.block)
    scales = np.frombuffer(blob, "<f4", blocks).astype(np.float32)
    if not (np.isfinite(scales) & ((scales >= _LEAST) | (scales.view(np.uint32) == 0))).all():
        raise CodecError("expected scales of 0, or finite and 2**-100 at least")
    codes = _unpacked(np.frombuffer(blob, np.uint8, offset=4 * blocks), k, values)
    largest = np.maximum.reduceat(np.abs(codes), np.arange(0, k, kind.block))
    if (largest != np.where(scales > 0, kind.top, 0)).any():
        raise CodecError(f"expected {kind.top} as a block's largest code, and 0 where its scale is")
    found = np.empty(k, dtype)
    for part in range(0, k, _LOTS):
        at = slice(part, part + _LOTS)
        some = codes[at].astype(np.float64)
        found[at] = _valued(some, _spread(scales, at, len(some), kind.block), kind)
    return found


def _scales(array: NDArray[Any], block: int) -> NDArray[np.float32]:
    """By block: its largest magnitude, in float32, not rounded up; 0 where that is too small."""
    starts = np.arange(0, len(array), block)
    largest = np.maximum(np.maximum.reduceat(array, starts), -np.minimum.reduceat(array, starts))
    if not (largest <= np.finfo(np.float32).max).all():
        raise CodecError("expected values within float32's range; found NaN, infinity or more")
    scales = largest.astype(np.float32)
    scales = np.where(scales > largest, np.nextafter(scales, np.float32(0)), scales)
    return np.where(scales < _LEAST, np.float32(0), scales)


def _spread(scales: NDArray[np.float32], at: slice, count: int, block: int) -> NDArray[np.float64]:
    """The scale of each value from ``at`` on, which begins a block."""
    some = scales[at.start // block : -(-at.stop // block)].astype(np.float64)
    return np.repeat(some, block)[:count]


def _drawn(
    given: NDArray[np.float64],
    scale: NDArray[np.float64],
    chances: NDArray[np.float64],
    kind: _Kind,
) -> NDArray[Any]:
    """A code for each value: its own where it has one, else one of the two beside it by lot."""
    wanted = given * kind.top / np.where(scale > 0, scale, np.inf)
    np.clip(wanted, -kind.top, kind.top, out=wanted)  # a float64 may be a little above its scale
    nearest = _rounded(wanted, kind)
    below = _below(wanted, nearest, kind)
    above = _above(below, kind)
    drawn = np.where(wanted - below > chances * (above - below), above, below)
    return np.where(_valued(nearest, scale, kind) == given, nearest, drawn) + 0.0  # no −0


def _rounded(wanted: NDArray[np.float64], kind: _Kind) -> NDArray[np.float64]:
    if kind.codes.kind == "f":
        return wanted.astype(np.float16).astype(np.float64)
    return np.rint(wanted)


def _below(
    wanted: NDArray[np.float64], nearest: NDArray[np.float64], kind: _Kind
) -> NDArray[np.float64]:
    """The largest code that is not above ``wanted``."""
    if kind.codes.kind == "f":
        lower = np.nextafter(nearest.astype(np.float16), np.float16(-np.inf))
        return np.where(nearest > wanted, lower.astype(np.float64), nearest)
    return np.floor(wanted)


def _above(below: NDArray[np.float64], kind: _Kind) -> NDArray[np.float64]:
    """The next code."""
    if kind.codes.kind == "f":
        return np.nextafter(below.astype(np.float16), np.float16(np.inf)).astype(np.float64)
    return below + 1


def _valued(
    codes: NDArray[np.float64], scale: NDArray[np.float64], kind: _Kind
) -> NDArray[np.float32]:
    """M·code/top: exact but for one rounding to float64 and one to float32."""
    return (scale * codes / kind.top).astype(np.float32)


def _code_bytes(k: int, values: Values) -> int:
    return -(-k // _DIGITS) if values == "ternary" else k * _KINDS[values].codes.itemsize


def _packed(codes: NDArray[Any], values: Values) -> NDArray[Any]:
    if values != "ternary":
        return codes
    digits = np.zeros((_code_bytes(len(codes), values), _DIGITS), np.uint8)
    digits.ravel()[: len(codes)] = codes % 3
    packed: NDArray[np.uint8] = (digits * _POWERS).sum(axis=1, dtype=np.uint8)
    return packed


def _unpacked(packed: NDArray[np.uint8], k: int, values: Values) -> NDArray[Any]:
    if values == "ternary":
        if (packed >= len(_TERNARY)).any():
            raise CodecError(f"expected bytes below {len(_TERNARY)} of five ternary digits each")
        codes = _TERNARY[packed].ravel()
        if codes[k:].any():
            raise CodecError("expected zeros in the padding")
        return codes[:k]
    codes = packed.view(_KINDS[values].codes)
    if values == "int8":
        if (codes == -128).any():
            raise CodecError("expected codes in [-127, 127]; found -128")
        return codes
    if not (np.abs(codes) <= 1).all() or (packed.view("<u2") == 0x8000).any():
        raise CodecError("expected float16 codes in [-1, 1], and no -0")
    return codes
