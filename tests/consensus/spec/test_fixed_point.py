"""A quality as the integer that stands in a ballot."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.fixed_point import FRACTION_BITS, to_value

STEP = 2.0**-FRACTION_BITS
numbers = st.floats(allow_nan=False)


@given(numbers, numbers)
def test_what_is_better_never_gets_the_smaller_value(one: float, other: float) -> None:
    worse, better = sorted([one, other])
    assert to_value(worse) <= to_value(better)


@given(numbers)
def test_every_value_is_an_unsigned_32_bit_integer(quality: float) -> None:
    value = to_value(quality)
    assert isinstance(value, int)
    assert 0 <= value < 2**32


@given(st.floats(-2048, 2048 - STEP))
def test_a_value_is_right_to_half_a_step(quality: float) -> None:
    assert abs((to_value(quality) - 2**31) * STEP - quality) <= STEP / 2


@given(st.integers(0, 2**32 - 1))
def test_every_value_stands_for_the_quality_that_it_names(value: int) -> None:
    assert to_value((value - 2**31) * STEP) == value


@pytest.mark.parametrize(
    ("quality", "value"),
    [
        (0.0, 2**31),
        (-0.0, 2**31),
        (1.0, 2**31 + 2**20),
        (-1.0, 2**31 - 2**20),
        (STEP / 2, 2**31),  # halves go to the even neighbour
        (3 * STEP / 2, 2**31 + 2),
        (2048.0 - STEP, 2**32 - 1),
        (2048.0, 2**32 - 1),
        (1e308, 2**32 - 1),
        (math.inf, 2**32 - 1),
        (-2048.0, 0),
        (-1e308, 0),
        (-math.inf, 0),
        (1, 2**31 + 2**20),
    ],
)
def test_zero_stands_in_the_middle_and_both_ends_saturate(quality: float, value: int) -> None:
    assert to_value(quality) == value


@given(numbers)
def test_nothing_is_worse_than_nan(quality: float) -> None:
    assert to_value(math.nan) == 0 <= to_value(quality)


def test_losses_a_millionth_apart_are_told_apart() -> None:
    assert to_value(-2.302585) > to_value(-2.302586)
