"""Models for Hypothesis: any keys, shapes, float dtypes and memory layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.consensus.spec.deltas import finite, frozen

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]

Model = dict[str, np.ndarray]
keys = st.text(st.characters(codec="utf-8"), max_size=12)
shapes = npst.array_shapes(min_dims=0, max_dims=4, max_side=4)


@st.composite
def models(draw: st.DrawFn, dtypes: list[str] | None = None) -> Model:
    """Models of one float array at least, scalars and any order of axes among them."""
    names = draw(st.lists(keys, min_size=1, max_size=5, unique=True))
    model: Model = {}
    for place, name in enumerate(names):
        dtype = np.dtype(draw(st.sampled_from(FLOATS if place == 0 else dtypes or FLOATS)))
        elements = finite(dtype) if dtype.kind == "f" else None
        array = draw(npst.arrays(dtype, draw(shapes), elements=elements))
        if draw(st.booleans()):
            array = np.asfortranarray(array)
        model[name] = frozen(array)
    return dict(draw(st.permutations(list(model.items()))))


def equal(one: Any, other: Any) -> bool:
    """The same arrays, bit for bit, in the same order."""
    return list(one) == list(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(one.values(), other.values(), strict=True)
    )
