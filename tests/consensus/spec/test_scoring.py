"""Points of a ballot: the Borda count, with ties, gaps and bounds."""

from __future__ import annotations

from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.domain import MAX_MEMBERS, Ballot
from bcfl.consensus.spec.scoring import Borda, ScoringRule, abstains, seen_by_most, tally
from bcfl.core.errors import ProtocolError


def points(values: dict[int, int], size: int, *unrated: int) -> dict[int, int]:
    return Borda().points(Ballot.from_values(1, values), {*values, *unrated}, size)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[int, int], list[int], int]:
    """Values of some of the others, those without one, and m."""
    size = draw(st.integers(1, MAX_MEMBERS))
    others = draw(st.lists(st.integers(0, 127), unique=True, max_size=size - 1))
    count = draw(st.integers(0, len(others)))
    return {j: draw(st.integers(0, 5)) for j in others[:count]}, others[count:], size


def test_the_best_of_five_gets_four_points_doubled() -> None:
    assert points({1: 40, 2: 30, 3: 20, 4: 10}, 5) == {1: 8, 2: 6, 3: 4, 4: 2}


def test_equal_values_share_the_mean_of_their_positions() -> None:
    assert points({1: 9, 2: 5, 3: 5, 4: 1}, 5) == {1: 8, 2: 5, 3: 5, 4: 2}
    assert points({1: 5, 2: 5, 3: 5, 4: 5}, 5) == {1: 5, 2: 5, 3: 5, 4: 5}


def test_who_is_not_rated_shares_the_last_places() -> None:
    assert points({2: 1}, 5, 0, 3, 4) == {2: 8, 0: 4, 3: 4, 4: 4}
    assert points({2: 1}, 5, 0, 3) == {2: 8, 0: 5, 3: 5}
    assert points({2: 9, 0: 8}, 5, 3) == {2: 8, 0: 6, 3: 4}
    assert points({}, 5, 1, 2) == {1: 7, 2: 7}
    assert points({}, 5) == {}


def test_missing_and_invalid_are_alike_and_like_left_out() -> None:
    others = {1, 2, 3}
    ballots = [Ballot.from_values(1, {1: 5}, *sets) for sets in ([], [{2, 3}], [{2}, {3}])]
    assert [Borda().points(ballot, others, 4) for ballot in ballots] == [{1: 6, 2: 3, 3: 3}] * 3


@given(cases())
def test_leaving_somebody_off_is_worth_no_more_than_ranking_it_last(
    case: tuple[dict[int, int], list[int], int],
) -> None:
    """Whatever a liar leaves out: the sum for any set of accomplices is the same or less."""
    values, unrated, size = case
    if not values or not unrated:
        return
    left_off = points(values, size, *unrated)
    worst = min(values.values())
    last = {member: -position for position, member in enumerate(unrated)}
    shifted = {member: value + len(unrated) - worst + 1 for member, value in values.items()}
    ranked = points(shifted | {j: v + len(unrated) - 1 for j, v in last.items()}, size)
    assert {j: left_off[j] for j in values} == {j: ranked[j] for j in values}
    assert sum(left_off[j] for j in unrated) == sum(ranked[j] for j in unrated)


@pytest.mark.parametrize(
    ("ballot", "others", "found"),
    [
        (Ballot.from_values(1, {0: 1, 1: 1, 2: 1}), {0, 1, 2}, "expected at most 2 ratings"),
        (Ballot.from_values(1, {0: 1, 4: 1}), {0, 1}, r"found \(4,\)"),
        (Ballot.from_values(1, {0: 1}, missing=[5]), {0, 1}, r"found \(5,\)"),
        (Ballot.from_values(1, {0: 1}, invalid=[6]), {0, 1}, r"found \(6,\)"),
    ],
)
def test_a_ballot_speaks_of_the_others_alone(ballot: Ballot, others: set[int], found: str) -> None:
    with pytest.raises(ProtocolError, match=found):
        Borda().points(ballot, others, 3)


