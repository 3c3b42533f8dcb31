"""A delta as canonical bytes: one delta, one encoding, one digest.

Layout, little-endian::

    version u8 | kind u8 | author 20 bytes | round u64 | base 32 bytes | n u64 | k u64
    indices: see ``bcfl.consensus.spec.indices``; none where k = n
    values: k of dtype; or scales and codes, see ``bcfl.consensus.spec.values``

The kind's lower four bits are the dtype of the model, its upper four how the values are sent. The
length is a function of n, k and kind alone, so that a receiver knows it before it reads. Author,
round and base stand in the bytes, hence in the digest: a copied blob is never the copyist's.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.indices import decode_indices, encode_indices, index_bytes
from bcfl.consensus.spec.values import Values, decode_short, encode_short, short_size
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


def blob_size(n: int, k: int, dtype: np.dtype[Any], values: Values = "float32") -> int:
    """The exact length in bytes of every encoded delta of these dimensions."""
    return _HEADER.size + sum(index_bytes(n, k)) + _value_bytes(k, dtype, values)


def encode_delta(delta: Delta, heading: Heading, values: Values = "float32") -> bytes:
    """The canonical bytes of ``delta``.

    Parameters
    ----------
    values : {"float32", "float16", "int8", "ternary"}
        How values are sent: as they are, in the model's own floats, or in fewer bits. Then the
        delta that counts, for its author too, is the one that these bytes decode to.

    Raises
    ------
    CodecError
        The indices are not strictly ascending in [0, n), the values are not as many, or of a
        dtype that is not carried. Whether they are finite is for :func:`decode_delta` to say,
        where they are sent as they are.
    """
    n, k, dtype = delta.n, delta.k, delta.values.dtype
    indices = b"" if isinstance(delta.where, slice) else encode_indices(delta.where, n)
    if delta.values.shape != (k,):
        raise CodecError(f"expected {k} values; found shape {delta.values.shape}")
    whose = heading.author, heading.round, heading.base
    header = _HEADER.pack(_VERSION, _kind_of(dtype, values), *whose, n, k)
    if values == "float32":
        return b"".join((header, indices, _little(delta.values).data))
    _value_bytes(k, dtype, values)
    return b"".join((header, indices, *encode_short(delta.values, values, _seed(heading))))


def decode_delta(
    blob: bytes,
    n: int,
    k: int,
    dtype: np.dtype[Any],
    heading: Heading,
    values: Values = "float32",
) -> Delta:
    """Decode ``blob``, which must be exactly the delta that is expected, in its one encoding.

    Parameters
    ----------
    n, k : int
        Number of parameters of the task's model, and ⌈γ·n⌉.
    dtype : numpy dtype
        Of the task's parameters.
    heading : Heading
        The author, round and base that the chain names.
    values : {"float32", "float16", "int8", "ternary"}
        The task's.

    Raises
    ------
    CodecError
        Anything else: truncated, padded, reordered, of another author, round or model, not
        canonical, NaN or infinite values, indices out of range.
    """
    size = blob_size(n, k, dtype, values)
    if len(blob) != size:
        raise CodecError(
            f"expected {size} bytes (n={n}, k={k}, {dtype}, values={values}); found {len(blob)}"
        )
    version, kind, author, round_, base, found_n, found_k = _HEADER.unpack_from(blob)
    expected_header = (_VERSION, _kind_of(dtype, values), n, k)
    if (version, kind, found_n, found_k) != expected_header:
        raise CodecError(
            f"expected (version, kind, n, k) = {expected_header}; "
            f"found {(version, kind, found_n, found_k)}"
        )
    expect_heading(Heading(author, round_, base), heading)
    rest, at = memoryview(blob)[_HEADER.size :], sum(index_bytes(n, k))
    where = slice(None) if k == n else decode_indices(rest[:at], n, k)
    if values != "float32":
        return Delta(n, where, decode_short(rest[at:], k, values, dtype))
    found = np.frombuffer(rest[at:], dtype.newbyteorder("<")).astype(dtype, copy=False)
    if not np.isfinite(found).all():
        raise CodecError("expected finite values; found NaN or infinity")
    return Delta(n, where, found)


def _seed(heading: Heading) -> bytes:
    """Of the lots that round a delta's values: what nobody can choose, and everybody knows."""
    whose = heading.author + heading.round.to_bytes(8, "little") + heading.base
    return hashlib.sha256(b"bcfl values" + whose).digest()


def _little(values: NDArray[Any]) -> NDArray[Any]:
    order = values.dtype.newbyteorder("<")
    return np.ascontiguousarray(values.astype(order, copy=False))


def _value_bytes(k: int, dtype: np.dtype[Any], values: Values) -> int:
    return k * dtype.itemsize if values == "float32" else short_size(k, values, dtype)


def _kind_of(dtype: np.dtype[Any], values: Values) -> int:
    if dtype.name not in _DTYPES:
        raise CodecError(f"expected values of one of {_DTYPES}; found {dtype.name}")
    return _DTYPES.index(dtype.name) + 16 * get_args(Values).index(values)


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
