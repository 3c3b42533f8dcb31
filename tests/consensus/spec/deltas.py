"""Deltas for Hypothesis: any size, dtype and share kept, in arrays that cannot be written to."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from bcfl.consensus.spec.codec import Heading, decode_delta, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.values import Values

HEADING = Heading(author=bytes(range(20)), round=3, base=bytes(range(32)))

#: Damaged blobs an example, of which there are 25 in the suite and 1,000 under ``make fuzz``:
#: 500 and 100,000 in all.
MUTATIONS = 100 if os.environ.get("BCFL_FUZZ") else 20

dtypes = st.sampled_from([np.dtype(name) for name in ("float16", "float32", "float64")])


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """``array``, which from now on refuses to be written to."""
    array.flags.writeable = False
    return array


def finite(dtype: np.dtype[Any]) -> st.SearchStrategy[float]:
    """Every finite number of ``dtype``, the largest and the subnormal ones too."""
    return st.floats(allow_nan=False, allow_infinity=False, width=dtype.itemsize * 8)  # type: ignore[arg-type]


def vectors(n: int, dtype: np.dtype[Any]) -> st.SearchStrategy[NDArray[Any]]:
    """Finite vectors of shape (n,)."""
    return npst.arrays(dtype, n, elements=finite(dtype)).map(frozen)


@st.composite
def deltas(
    draw: st.DrawFn, n: int | None = None, dtype: np.dtype[Any] | None = None, max_n: int = 400
) -> Delta:
    """A delta of ``n`` parameters, dense and sparse ones alike."""
    n = n or draw(st.integers(1, max_n))
    k = draw(st.sampled_from([1, n]) | st.integers(1, n) | st.integers(1, -(-n // 16)))
    indices = sorted(draw(st.randoms(use_true_random=False)).sample(range(n), k))
    values = draw(vectors(k, dtype or draw(dtypes)))
    return Delta(n, frozen(np.array(indices, np.int64)), values)


SHORT: list[Values] = ["float16", "int8", "ternary"]


@st.composite
def sent(draw: st.DrawFn, max_n: int = 400) -> tuple[Delta, Values]:
    """A delta, and a way of sending it that there is for its dtype and size."""
    values: Values = draw(st.sampled_from(["float32", *SHORT]))
    if values == "float32":
        return draw(deltas(max_n=max_n)), values
    delta = draw(deltas(max_n=max_n, dtype=np.dtype(np.float32)))
    if draw(st.booleans()):
        wide = delta.values.astype(np.float64) * draw(st.floats(0.25, 1))
        delta = Delta(delta.n, delta.indices, frozen(wide))
    return delta, values


@st.composite
def rounds(draw: st.DrawFn, max_members: int = 7, max_n: int = 12) -> dict[int, Delta]:
    """The deltas of one round, by member: one n and one dtype."""
    n, dtype = draw(st.integers(1, max_n)), draw(dtypes)
    members = draw(st.lists(st.integers(0, 127), min_size=1, max_size=max_members, unique=True))
    return {member: draw(deltas(n, dtype)) for member in members}


def same(one: Delta, other: Delta) -> bool:
    """Equal bit for bit: ``-0.0`` is not ``0.0``."""
    return (
        one.n == other.n
        and one.indices.tolist() == other.indices.tolist()
        and one.values.dtype == other.values.dtype
        and one.values.tobytes() == other.values.tobytes()
    )


def decode_like(
    delta: Delta, blob: bytes, heading: Heading = HEADING, values: Values = "float32"
) -> Delta:
    return decode_delta(blob, delta.n, delta.k, delta.values.dtype, heading, values)


def as_sent(delta: Delta, values: Values) -> Delta:
    return decode_like(delta, encode_delta(delta, HEADING, values), HEADING, values)


def ramp(n: int, k: int, dtype: str = "float32") -> Delta:
    indices = np.arange(k, dtype=np.int64) * (n // k)
    return Delta(n, frozen(indices), frozen(np.linspace(-1, 1, k).astype(dtype)))
