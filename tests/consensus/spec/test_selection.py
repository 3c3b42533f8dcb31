"""Winners: how many, who, and what decides between equals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from fractions import Fraction
from hashlib import sha256
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.selection import select_winners, takes_part, winner_count
from bcfl.core.errors import ProtocolError

SEED = sha256(b"a block").digest()


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


def choose(
    totals: dict[int, int],
    candidates: Collection[int],
    kappa_ppm: int,
    seen: set[int] | None = None,
    seed: bytes = SEED,
) -> tuple[int, ...]:
    return select_winners(
        totals, candidates, set(candidates) if seen is None else seen, kappa_ppm, seed
    )


def test_of_nobody_nobody_is_chosen() -> None:
    with pytest.raises(ProtocolError, match="at least 1 member"):
        choose({}, (), 500_000)


def test_the_most_points_win() -> None:
    assert choose({0: 1, 1: 9, 2: 3, 3: 8}, range(4), 500_000) == (1, 3)


def test_among_equals_the_seed_draws_lots() -> None:
    lots = {j: sha256(SEED + j.to_bytes(32, "big")).digest() for j in range(3)}
    first, second, third = sorted(lots, key=lots.__getitem__)
    assert choose({0: 4, 1: 4, 2: 4}, range(3), 400_000) == tuple(sorted((first, second)))
    assert choose({third: 5, first: 4, second: 4}, range(3), 400_000) == tuple(
        sorted((third, first))
    )


def test_nobody_wins_under_every_seed() -> None:
    seeds = [sha256(b"%d" % i).digest() for i in range(300)]
    won = Counter(choose({}, range(3), 1, seed=seed) for seed in seeds)
    assert min(won[(j,)] for j in range(3)) > 60


def test_who_is_no_candidate_does_not_win() -> None:
    assert choose({0: 100, 1: 1}, (1, 2), 500_000) == (1,)


def test_whom_too_few_could_look_at_does_not_win_and_its_place_stays_empty() -> None:
    totals = dict.fromkeys(range(6), 1) | {5: 99}
    assert choose(totals, range(6), 500_000, {0, 1, 2, 3, 4}) != choose(totals, range(6), 500_000)
    assert choose(totals, range(6), 500_000, {1, 2, 7}) == (1, 2)
    assert choose(totals, range(6), 500_000, set()) == ()


def test_a_round_needs_its_quorum_and_ballots_of_more_than_half() -> None:
    assert takes_part(candidates=4, ballots=3, committed=5, quorum=3)
    assert not takes_part(candidates=4, ballots=2, committed=4, quorum=2)
    assert not takes_part(candidates=2, ballots=3, committed=4, quorum=3)
    assert not takes_part(candidates=4, ballots=3, committed=4, quorum=4)


@given(
    st.dictionaries(st.integers(0, 127), st.integers(0, 9), min_size=1),
    st.integers(1, 999_999),
)
def test_the_order_in_which_candidates_come_changes_nothing(
    totals: dict[int, int], kappa_ppm: int
) -> None:
    winners = choose(totals, sorted(totals), kappa_ppm)
    assert winners == choose(totals, sorted(totals, reverse=True), kappa_ppm)
    assert list(winners) == sorted(winners)
    assert len(winners) == winner_count(kappa_ppm, len(totals))
    worst = min(totals[j] for j in winners)
    assert all(totals[j] <= worst for j in totals.keys() - set(winners))
