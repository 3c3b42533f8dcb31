"""θ_g, the global parameters: named arrays as one flat vector, and back.

PROTOCOL, System A, notation: "one flat vector of n values (the arrays of Flower's
``ArrayRecord`` in its order)".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.core.arrays import (
    FLOATS,
    Arrays,
    ArraySpec,
    decode_model,
    describe,
    encode_model,
    expect_carried,
    model_digest,
)
from bcfl.core.errors import ModelError

__all__ = [
    "ArraySpec",
    "Arrays",
    "IntegerArrays",
    "ModelSpec",
    "decode_model",
    "encode_model",
    "model_digest",
]

IntegerArrays: TypeAlias = Literal["refuse", "keep"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a task's model is made of. Every array that crosses a border is held against it."""

    arrays: tuple[ArraySpec, ...]
    carried: frozenset[str]  #: keys of the arrays that deltas change; the others stay as they are

    @classmethod
    def of(
        cls,
        arrays: Arrays,
        integer_arrays: IntegerArrays = "refuse",
        shared: Sequence[str] = ("*",),
    ) -> ModelSpec:
        """Describe ``arrays``.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            In the order of Flower's ``ArrayRecord``.
        integer_arrays : {"refuse", "keep"}
            Counters such as batch norm's ``num_batches_tracked`` are no parameters. Either
            they are refused, or they keep their first value for the whole task.
        shared : sequence of str
            Patterns, as of file names, of the arrays that are trained together. The others, such
            as a head that every client has for itself, keep their first value as well.

        Raises
        ------
        ModelError
            No entry of any array, a dtype that is not carried, or no array that is shared.
        """
        specs = describe(arrays)
        expect_carried(specs)
        named = [spec for spec in specs if any(fnmatchcase(spec.key, each) for each in shared)]
        if specs and not named:
            raise ModelError(
                f"shared={list(shared)} matches no array of the model, which has "
                f"{', '.join(spec.key for spec in specs)}"
            )
        for spec in named:
            if not spec.trained and integer_arrays == "refuse":
                raise ModelError(
                    f"array {spec.key!r} is {spec.dtype}, which cannot carry a delta; expected one "
                    f"of {FLOATS}. Remove it, or set integer_arrays='keep' to leave it as it is"
                )
        carried = frozenset(spec.key for spec in named if spec.trained)
        if not any(spec.size for spec in named if spec.trained):
            found = ", ".join(f"{each.key!r} of shape {each.shape}, {each.dtype}" for each in named)
            raise ModelError(
                f"expected at least one array of {FLOATS} that has entries; found "
                f"{found or 'no arrays'}. Trees, and other bytes, take update='whole'"
            )
        return cls(specs, carried)

    @property
    def _changing(self) -> list[ArraySpec]:
        return [spec for spec in self.arrays if spec.key in self.carried]

    @property
    def sizes(self) -> list[int]:
        """Number of parameters of each array that deltas change, in their order."""
        return [spec.size for spec in self._changing]

    @property
    def n(self) -> int:
        """Number of parameters."""
        return sum(self.sizes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the flat vector: the widest of the arrays' float dtypes, so nothing is lost."""
        return np.result_type(*(np.dtype(spec.dtype) for spec in self._changing))

    @property
    def size_bytes(self) -> int:
        """Of the arrays as they travel dense, without keys or framing."""
        return sum(spec.size_bytes for spec in self.arrays)

    def flatten(self, arrays: Arrays) -> NDArray[Any]:
        """Concatenate the parameters into one vector of shape (n,).

        Raises
        ------
        ModelError
            Other keys, another order, shape or dtype than the task's model, or NaN, or infinity.
        """
        self._expect_finite(arrays)
        return self._joined(arrays)

    def change(self, trained: Arrays, base: Arrays) -> NDArray[Any]:
        """Parameters minus others, shape (n,); infinite, or NaN, where it is no number.

        Raises
        ------
        ModelError
            Other keys, another order, shape or dtype than the task's model.
        """
        self._expect(trained)
        self._expect(base)
        found, at = self._joined(trained), 0
        with np.errstate(over="ignore", invalid="ignore"):
            for spec in self._changing:
                found[at : at + spec.size] -= base[spec.key].ravel()
                at += spec.size
        return found

    def _joined(self, arrays: Arrays) -> NDArray[Any]:
        parts = [arrays[spec.key].ravel() for spec in self._changing]
        return np.concatenate(parts, dtype=self.dtype)

    def _expect(self, arrays: Arrays) -> None:
        if (found := describe(arrays)) != self.arrays:
            raise ModelError(_difference(self.arrays, found))

    def _expect_finite(self, arrays: Arrays) -> None:
        self._expect(arrays)
        for spec in self._changing:
            _expect_finite(spec.key, arrays[spec.key])

    def unflatten(self, vector: NDArray[Any], like: Arrays) -> dict[str, NDArray[Any]]:
        """Invert :meth:`flatten`, as views where dtypes allow; what no delta changes is ``like``'s.

        Where the arrays' dtypes differ, a value beyond a narrower one's range becomes
        infinite, and the next :meth:`flatten` refuses it.
        """
        if vector.shape != (self.n,):
            raise ModelError(f"expected a vector of shape ({self.n},); found {vector.shape}")
        arrays: dict[str, NDArray[Any]] = {}
        at = 0
        for spec in self.arrays:
            if spec.key in self.carried:
                part = _cast(vector[at : at + spec.size], spec.dtype)
                arrays[spec.key] = part.reshape(spec.shape)
                at += spec.size
            else:
                arrays[spec.key] = like[spec.key]
        return arrays

    def conform(self, arrays: Arrays, like: Arrays) -> dict[str, NDArray[Any]]:
        """Arrays that somebody else computed, cast to the model's dtypes.

        Raises
        ------
        ModelError
            Other keys or shapes than the model's, no numbers, or no finite ones.
        """
        names = {spec.key for spec in self.arrays}
        if arrays.keys() != names:
            missing, unknown = _some(names - arrays.keys()), _some(arrays.keys() - names)
            raise ModelError(
                f"expected the model's {len(names)} arrays under their names, in any order; "
                f"missing: {missing}; not of the model: {unknown}. What a client keeps for itself "
                "stays out of its reply, and update='whole' takes models whose arrays change"
            )
        for key, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ModelError(f"array {key!r} is {array.dtype}; expected real numbers")
        cast = {
            spec.key: (
                _cast(arrays[spec.key], spec.dtype) if spec.key in self.carried else like[spec.key]
            )
            for spec in self.arrays
        }
        self._expect_finite(cast)
        return cast


def _some(names: Collection[str]) -> str:
    """At most five of these."""
    named = [repr(name) for name in sorted(names)[:5]]
    return ", ".join([*named, *([f"{len(names) - 5} more"] if len(names) > 5 else [])]) or "none"


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """In another dtype; what lies beyond its range becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _expect_finite(key: str, array: NDArray[Any]) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        at = int(np.flatnonzero(~finite.ravel())[0])
        raise ModelError(
            f"entry {at} of array {key!r} is {array.ravel()[at]}; expected finite values"
        )


def _difference(expected: tuple[ArraySpec, ...], found: tuple[ArraySpec, ...]) -> str:
    for want, have in zip(expected, found, strict=False):
        if want != have:
            return (
                f"expected array {want.key!r} of shape {want.shape}, {want.dtype}; found "
                f"{have.key!r} of shape {have.shape}, {have.dtype}. update='whole' takes models "
                "whose arrays change"
            )
    return f"expected {len(expected)} arrays; found {len(found)}"
