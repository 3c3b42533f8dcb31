"""S4: the next global parameters, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bcfl.consensus.spec.aggregation import aggregate, aggregate_sets
from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import ConfigurationError, ModelError, NobodyLeft
from tests.consensus.spec.deltas import frozen, rounds, vectors

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

COMBINES = ["carriers_mean", "damped_mean", "mean", "sum", "pair"]
combines = st.sampled_from(COMBINES)
rates = st.floats(2**-10, 2**10)


def divisor(combine: str, carriers: int, winners: int, average: int) -> int:
    return {
        "carriers_mean": max(carriers, 1),
        "damped_mean": max(carriers, average),
        "mean": winners,
        "sum": 1,
        "pair": max(carriers, 2),
    }[combine]


def one_by_one(base: np.ndarray, winners: dict[int, Delta], combine: str, rate: float) -> list[Any]:
    """In Python's floats: one coordinate after the other, members in ascending order."""
    result = []
    average = ceil(sum(delta.k for delta in winners.values()) / len(base))
    for at in range(len(base)):
        total, carriers = 0.0, 0
        for member in sorted(winners):
            entries = dict(zip(winners[member].indices, winners[member].values, strict=True))
            if at in entries:
                total += float(entries[at])
                carriers += 1
        change = total / divisor(combine, carriers, len(winners), average)
        with np.errstate(over="ignore"):
            result.append(np.float64(float(base[at]) + rate * change).astype(base.dtype))
    return result


@given(rounds(), combines, rates, st.data())
def test_every_coordinate_is_the_sum_taken_one_by_one(
    winners: dict[int, Delta], combine: Any, rate: float, data: st.DataObject
) -> None:
    any_delta = next(iter(winners.values()))
    base = data.draw(vectors(any_delta.n, any_delta.values.dtype))
    expected = one_by_one(base, winners, combine, rate)
    before = base.tobytes()
    if not np.isfinite(np.array(expected)).all():
        with pytest.raises(ModelError, match="not finite"):
            aggregate(base, winners, combine, rate)
        return

    result = aggregate(base, winners, combine, rate)

    assert result.tobytes() == np.array(expected, base.dtype).tobytes()
    assert result.dtype == base.dtype
    assert base.tobytes() == before


@given(
    combines,
    st.lists(
        st.dictionaries(st.integers(0, 5), st.integers(-1000, 1000), min_size=1),
        min_size=1,
        max_size=5,
    ),
)
def test_the_exact_result_rounded_where_sums_are_exact(
    combine: Any, entries: list[dict[int, int]]
) -> None:
    """Whole numbers add up without rounding: then only the division and the last cast round."""
    base = frozen(np.arange(6, dtype=np.float64) * 64)
    winners = {
        member: Delta(6, np.array(sorted(some)), np.array([float(some[i]) for i in sorted(some)]))
        for member, some in enumerate(entries)
    }
    result = aggregate(base, winners, combine)
    average = ceil(sum(map(len, entries)) / 6)
    for at in range(6):
        carried = [some[at] for some in entries if at in some]
        by = divisor(combine, len(carried), len(entries), average)
        exact = Fraction(sum(carried), by)
        assert abs(Fraction(float(result[at])) - (int(base[at]) + exact)) <= Fraction(1, 2**40)


@given(rounds(), combines, st.randoms(use_true_random=False))
def test_the_order_of_the_mapping_does_not_matter(
    winners: dict[int, Delta], combine: Any, random: Any
) -> None:
    any_delta = next(iter(winners.values()))
    base = np.zeros(any_delta.n, any_delta.values.dtype)
    try:
        expected = aggregate(base, winners, combine).tobytes()
    except ModelError:
        assume(False)
    members = random.sample(list(winners), len(winners))
    assert aggregate(base, {m: winners[m] for m in members}, combine).tobytes() == expected


def test_the_order_of_the_mapping_does_not_matter_where_the_order_of_a_sum_does() -> None:
    assert (1e16 + 1) - 1e16 != (1e16 - 1e16) + 1
    winners = winners_of({0: 1e16}, {0: 1.0}, {0: -1e16}, dtype="float64")
    for order in permutations(winners):
        turned = {member: winners[member] for member in order}
        assert aggregate(np.zeros(4), turned, "sum")[0] == 0.0


def winners_of(*entries: dict[int, float], dtype: str = "float32") -> dict[int, Delta]:
    return {
        member: Delta(
            4,
            frozen(np.array(sorted(some))),
            frozen(np.array([some[i] for i in sorted(some)], dtype)),
        )
        for member, some in enumerate(entries)
    }


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ("carriers_mean", [2.0, 6.0, 8.0, 0.0]),
        ("damped_mean", [2.0, 6.0, 8.0, 0.0]),
        ("mean", [2.0, 3.0, 4.0, 0.0]),
        ("sum", [4.0, 6.0, 8.0, 0.0]),
        ("pair", [2.0, 3.0, 4.0, 0.0]),
    ],
)
def test_the_readings_of_combine(combine: Any, expected: list[float]) -> None:
    winners = winners_of({0: 1.0, 1: 6.0}, {0: 3.0, 2: 8.0})
    base = np.zeros(4, np.float32)
    assert aggregate(base, winners, combine).tolist() == expected


