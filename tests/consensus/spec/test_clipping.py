"""The norm, and scaling what exceeds the median down to it."""

from __future__ import annotations

import math
import statistics
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bcfl.consensus.spec.clipping import clip, norm, sum_rounded_once
from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import ConfigurationError
from tests.consensus.spec.deltas import deltas, frozen, rounds, same

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

LARGEST = sys.float_info.max


def delta_of(*values: float, dtype: str = "float64") -> Delta:
    return Delta(len(values), np.arange(len(values)), frozen(np.array(values, dtype)))


def exact_norm(delta: Delta) -> Fraction:
    """Of the exact sum of exact squares, the root to 200 bits more than a double has."""
    total = sum(Fraction(float(value)) ** 2 for value in delta.values)
    shift = 2**1400
    return Fraction(math.isqrt(int(total * shift * shift)), shift)


@given(deltas(max_n=60))
def test_the_norm_is_right_to_two_units_in_the_last_place(delta: Delta) -> None:
    found, exact = norm(delta), exact_norm(delta)
    if found == math.inf:
        assert exact > LARGEST * (1 - Fraction(1, 2**50))
    else:
        assert abs(Fraction(found) - exact) <= 2 * Fraction(math.ulp(found))


@given(st.lists(st.floats(0, 4, exclude_max=True), min_size=1, max_size=60))
@example([5e-324, 2**-1022, 2**-537, 1.0, 4 - 2**-51])
@example([1.0, 2**-53, 5e-324])  # half a unit in the last place, and the least there is above it
@example([1.0, 2**-53])
def test_a_sum_is_rounded_once(numbers: list[float]) -> None:
    assert sum_rounded_once(lambda: [np.array(numbers)]) == math.fsum(numbers)


def test_a_sum_of_very_many_is_rounded_once() -> None:
    numbers = np.random.default_rng(1).uniform(0, 2, 200_000) ** 40 % 4
    assert sum_rounded_once(lambda: np.array_split(numbers.copy(), 3)) == math.fsum(
        numbers.tolist()
    )


@given(deltas(max_n=60), st.randoms(use_true_random=False))
def test_the_norm_does_not_depend_on_the_order(delta: Delta, random) -> None:  # type: ignore[no-untyped-def]
    order = random.sample(range(delta.k), delta.k)
    assert norm(Delta(delta.n, delta.indices, delta.values[order])) == norm(delta)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, 4.0), 5.0),
        ((0.0, -0.0), 0.0),
        ((-7.0,), 7.0),
        ((1e300, 0.0), 1e300),
        ((3 * 2.0**1020, 4 * 2.0**1020), 5 * 2.0**1020),
        ((1.7e308, 0.0), 1.7e308),
        ((1.7e308, 1.7e308), math.inf),
        ((5e-324, 0.0), 5e-324),
        ((3 * 5e-324, 4 * 5e-324), 5 * 5e-324),
        ((1e300, 1e-300), 1e300),
    ],
)
def test_norms_where_squares_would_overflow_or_vanish(
    values: tuple[float, ...], expected: float
) -> None:
    assert norm(delta_of(*values)) == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_norm_of_the_largest_values(dtype: str) -> None:
    limit = float(np.finfo(dtype).max)
    assert norm(delta_of(limit, dtype=dtype)) == limit
    assert norm(delta_of(*[limit] * 100, dtype=dtype)) == 10 * limit


@given(rounds())
def test_no_clipped_norm_exceeds_the_median(round_: dict[int, Delta]) -> None:
    norms = {member: norm(delta) for member, delta in round_.items()}
    median = statistics.median_low(norms.values())
    for member, delta in clip(round_, "median_norm").items():
        if norms[member] <= median:
            assert delta is round_[member]
            continue
        limits = np.finfo(delta.values.dtype)
        # Each value was rounded once: by half a unit, or by half the least subnormal number.
        slack = 1 + Fraction(float(limits.eps)) + Fraction(1, 2**50)
        least = Fraction(float(limits.smallest_subnormal)) * delta.k
        assert exact_norm(delta) <= Fraction(median) * slack + least
        signs = np.sign(delta.values) * np.sign(round_[member].values)
        assert (signs >= 0).all()


@given(rounds())
def test_clipping_keeps_members_dtypes_and_indices(round_: dict[int, Delta]) -> None:
    clipped = clip(round_, "median_norm")
    assert list(clipped) == list(round_)
    for member, delta in clipped.items():
        assert delta.values.dtype == round_[member].values.dtype
        assert delta.indices.tolist() == round_[member].indices.tolist()
        assert np.isfinite(delta.values).all()


@given(rounds(), st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(round_: dict[int, Delta], random) -> None:  # type: ignore[no-untyped-def]
    members = random.sample(sorted(round_), len(round_))
    one = clip(round_, "median_norm")
    other = clip({member: round_[member] for member in members}, "median_norm")
    assert all(same(one[member], other[member]) for member in members)


def test_whoever_has_half_of_the_round_does_not_set_the_median() -> None:
    round_ = {m: delta_of(length) for m, length in enumerate([1.0, 2.0, 1e9, 1e9])}
    clipped = clip(round_, "median_norm").values()
    assert [delta.values.tolist() for delta in clipped] == [[1.0], [2.0], [2.0], [2.0]]


def test_every_delta_counts_for_the_median_whoever_wins() -> None:
    round_ = {7: delta_of(-8.0), 1: delta_of(2.0), 4: delta_of(1.0)}
    assert clip(round_, "median_norm")[7].values.tolist() == [-2.0]


def test_where_most_deltas_are_zero_so_are_all() -> None:
    round_ = {0: delta_of(0.0, 0.0), 1: delta_of(0.0, -0.0), 2: delta_of(3.0, 4.0)}
    assert clip(round_, "median_norm")[2].values.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("huge", [1e300, 1e308, LARGEST])
@pytest.mark.parametrize("usual", [1e-300, 1e-12, 1.0, 1e3])
def test_a_huge_delta_is_clipped_like_any_other(huge: float, usual: float) -> None:
    """Ten thousand largest doubles: neither their norm nor median/norm is a double."""
    zeros = [0.0] * 9_999
    round_ = {0: delta_of(usual, *zeros), 1: delta_of(usual, *zeros), 2: delta_of(*[huge] * 10_000)}
    values = clip(round_, "median_norm")[2].values
    assert values == pytest.approx(np.full(10_000, usual / 100), rel=1e-12)


def test_where_half_the_norms_are_huge_nothing_overflows() -> None:
    round_ = {0: delta_of(LARGEST), 1: delta_of(LARGEST), 2: delta_of(1.0)}
    round_[3] = delta_of(LARGEST)
    clipped = clip(round_, "median_norm")
    assert [float(d.values[0]) for d in clipped.values()] == [LARGEST, LARGEST, 1.0, LARGEST]


@given(rounds())
def test_as_published_nothing_is_clipped(round_: dict[int, Delta]) -> None:
    clipped = clip(round_, "none")
    assert clipped is not round_
    assert all(clipped[member] is delta for member, delta in round_.items())


@pytest.mark.parametrize("rule", ["median_norm", "none"])
def test_a_round_without_deltas_has_nothing_to_clip(rule) -> None:  # type: ignore[no-untyped-def]
    assert clip({}, rule) == {}


def test_an_unknown_rule_is_an_error_not_a_guess() -> None:
    with pytest.raises(ConfigurationError, match=r"clip is one of .*; found 'median'"):
        clip({0: delta_of(1.0)}, "median")  # type: ignore[arg-type]
