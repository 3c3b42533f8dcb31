"""S2: the change of the parameters, and the part of it that is worth sending.

PROTOCOL, System A, S2; claim 2: "sort the changes in descending order and keep the largest".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import CodecError, ModelError

#: A stretch of a model's entries: how many there are, and how many of them a delta keeps.
Part: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """A sparse change Δθ^S of a vector of ``n`` parameters."""

    n: int
    #: Indices, shape (k,), strictly ascending, in [0, n); of all n, ``slice(None)``.
    where: NDArray[np.int64] | slice
    values: NDArray[Any]  #: shape (k,), the dtype of the parameters, finite

    @property
    def k(self) -> int:
        """Number of entries kept."""
        return self.n if isinstance(self.where, slice) else len(self.where)

    @property
    def indices(self) -> NDArray[np.int64]:
        """Which entries, shape (k,)."""
        return np.arange(self.n) if isinstance(self.where, slice) else self.where

    def between(self, start: int, stop: int) -> Delta:
        """What changes the parameters from ``start`` to ``stop``, a vector of its own."""
        if isinstance(self.where, slice):
            return Delta(stop - start, self.where, self.values[start:stop])
        at = slice(*np.searchsorted(self.where, (start, stop)))
        return Delta(stop - start, self.where[at] - start, self.values[at])

    def scaled(self, factor: float) -> Delta:
        """The same entries times ``factor``, computed in float64 and rounded once."""
        if factor == 1.0:
            return self
        values = (self.values.astype(np.float64) * factor).astype(self.values.dtype)
        return Delta(self.n, self.where, values)


def difference(trained: NDArray[Any], base: NDArray[Any]) -> NDArray[Any]:
    """Δθ = θ' − θ_g, shape (n,).

    Raises
    ------
    ModelError
        The difference is not finite: the training diverged.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return finite(trained - base)


def finite(change: NDArray[Any]) -> NDArray[Any]:
    """The same; raises as :func:`difference`."""
    if not np.isfinite(change).all():
        raise ModelError("the trained parameters minus the global ones are not finite")
    return change


def top_gamma(change: NDArray[Any], kept: int) -> Delta:
    """Keep the ``kept`` = ⌈γ·n⌉ entries of largest magnitude.

    **[reading]** The claim sorts "in descending order", which of signed values would drop
    every decrease; it is read as magnitude. Equal magnitudes: the lower index first.

    Parameters
    ----------
    change : ndarray, shape (n,)
        Finite.
    kept : int
        In [1, n]; see ``Rules.kept``.

    Raises
    ------
    ModelError
        ``kept`` is not in [1, n].
    """
    n = len(change)
    if not 1 <= kept <= n:
        raise ModelError(f"expected to keep 1 to {n} entries; found {kept}")
    if kept == n:
        return Delta(n, slice(None), change)
    magnitude = np.abs(change)
    least = np.partition(magnitude, n - kept)[n - kept]  # of those that are kept; linear in n
    chosen = magnitude > least
    equal = np.flatnonzero(magnitude == least)
    del magnitude  # as large as the model
    chosen[equal[: kept - np.count_nonzero(chosen)]] = True
    indices = np.flatnonzero(chosen).astype(np.int64, copy=False)
    return Delta(n, indices, change[indices])


def top_parts(change: NDArray[Any], parts: Sequence[Part]) -> Delta:
    """Of each part its own largest entries, as :func:`top_gamma` of all has them.

    Parameters
    ----------
    change : ndarray, shape (n,)
        Finite.
    parts : sequence of (int, int)
        See ``Rules.parts``; their sizes come to n.

    Raises
    ------
    ModelError
        A part keeps fewer than one of its entries, or more than all.
    """
    if len(parts) == 1:
        return top_gamma(change, parts[0][1])
    ends = np.cumsum([size for size, _ in parts])
    indices = np.concatenate(
        [
            top_gamma(change[end - size : end], kept).indices + (end - size)
            for end, (size, kept) in zip(ends, parts, strict=True)
        ]
    )
    return Delta(len(change), indices, change[indices])


def expect_parts(delta: Delta, parts: Sequence[Part]) -> None:
    """Raise CodecError unless ``delta`` has of each part as many entries as are kept."""
    ends = np.cumsum([size for size, _ in parts])
    within = ends if isinstance(delta.where, slice) else np.searchsorted(delta.where, ends)
    found = np.diff(within, prepend=0)
    for at, ((size, kept), count) in enumerate(zip(parts, found, strict=True)):
        if count != kept:
            raise CodecError(f"expected {kept} of the {size} entries of array {at}; found {count}")


def apply_delta(base: NDArray[Any], delta: Delta, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """θ_g + Δθ^S as a new vector, shape (n,), or in ``out``: what a reviewer evaluates.

    A sum beyond the dtype's range is infinite: what the app's evaluate makes of that is the
    delta's own affair, and no reason to stop.

    Raises
    ------
    ModelError
        The delta is one of another number of parameters.
    """
    expect_length(delta, base)
    result = np.empty_like(base) if out is None else out
    with np.errstate(over="ignore"):
        if isinstance(delta.where, slice):
            np.add(base, delta.values, out=result)
        else:
            np.copyto(result, base)
            result[delta.where] += delta.values
    return result


def expect_length(delta: Delta, base: NDArray[Any]) -> None:
    """Raises ModelError unless ``delta`` changes a vector as long as ``base``."""
    if base.shape != (delta.n,):
        raise ModelError(f"expected a delta of {base.shape} parameters; found one of ({delta.n},)")