def test_a_damped_mean_is_the_mean_while_deltas_are_nearly_whole() -> None:
    """And of sparse ones that of the carriers: see ``test_the_readings_of_combine``."""
    base = np.zeros(4, np.float32)
    three = {0: 3.0, 1: 3.0, 2: 3.0}
    nearly = winners_of(three, {0: 3.0, 2: 3.0, 3: 6.0}, three)
    assert aggregate(base, nearly, "damped_mean").tolist() == [3.0, 2.0, 3.0, 2.0]
    half = winners_of({0: 2.0, 1: 2.0}, {0: 2.0, 2: 4.0}, {0: 2.0, 2: 8.0})
    assert aggregate(base, half, "damped_mean").tolist() == [2.0, 1.0, 6.0, 0.0]


def test_a_pair_of_one_is_half_of_it_and_a_pair_of_three_their_mean() -> None:
    base = np.zeros(4, np.float32)
    assert aggregate(base, winners_of({0: 6.0}), "pair").tolist() == [3.0, 0.0, 0.0, 0.0]
    three = winners_of({0: 6.0}, {0: 2.0}, {0: 1.0})
    assert aggregate(base, three, "pair").tolist() == [3.0, 0.0, 0.0, 0.0]


@given(rounds(), combines, rates)
def test_the_step_of_one_set_is_that_set_s_own(
    winners: dict[int, Delta], combine: Any, rate: float
) -> None:
    base = np.zeros(next(iter(winners.values())).n, np.float64)
    try:
        expected = aggregate(base, winners, combine, rate)
    except ModelError:
        return
    assert aggregate_sets(base, [winners], combine, rate).tobytes() == expected.tobytes()


def test_the_step_of_several_sets_is_the_mean_of_theirs() -> None:
    both = winners_of({0: 4.0}, {0: 8.0, 1: 2.0})
    sets = [both, {1: both[1]}]
    result = aggregate_sets(np.ones(4, np.float32), sets, "pair", 2.0)
    assert result.tolist() == [1 + 2 * (6.0 + 4.0) / 2, 1 + 2 * (1.0 + 1.0) / 2, 1.0, 1.0]
    for nobody in ([], [both, {}]):
        with pytest.raises(NobodyLeft):
            aggregate_sets(np.ones(4, np.float32), nobody, "pair")


def test_carriers_are_counted_for_each_coordinate_even_where_the_value_is_zero() -> None:
    winners = winners_of({0: 4.0}, {0: 0.0}, {1: 4.0})
    assert aggregate(np.zeros(4, np.float32), winners).tolist() == [2.0, 4.0, 0.0, 0.0]


def test_the_server_s_learning_rate_scales_the_step_and_not_the_parameters() -> None:
    winners = winners_of({0: 2.0}, {1: -2.0})
    base = np.array([10.0, 10.0, 10.0, 10.0], np.float32)
    assert aggregate(base, winners, learning_rate=0.25).tolist() == [10.5, 9.5, 10.0, 10.0]


def test_sums_run_in_double_precision_and_round_once_at_the_end() -> None:
    """In half precision 2048 + 1 is 2048: three steps of 1 would be lost one by one."""
    winners = winners_of({0: 2048.0}, {0: 1.0}, {0: 1.0}, dtype="float16")
    result = aggregate(np.zeros(4, np.float16), winners, "sum")
    assert result[0] == 2050.0


@pytest.mark.parametrize("combine", COMBINES)
def test_without_winners_there_is_nothing_to_aggregate(combine: Any) -> None:
    with pytest.raises(NobodyLeft, match="at least one winner"):
        aggregate(np.zeros(4), {}, combine)


@pytest.mark.parametrize(
    ("dtype", "values", "rate"),
    [
        ("float16", [60000.0, 60000.0], 1.0),
        ("float32", [3e38, 3e38], 1.0),
        ("float64", [1.7e308, 1.7e308], 1.0),
        ("float64", [1.7e308, 1.7e308, -1.7e308, -1.7e308], 1.0),
        ("float64", [1e300], 1e300),
        ("float32", [1.0], 1e300),
    ],
)
def test_parameters_that_are_not_finite_are_refused(
    dtype: str, values: list[float], rate: float
) -> None:
    winners = winners_of(*({0: value} for value in values), dtype=dtype)
    with pytest.raises(ModelError, match="not finite; lower server_learning_rate"):
        aggregate(np.zeros(4, dtype), winners, "sum", rate)


def test_a_delta_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="parameters"):
        aggregate(np.zeros(5, np.float32), winners_of({0: 1.0}))


def test_an_unknown_combination_is_an_error_not_a_guess() -> None:
    with pytest.raises(ConfigurationError, match=r"combine is one of .*; found 'median'"):
        aggregate(np.zeros(4, np.float32), winners_of({0: 1.0}), "median")  # type: ignore[arg-type]
