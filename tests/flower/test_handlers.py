"""Arrays of a stranger's message, read without numpy's copies."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from numpy.lib import format as npy

from bcfl.core.errors import ModelError
from bcfl.flower.handlers import to_arrays


def record(shape: tuple[int, ...], descr: str = "<f4", entries: bytes = bytes(16)) -> ArrayRecord:
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    array = Array("float32", (4,), "numpy.ndarray", header.getvalue() + entries)
    return ArrayRecord({"w": array})


def test_entries_are_read_in_the_shape_that_is_said() -> None:
    (found,) = to_arrays(record((2, 2), entries=np.arange(4, dtype="<f4").tobytes())).values()
    assert found.tolist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("shape", "descr"),
    [((-1,), "<f4"), ((2, -2), "<f4"), ((-2, -2), "<f4"), ((10**12,), "<f4"), ((4,), "|O")],
)
def test_a_shape_or_a_kind_that_is_none_is_refused_by_name(
    shape: tuple[int, ...], descr: str
) -> None:
    with pytest.raises(ModelError, match=r"^array 'w' .* is none of numpy's"):
        to_arrays(record(shape, descr))
