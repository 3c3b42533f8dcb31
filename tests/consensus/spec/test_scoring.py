"""Points of a ballot: the Borda count, with ties, gaps and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.domain import MAX_MEMBERS, Ballot
from bcfl.consensus.spec.scoring import Borda, ScoringRule, tally
from bcfl.core.errors import ProtocolError


def points(values: dict[int, int], size: int) -> dict[int, int]:
    return Borda().points(Ballot.from_values(1, values), size)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[int, int], int]:
    size = draw(st.integers(1, MAX_MEMBERS))
    rated = draw(st.lists(st.integers(0, 127), unique=True, max_size=size - 1))
    return {member: draw(st.integers(0, 5)) for member in rated}, size


def test_the_best_of_five_gets_four_points_doubled() -> None:
    assert points({1: 40, 2: 30, 3: 20, 4: 10}, 5) == {1: 8, 2: 6, 3: 4, 4: 2}


def test_equal_values_share_the_mean_of_their_positions() -> None:
    assert points({1: 9, 2: 5, 3: 5, 4: 1}, 5) == {1: 8, 2: 5, 3: 5, 4: 2}
    assert points({1: 5, 2: 5, 3: 5, 4: 5}, 5) == {1: 5, 2: 5, 3: 5, 4: 5}


def test_rejected_and_missing_members_get_nothing() -> None:
    assert points({2: 1}, 5) == {2: 8}
    assert points({}, 5) == {}


def test_more_ratings_than_other_members_are_refused() -> None:
    assert len(points({1: 1, 2: 1}, 3)) == 2
    with pytest.raises(ProtocolError, match=r"expected at most 2 ratings.*found 3"):
        points({0: 1, 1: 1, 2: 1}, 3)


@given(cases())
def test_each_gets_two_for_everybody_below_and_one_for_every_equal(
    case: tuple[dict[int, int], int],
) -> None:
    """The count said without positions: wins twice, ties once, and the absent are below all."""
    values, size = case
    absent = size - 1 - len(values)
    for member, given_points in points(values, size).items():
        others = [value for j, value in values.items() if j != member]
        below = sum(value < values[member] for value in others) + absent
        equal = sum(value == values[member] for value in others)
        assert given_points == 2 * below + equal + 2


@given(cases())
def test_ties_neither_make_nor_lose_points(case: tuple[dict[int, int], int]) -> None:
    values, size = case
    count = len(values)
    assert sum(points(values, size).values()) == sum(2 * (size - p) for p in range(1, count + 1))


def test_the_largest_total_fits_a_lane() -> None:
    ballots = [
        Ballot.from_values(1, {j: int(j == 0) for j in range(128) if j != i}) for i in range(1, 128)
    ]
    totals = tally(Borda(), ballots, 128)
    assert totals[0] == 2 * 127 * 127 < 2**15


def test_a_tally_adds_up_in_any_order() -> None:
    ballots = [Ballot.from_values(1, row) for row in ({1: 2, 2: 1}, {0: 1, 2: 1}, {1: 7})]
    assert tally(Borda(), ballots, 3) == {1: 4 + 4, 2: 2 + 3, 0: 3}
    assert tally(Borda(), reversed(ballots), 3) == tally(Borda(), ballots, 3)
    assert tally(Borda(), [], 3) == {}


def test_another_rule_stands_beside_borda() -> None:
    class Plurality(ScoringRule):
        def points(self, ballot: Ballot, size: int) -> dict[int, int]:
            return {ballot.ratings[0].member: 1} if ballot.ratings else {}

    ballots = [Ballot.from_values(1, row) for row in ({1: 2, 2: 1}, {1: 9}, {0: 1}, {})]
    assert tally(Plurality(), ballots, 3) == {1: 2, 0: 1}
