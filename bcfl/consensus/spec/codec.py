"""A delta as canonical bytes: one delta, one encoding, one digest.

Layout, little-endian::

    version u8 | dtype u8 | author 20 bytes | round u64 | base 32 bytes | n u64 | k u64
    indices, Elias–Fano: k·l low bits, then k + ((n−1) >> l) high bits, each padded to a byte
    values: k of dtype

With l = ⌊log2(n/k)⌋ the indices take about k·(2 + log2(n/k)) bits (Elias 1974, Fano 1971),
within a few per cent of the information bound. The length is a function of n, k and dtype
alone, so that a receiver knows it before it reads. Author, round and base stand in the
bytes, hence in the digest: a copied blob is never the copyist's.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import CodecError

_VERSION = 1
_DTYPES = ("float16", "float32", "float64")
_HEADER = struct.Struct("<BB20sQ32sQQ")


@dataclass(frozen=True, slots=True)
class Heading:
    """Whose delta it is, for which round, from which model."""

    author: bytes  #: Ethereum address, 20 bytes
    round: int
    base: bytes  #: digest of θ_g, 32 bytes

    def __post_init__(self) -> None:
        # struct would cut or pad in silence what is too long or too short.
        if len(self.author) != 20 or len(self.base) != 32 or not 0 <= self.round < 2**64:
            raise CodecError(
                "expected an author of 20 bytes, a base of 32 and a round in [0, 2**64); found "
                f"{len(self.author)}, {len(self.base)} and {self.round}"
            )


def digest_of(blob: bytes) -> bytes:
    """SHA-256: on chain, and at the same time the multihash of the blob's IPFS CID."""
    return hashlib.sha256(blob).digest()


def blob_size(n: int, k: int, dtype: np.dtype[Any]) -> int:
    """The exact length in bytes of every encoded delta of these dimensions."""
    low, high = _index_bytes(n, k)
    return _HEADER.size + low + high + k * dtype.itemsize


def encode_delta(delta: Delta, heading: Heading) -> bytes:
    """The canonical bytes of ``delta``.

    Raises
    ------
    CodecError
        The indices are not strictly ascending in [0, n), the values are not as many, or of a
        dtype that is not carried. Whether they are finite is for :func:`decode_delta` to say.
    """
    n, k = delta.n, delta.k
    _, high_bytes = _index_bytes(n, k)
    _expect_ascending(delta.indices, n)
    if delta.values.shape != (k,):
        raise CodecError(f"expected {k} values; found shape {delta.values.shape}")
    shift = _low_bits(n, k)
    low = (delta.indices[:, None] >> np.arange(shift)) & 1
    high = np.zeros(high_bytes * 8, np.uint8)
    high[(delta.indices >> shift) + np.arange(k)] = 1
    dtype = delta.values.dtype
    return b"".join(
        (
            _HEADER.pack(
                _VERSION,
                _code_of(dtype),
                heading.author,
                heading.round,
                heading.base,
                n,
                k,
            ),
            np.packbits(low.astype(np.uint8).ravel(), bitorder="little").tobytes(),
            np.packbits(high, bitorder="little").tobytes(),
            delta.values.astype(dtype.newbyteorder("<")).tobytes(),
        )
    )


def decode_delta(blob: bytes, n: int, k: int, dtype: np.dtype[Any], heading: Heading) -> Delta:
    """Decode ``blob``, which must be exactly the delta that is expected, in its one encoding.

    Parameters
    ----------
    n, k : int
        Number of parameters of the task's model, and ⌈γ·n⌉.
    dtype : numpy dtype
        Of the task's parameters.
    heading : Heading
        The author, round and base that the chain names.

    Raises
    ------
    CodecError
        Anything else: truncated, padded, reordered, of another author, round or model, not
        canonical, NaN or infinite values, indices out of range.
    """
    size = blob_size(n, k, dtype)
    if len(blob) != size:
        raise CodecError(f"expected {size} bytes (n={n}, k={k}, {dtype}); found {len(blob)}")
    version, code, author, round_, base, found_n, found_k = _HEADER.unpack_from(blob)
    expected_header = (_VERSION, _code_of(dtype), n, k)
    if (version, code, found_n, found_k) != expected_header:
        raise CodecError(
            f"expected (version, dtype, n, k) = {expected_header}; "
            f"found {(version, code, found_n, found_k)}"
        )
    expect_heading(Heading(author, round_, base), heading)
    low_bytes, high_bytes = _index_bytes(n, k)
    indices = _decode_indices(
        np.frombuffer(blob, np.uint8, low_bytes, _HEADER.size),
        np.frombuffer(blob, np.uint8, high_bytes, _HEADER.size + low_bytes),
        n,
        k,
    )
    values = np.frombuffer(blob, dtype.newbyteorder("<"), k, size - k * dtype.itemsize).astype(
        dtype
    )
    if not np.isfinite(values).all():
        raise CodecError("expected finite values; found NaN or infinity")
    return Delta(n, indices, values)


def _decode_indices(
    low_bytes: NDArray[np.uint8], high_bytes: NDArray[np.uint8], n: int, k: int
) -> NDArray[np.int64]:
    shift = _low_bits(n, k)
    low = np.unpackbits(low_bytes, bitorder="little")
    high = np.unpackbits(high_bytes, bitorder="little")
    if low[k * shift :].any() or high[_high_bits(n, k) :].any():
        raise CodecError("expected zeros in the padding")
    ones = np.flatnonzero(high)
    if len(ones) != k:
        raise CodecError(f"expected {k} indices; found {len(ones)}")
    rows = low[: k * shift].reshape(k, shift).astype(np.int64)
    lows = (rows << np.arange(shift)).sum(axis=1, dtype=np.int64)
    indices: NDArray[np.int64] = ((ones - np.arange(k)) << shift) + lows
    _expect_ascending(indices, n)
    return indices


def _expect_ascending(indices: NDArray[np.int64], n: int) -> None:
    if (np.diff(indices) <= 0).any() or indices[0] < 0 or indices[-1] >= n:
        raise CodecError(f"expected strictly ascending indices in [0, {n})")


def _code_of(dtype: np.dtype[Any]) -> int:
    if dtype.name not in _DTYPES:
        raise CodecError(f"expected values of one of {_DTYPES}; found {dtype.name}")
    return _DTYPES.index(dtype.name)


def expect_heading(found: Heading, expected: Heading) -> None:
    """Raises CodecError unless the bytes are of the author, round and model that were asked for."""
    if found.author != expected.author:
        raise CodecError(
            f"expected the delta of 0x{expected.author.hex()}; found that of 0x{found.author.hex()}"
        )
    if found.round != expected.round:
        raise CodecError(f"expected a delta of round {expected.round}; found round {found.round}")
    if found.base != expected.base:
        raise CodecError(
            f"expected a delta to model {expected.base.hex()[:16]}…; "
            f"found one to {found.base.hex()[:16]}…"
        )


def _low_bits(n: int, k: int) -> int:
    return (n // k).bit_length() - 1


def _high_bits(n: int, k: int) -> int:
    return k + ((n - 1) >> _low_bits(n, k))


def _index_bytes(n: int, k: int) -> tuple[int, int]:
    if not 1 <= k <= n:
        raise CodecError(f"expected 1 to {n} entries; found {k}")
    return -(-k * _low_bits(n, k) // 8), -(-_high_bits(n, k) // 8)
