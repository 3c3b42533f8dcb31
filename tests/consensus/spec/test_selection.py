"""Winners: how many, who, and what decides between equals."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.selection import select_winners, winner_count
from bcfl.core.errors import ProtocolError


def digest(first: int) -> bytes:
    return bytes([first]) + bytes(31)


@pytest.mark.parametrize(
    ("kappa_ppm", "committed", "count"),
    [
        (500_000, 10, 5),
        (500_000, 9, 5),
        (500_000, 1, 1),
        (500_000, 2, 1),
        (1, 128, 1),
        (999_999, 1, 1),
        (999_999, 2, 1),
        (999_999, 128, 127),
        (333_333, 3, 1),
        (333_334, 3, 2),
    ],
)
def test_the_share_is_rounded_up_and_never_all_of_several(
    kappa_ppm: int, committed: int, count: int
) -> None:
    assert winner_count(kappa_ppm, committed) == count


@given(st.integers(1, 999_999), st.integers(1, 128))
def test_the_count_is_the_ceiling_within_its_bounds(kappa_ppm: int, committed: int) -> None:
    exact = ceil(Fraction(kappa_ppm, 1_000_000) * committed)
    assert winner_count(kappa_ppm, committed) == max(1, min(exact, committed - 1))


@pytest.mark.parametrize("kappa_ppm", [0, 1_000_000, -1])
def test_a_kappa_outside_its_range_is_named(kappa_ppm: int) -> None:
    with pytest.raises(ProtocolError, match=rf"kappa_ppm in \[1, 999999\]; found {kappa_ppm}"):
        winner_count(kappa_ppm, 3)


def test_of_nobody_nobody_is_chosen() -> None:
    with pytest.raises(ProtocolError, match="at least 1 member"):
        select_winners({}, {}, 500_000)


def test_the_most_points_win() -> None:
    digests = {i: digest(i) for i in range(4)}
    assert select_winners({0: 1, 1: 9, 2: 3, 3: 8}, digests, 500_000) == (1, 3)


def test_equal_points_the_smaller_digest_wins() -> None:
    digests = {0: digest(9), 1: digest(3), 2: digest(5)}
    assert select_winners({0: 4, 1: 4, 2: 4}, digests, 400_000) == (1, 2)
    assert select_winners({0: 5, 1: 4, 2: 4}, digests, 400_000) == (0, 1)


def test_equal_points_and_bytes_the_lower_index_wins() -> None:
    digests = {2: digest(1), 0: digest(1), 1: digest(1)}
    assert select_winners({}, digests, 1) == (0,)


def test_who_is_no_candidate_does_not_win() -> None:
    assert select_winners({0: 100, 1: 1}, {1: digest(1), 2: digest(0)}, 500_000) == (1,)


def test_who_got_nothing_may_win_among_those_who_got_nothing() -> None:
    assert select_winners({}, {7: digest(1)}, 500_000) == (7,)


@given(
    st.dictionaries(st.integers(0, 127), st.integers(0, 9), min_size=1),
    st.integers(1, 999_999),
)
def test_the_order_in_which_candidates_come_changes_nothing(
    totals: dict[int, int], kappa_ppm: int
) -> None:
    digests = {j: digest(j * 37 % 11) for j in totals}
    reordered = dict(sorted(digests.items(), key=lambda item: item[1], reverse=True))
    winners = select_winners(totals, digests, kappa_ppm)
    assert winners == select_winners(totals, reordered, kappa_ppm)
    assert list(winners) == sorted(winners)
    assert len(winners) == winner_count(kappa_ppm, len(digests))
    worst = min(totals[j] for j in winners)
    assert all(totals[j] <= worst for j in digests.keys() - set(winners))
