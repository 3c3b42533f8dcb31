"""``rule=coalition``: what a member proposes, how the proposals are weighed, who stands how."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.candidates import Candidates, eligible, half
from bcfl.consensus.spec.coalition import (
    FULL,
    decide,
    points,
    propose,
    standings_after,
    tally,
)
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.core.errors import NobodyLeft
from tests.consensus.spec.proposals import Proposed, proposed_rounds
from tests.consensus.spec.test_candidates import distance_to, towards

SEED = bytes(range(32))


def decided(round_: Proposed, kappa_ppm: int = 500_000) -> tuple[int, ...]:
    return decide(
        round_.proposals,
        round_.ballots,
        round_.standings,
        barred=round_.barred,
        kappa_ppm=kappa_ppm,
        size=round_.size,
        seed=SEED,
    ).chosen


def test_a_member_proposes_the_prefix_of_its_own_order_that_it_likes_best() -> None:
    # A quarter of the way: 3 → .75, 4 → 1, 40 → 10, −4 → −1. Alone, 4 is nearest to 2, then 3.
    candidates = Candidates(np.zeros(1, np.float32), towards(-4.0, 3.0, 40.0, 4.0))
    assert candidates.in_order(distance_to(2.0)) == [3, 1, 0, 2]
    assert propose(candidates, distance_to(3.5), half(4)) == {1, 3}
    assert propose(candidates, distance_to(1.0), half(4)) == {0, 1, 3}
    with pytest.raises(NobodyLeft):
        propose(candidates, distance_to(1.0), 5)


def test_the_last_place_is_worth_nothing_however_many_there_are() -> None:
    ballot = Ballot.from_values(1, {1: 9, 2: 5, 3: 5})
    assert points(ballot, {1, 2, 3, 4}, 5) == {1: 6, 2: 3, 3: 3, 4: 0}
    assert points(ballot, {1, 2, 3, 4}, 128) == {1: 6, 2: 3, 3: 3, 4: 0}


@given(proposed_rounds(of_oneself=False))
def test_a_total_is_the_sum_over_pairs_of_who_is_better(round_: Proposed) -> None:
    """Twice the ones that it beats, and one for each that it is equal to, weighted."""
    expected = dict.fromkeys(round_.proposals, 0)
    for author, ballot in round_.ballots.items():
        values = {rating.member: rating.value for rating in ballot.ratings}
        others = round_.proposals.keys() - {author}
        for j in others:
            mine = values.get(j, -1)
            against = [values.get(k, -1) for k in others - {j}]
            points = 2 * sum(v < mine for v in against) + sum(v == mine for v in against)
            expected[j] += round_.standings.get(author, FULL) * points
    found = tally(round_.ballots, round_.proposals.keys(), round_.standings, round_.size)
    assert found == expected
    assert all(total < 2**31 for total in found.values())


@given(proposed_rounds(of_oneself=False), st.integers(1, 999_999))
def test_the_best_that_most_have_seen_win(round_: Proposed, kappa_ppm: int) -> None:
    chosen = decided(round_, kappa_ppm)
    possible = eligible(round_.proposals, round_.barred)
    scores = tally(round_.ballots, round_.proposals.keys(), round_.standings, round_.size)
    seen = {
        j
        for j in possible
        if 2 * sum(b.rated >> j & 1 for b in round_.ballots.values())
        > len(round_.ballots.keys() - {j})
    }
    places = -(-kappa_ppm * len(possible) // 1_000_000)
    if len(possible) > 1:
        places = min(places, len(possible) - 1)
    assert len(chosen) == min(places, len(seen))
    assert set(chosen) <= seen
    assert chosen == tuple(sorted(chosen))
    lots = {j: hashlib.sha256(SEED + j.to_bytes(32, "big")).digest() for j in seen}
    for winner in chosen:
        for loser in seen - set(chosen):
            assert (-scores[winner], lots[winner]) < (-scores[loser], lots[loser])


def test_whoever_has_lost_standing_weighs_less() -> None:
    proposals = {0: 0b011, 1: 0b110, 2: 0b101}
    ballots = {
        0: Ballot.from_values(1, {1: 5, 2: 4}),
        1: Ballot.from_values(1, {0: 4, 2: 5}),
        2: Ballot.from_values(1, {0: 5, 1: 4}),
    }
    assert tally(ballots, {0, 1, 2}, {}, 3) == {0: 2 * FULL, 1: 2 * FULL, 2: 2 * FULL}
    weighed = Proposed(3, frozenset(range(3)), proposals, ballots, {1: 1}, 0)
    assert decided(weighed, 1) != (2,)
    assert tally(ballots, {0, 1, 2}, {1: 1}, 3)[2] == 2


@given(proposed_rounds(of_oneself=False))
def test_standing_goes_half_the_way_to_the_share_of_winners_that_hold_one(
    round_: Proposed,
) -> None:
    chosen = set(decided(round_))
    after = standings_after(round_.standings, round_.proposals, chosen, round_.committed)
    if not chosen:
        assert after == round_.standings
        return
    for member in range(128):
        before = round_.standings.get(member, FULL)
        if member not in round_.committed:
            assert after.get(member, FULL) == before
            continue
        share = Fraction(
            sum(member in members_in(round_.proposals[j]) for j in chosen), len(chosen)
        )
        exact = (before + share * FULL) / 2
        assert exact - 1 < after[member] <= exact
        assert 0 <= after[member] <= FULL


def test_always_in_all_winners_is_full_standing_for_ever() -> None:
    standings = {0: FULL}
    for _ in range(3):
        standings = standings_after(standings, {5: bits([0, 1])}, {5}, {0, 1, 2})
    assert standings == {0: FULL, 1: FULL, 2: FULL // 8}