@given(cases())
def test_each_gets_two_for_everybody_below_and_one_for_every_equal(
    case: tuple[dict[int, int], list[int], int],
) -> None:
    """The count said without positions: wins twice, ties once, and the absent are below all."""
    values, unrated, size = case
    absent = size - 1 - len(values)
    given_points = points(values, size, *unrated)
    for member in values:
        others = [value for j, value in values.items() if j != member]
        below = sum(value < values[member] for value in others) + absent
        equal = sum(value == values[member] for value in others)
        assert given_points[member] == 2 * below + equal + 2


@given(cases())
def test_ties_neither_make_nor_lose_points(
    case: tuple[dict[int, int], list[int], int],
) -> None:
    values, unrated, size = case
    count = len(values) + len(unrated)
    total = sum(points(values, size, *unrated).values())
    assert total == sum(2 * (size - p) for p in range(1, count + 1))


@pytest.mark.parametrize(
    ("missing", "others", "does"),
    [(0, 3, False), (1, 3, True), (1, 4, False), (2, 7, True), (2, 8, False), (3, 8, True)],
)
def test_who_misses_more_than_a_quarter_abstains(missing: int, others: int, does: bool) -> None:
    ballot = Ballot.from_values(1, {}, missing=range(missing), invalid=range(missing, others))
    assert abstains(ballot, set(range(others))) == does


def test_the_largest_total_fits_a_lane() -> None:
    ballots = {
        i: Ballot.from_values(1, {j: int(j == 0) for j in range(128) if j != i})
        for i in range(1, 128)
    }
    totals = tally(Borda(), ballots, set(range(128)), 128)
    assert totals[0] == 2 * 127 * 127 < 2**15


def test_a_tally_adds_up_in_any_order() -> None:
    rows = {0: {1: 2, 2: 1}, 1: {0: 1, 2: 1}, 2: {1: 7}}
    ballots = {author: Ballot.from_values(1, row) for author, row in rows.items()}
    everybody = {0, 1, 2}
    assert tally(Borda(), ballots, everybody, 3) == {1: 4 + 4, 2: 2 + 3, 0: 3 + 2}
    backwards = dict(reversed(ballots.items()))
    assert tally(Borda(), backwards, everybody, 3) == tally(Borda(), ballots, everybody, 3)
    assert tally(Borda(), {}, everybody, 3) == {}


def test_who_is_seen_by_half_of_the_others_ballots_is_not_seen_by_most() -> None:
    rows = {0: {1: 1, 2: 1, 3: 1}, 1: {0: 1, 2: 1}, 2: {1: 1, 3: 1}, 3: {0: 1}}
    ballots = {author: Ballot.from_values(1, row) for author, row in rows.items()}
    # Of the three ballots of others: 0, 1, 2 and 3 are on two; 4, who has not voted, on none.
    assert seen_by_most(ballots, {0, 1, 2, 3, 4}) == {0, 1, 2, 3}
    del ballots[3]
    # Now 3 is on two of three, 0 on one of two, 1 and 2 on two of two, or on two of two.
    assert seen_by_most(ballots, {0, 1, 2, 3, 4}) == {1, 2, 3}
    assert seen_by_most({}, {0, 1}) == frozenset()
    assert seen_by_most({0: Ballot(1, ())}, {0}) == frozenset()


def test_another_rule_stands_beside_borda() -> None:
    class Plurality(ScoringRule):
        def points(self, ballot: Ballot, others: Set[int], size: int) -> dict[int, int]:
            return {ballot.ratings[0].member: 1} if ballot.ratings else {}

    rows = enumerate(({1: 2, 2: 1}, {2: 9}, {1: 1}, {}))
    ballots = {author: Ballot.from_values(1, row) for author, row in rows}
    assert tally(Plurality(), ballots, {0, 1, 2, 3}, 4) == {1: 2, 2: 1}
