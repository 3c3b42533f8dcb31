"""Which of a model's parameters a delta changes: k of n indices in Elias–Fano form.

Layout, little-endian: k·l low bits, then k + ((n−1) >> l) high bits, each padded to a byte, with
l = ⌊log2(n/k)⌋. That is about k·(2 + log2(n/k)) bits (Elias 1974, Fano 1971), within a few per
cent of the information bound. Of k = n nothing is written: there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError

_AT_ONCE = 2**14  # indices, whose bits are taken apart; a multiple of 8


def index_bytes(n: int, k: int) -> tuple[int, int]:
    """Of the low and of the high bits. Raises CodecError unless 1 ≤ k ≤ n."""
    if not 1 <= k <= n:
        raise CodecError(f"expected 1 to {n} entries; found {k}")
    if k == n:
        return 0, 0
    return -(-k * _low_bits(n, k) // 8), -(-_high_bits(n, k) // 8)


def encode_indices(indices: NDArray[np.int64], n: int) -> bytes:
    """The bytes of ``indices``, shape (k,).

    Raises
    ------
    CodecError
        They do not ascend strictly in [0, n).
    """
    k = len(indices)
    low_bytes, high_bytes = index_bytes(n, k)
    _expect_ascending(indices, n)
    if k == n:
        return b""
    shift = _low_bits(n, k)
    low = np.empty(low_bytes, np.uint8)
    high = np.zeros(high_bytes * 8, np.uint8)
    for part, first, end in _parts(k, shift):
        some = indices[part : part + _AT_ONCE]
        bits = np.empty((len(some), shift), np.uint8)
        for bit in range(shift):
            bits[:, bit] = some >> bit & 1
        low[first:end] = np.packbits(bits, bitorder="little")
        high[(some >> shift) + np.arange(part, part + len(some))] = 1
    return low.tobytes() + np.packbits(high, bitorder="little").tobytes()


def decode_indices(blob: memoryview, n: int, k: int) -> NDArray[np.int64]:
    """Invert :func:`encode_indices` for k < n, of as many bytes as :func:`index_bytes` says.

    Raises
    ------
    CodecError
        They are not canonical, or the indices are not k in [0, n).
    """
    shift = _low_bits(n, k)
    low = np.frombuffer(blob, np.uint8, index_bytes(n, k)[0])
    high = np.unpackbits(np.frombuffer(blob, np.uint8, offset=len(low)), bitorder="little")
    last = np.unpackbits(low[-1:], bitorder="little")
    if last[k * shift - 8 * len(low) + 8 :].any() or high[_high_bits(n, k) :].any():
        raise CodecError("expected zeros in the padding")
    if (count := np.count_nonzero(high)) != k:
        raise CodecError(f"expected {k} indices; found {count}")
    indices: NDArray[np.int64] = np.flatnonzero(high.view(np.bool_))
    for part, first, end in _parts(k, shift):
        some = indices[part : part + _AT_ONCE]
        some -= np.arange(part, part + len(some))
        bits = np.unpackbits(low[first:end], bitorder="little")[: len(some) * shift]
        for column in bits.reshape(len(some), shift).T[::-1]:
            some <<= 1
            some |= column
    _expect_ascending(indices, n)
    return indices


def _parts(k: int, shift: int) -> Iterator[tuple[int, int, int]]:
    """From which index on, and from which byte of the low bits to which."""
    for part in range(0, k, _AT_ONCE):
        end = min(part + _AT_ONCE, k)
        yield part, part * shift // 8, -(-end * shift // 8)


def _expect_ascending(indices: NDArray[np.int64], n: int) -> None:
    if (indices[1:] <= indices[:-1]).any() or indices[0] < 0 or indices[-1] >= n:
        raise CodecError(f"expected strictly ascending indices in [0, {n})")


def _low_bits(n: int, k: int) -> int:
    return (n // k).bit_length() - 1


def _high_bits(n: int, k: int) -> int:
    return k + ((n - 1) >> _low_bits(n, k))
