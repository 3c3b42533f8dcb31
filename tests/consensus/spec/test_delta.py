"""S2: the difference, its largest entries, and adding them back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.delta import Delta, apply_delta, difference, top_gamma, top_parts
from bcfl.core.errors import ModelError
from tests.consensus.spec.deltas import deltas, dtypes, finite, frozen, vectors

# What numpy would only warn of, in whatever configuration pytest runs.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@st.composite
def changes(draw: st.DrawFn, max_n: int = 40) -> np.ndarray:
    """Vectors with many equal magnitudes among them."""
    dtype = draw(dtypes)
    few = draw(st.lists(finite(dtype), min_size=1, max_size=4))
    elements = st.sampled_from([*few, *(-value for value in few)])
    values = draw(st.lists(elements, min_size=1, max_size=max_n))
    return frozen(np.array(values, dtype))


@given(changes(), st.data())
def test_the_largest_magnitudes_are_kept_and_of_equal_ones_the_lower_indices(
    change: np.ndarray, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, len(change)))
    by_magnitude = sorted(range(len(change)), key=lambda at: (-abs(float(change[at])), at))
    expected = sorted(by_magnitude[:kept])

    delta = top_gamma(change, kept)

    assert delta.indices.tolist() == expected
    assert delta.indices.dtype == np.int64
    assert delta.values.tobytes() == change[expected].tobytes()
    assert (delta.n, delta.k, delta.values.dtype) == (len(change), kept, change.dtype)


def test_a_decrease_counts_as_much_as_an_increase() -> None:
    delta = top_gamma(np.array([0.5, -3.0, 2.0, -0.1]), 2)
    assert dict(zip(delta.indices.tolist(), delta.values.tolist(), strict=True)) == {
        1: -3.0,
        2: 2.0,
    }


@given(changes())
def test_with_gamma_one_nothing_is_left_out(change: np.ndarray) -> None:
    delta = top_gamma(change, len(change))
    assert delta.indices.tolist() == list(range(len(change)))
    assert delta.values.tobytes() == change.tobytes()
    assert delta.indices.dtype == np.int64


@pytest.mark.parametrize("kept", [0, -1, 4])
def test_keeping_none_or_more_than_there_are_is_refused(kept: int) -> None:
    with pytest.raises(ModelError, match=f"keep 1 to 3 entries; found {kept}"):
        top_gamma(np.zeros(3), kept)


@given(st.data())
def test_the_difference_is_the_trained_minus_the_global(data: st.DataObject) -> None:
    dtype = data.draw(dtypes)
    small = st.integers(-100, 100).map(float)
    numbers = data.draw(st.lists(st.tuples(small, small), min_size=1, max_size=10))
    trained = frozen(np.array([a for a, _ in numbers], dtype))
    base = frozen(np.array([b for _, b in numbers], dtype))
    change = difference(trained, base)
    assert change.tolist() == [a - b for a, b in numbers]
    assert change.dtype == dtype


@pytest.mark.parametrize("diverged", [np.nan, np.inf, -np.inf, 3.4e38])
def test_a_training_that_diverged_is_an_error(diverged: float) -> None:
    base = np.full(3, -3.4e38, np.float32)
    trained = np.array([0, diverged, 0], np.float32)
    with pytest.raises(ModelError, match="not finite"):
        difference(trained, base)


@given(st.data())
def test_applying_adds_where_there_is_an_entry_and_nowhere_else(data: st.DataObject) -> None:
    delta = data.draw(deltas(max_n=40))
    dtype = delta.values.dtype
    base = data.draw(vectors(delta.n, dtype))
    before = base.tobytes()

    result = apply_delta(base, delta)

    with np.errstate(over="ignore"):
        for at, value in zip(delta.indices, delta.values, strict=True):
            assert result[at] == base[at] + value
    elsewhere = np.setdiff1d(np.arange(delta.n), delta.indices)
    assert result[elsewhere].tobytes() == base[elsewhere].tobytes()
    assert result.dtype == dtype
    assert base.tobytes() == before
    assert not np.shares_memory(result, base)


def test_a_sum_beyond_the_range_is_infinite_and_nothing_to_warn_of() -> None:
    delta = Delta(2, np.array([1]), np.array([60000], np.float16))
    assert apply_delta(np.full(2, 60000, np.float16), delta).tolist() == [60000.0, np.inf]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_delta_of_another_model_is_not_applied(n: int) -> None:
    delta = Delta(3, np.array([0]), np.array([1.0]))
    with pytest.raises(ModelError, match="parameters"):
        apply_delta(np.zeros(n), delta)


@given(deltas(max_n=20), st.floats(0, 1))
def test_scaling_rounds_each_value_once_and_keeps_the_indices(delta: Delta, factor: float) -> None:
    scaled = delta.scaled(factor)
    expected = [float(value) * factor for value in delta.values]
    assert scaled.values.tolist() == np.array(expected, delta.values.dtype).tolist()
    assert scaled.values.dtype == delta.values.dtype
    assert scaled.indices.tolist() == delta.indices.tolist()
    assert scaled.n == delta.n


@given(deltas(max_n=20))
def test_scaling_by_one_changes_nothing(delta: Delta) -> None:
    assert delta.scaled(1.0) is delta


@given(st.lists(changes(), min_size=1, max_size=4), st.integers(1, 4))
def test_of_each_part_its_own_largest_are_kept(arrays: list[np.ndarray], nth: int) -> None:
    arrays = [array.astype(np.float64) for array in arrays]
    parts = [(len(array), -(-len(array) // nth)) for array in arrays]
    delta = top_parts(np.concatenate(arrays), parts)
    at, expected = 0, []
    for array, (size, kept) in zip(arrays, parts, strict=True):
        expected += [at + index for index in top_gamma(array, kept).indices]
        at += size
    assert delta.indices.tolist() == expected
    assert delta.values.tolist() == np.concatenate(arrays)[expected].tolist()
