"""``rule=referee``: how a set grows on the reference set, and which median wins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bcfl.consensus.spec.candidates import Candidates, Losses, eligible
from bcfl.consensus.spec.domain import Ballot
from bcfl.consensus.spec.referee import MOST_GROWN, decide, draw, medians, propose
from bcfl.core.errors import NobodyLeft
from tests.consensus.spec.proposals import Proposed, proposed_rounds
from tests.consensus.spec.test_candidates import distance_to, towards


def test_a_draw_is_of_all_digests_in_the_order_of_their_members() -> None:
    one, other = bytes(32), bytes([1] * 32)
    assert draw({1: other, 0: one}) == draw({0: one, 1: other}) != draw({0: other, 1: one})
    assert draw({0: one}) == 0x66687AADF862BD77


def test_a_set_grows_by_whoever_helps_the_whole_most() -> None:
    candidates = Candidates(np.zeros(1, np.float32), towards(10.0, -2.0, 4.0, 100.0))
    # pair: {0} → 5, {0,1} → 4, {0,2} → 7; {0,1,2} → 4; all → 28.
    assert propose(candidates, distance_to(4.0), 1) == {0, 1}
    assert propose(candidates, distance_to(5.0), 1) == {0}
    assert propose(candidates, distance_to(5.0), 2) == {0, 1}
    assert propose(candidates, distance_to(5.0), 4) == {0, 1, 2, 3}
    with pytest.raises(NobodyLeft, match="at least 5 deltas"):
        propose(candidates, distance_to(5.0), 5)


def counted(goal: float, asked: list[int]) -> Losses:
    def losses(vectors: Iterable[NDArray[Any]]) -> list[float]:
        found = list(distance_to(goal)(vectors))
        asked.append(len(found))
        return found

    return losses


def test_of_many_those_whom_all_the_others_miss_most_come_first() -> None:
    values = [float(i) for i in range(MOST_GROWN + 1)]
    candidates = Candidates(np.zeros(1, np.float32), towards(*values))
    asked: list[int] = []
    # The mean of all is 8; without a small one it is further from 2. Best is 0, 1, 2, 3, 4.
    assert propose(candidates, counted(2.0, asked), 1) == {0, 1, 2, 3, 4}
    assert asked == [len(values), len(values)]


def test_of_many_that_break_the_model_in_every_company_single_losses_decide() -> None:
    values = [*map(float, range(MOST_GROWN)), 1e30, 1e30]
    candidates = Candidates(np.zeros(1, np.float32), towards(*values))

    def losses(vectors: Iterable[NDArray[Any]]) -> list[float]:
        rows = list(vectors)
        found = distance_to(2.0)(rows)
        return [math.nan if abs(row[0]) > 1e6 else x for row, x in zip(rows, found, strict=True)]

    assert propose(candidates, losses, 1) == {8}


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8), st.integers(-9, 9), st.data())
def test_what_is_proposed_is_the_best_on_a_path_that_helps_most_at_every_step(
    values: list[int], goal: int, data: st.DataObject
) -> None:
    candidates = Candidates(np.zeros(1, np.float32), towards(*map(float, values)))
    least = data.draw(st.integers(1, len(values)))
    loss = distance_to(float(goal))
    chosen = propose(candidates, loss, least)
    assert len(chosen) >= least
    path: list[int] = []
    steps = []
    while len(path) < len(values):
        rest = [j for j in range(len(values)) if j not in path]
        found = {j: loss([candidates.step([*path, j])])[0] for j in rest}
        path.append(min(rest, key=lambda j: (found[j], j)))
        steps.append(found[path[-1]])
    reached = loss([candidates.step(chosen)])[0]
    assert reached == min(steps[least - 1 :])
    assert chosen == set(path[: len(chosen)])


@given(proposed_rounds(of_oneself=True))
def test_a_median_is_the_largest_value_that_most_ballots_reach(round_: Proposed) -> None:
    count = len(round_.ballots)
    for member, median in medians(round_.ballots, round_.proposals.keys()).items():
        values = [
            next((r.value for r in ballot.ratings if r.member == member), 0)
            for ballot in round_.ballots.values()
        ]
        if count:
            assert 2 * sum(value >= median for value in values) > count
        assert 2 * sum(value > median for value in values) <= count


@given(proposed_rounds(of_oneself=True))
def test_the_highest_median_wins_of_what_no_cheat_is_in(round_: Proposed) -> None:
    found = decide(round_.proposals, round_.ballots, barred=round_.barred)
    possible = eligible(round_.proposals, round_.barred)
    best = max((found.scores[j] for j in possible), default=0)
    if not best:
        assert found.chosen == ()
    else:
        assert found.chosen == (min(j for j in possible if found.scores[j] == best),)


@given(st.integers(1, 128), st.randoms(use_true_random=False))
def test_no_liars_short_of_half_move_what_the_honest_agree_on(size: int, random: object) -> None:
    assert hasattr(random, "sample")
    liars = set(random.sample(range(size), (size - 1) // 2))
    truth = {j: random.randrange(1, 2**32) for j in range(size)}
    ballots = {}
    for i in range(size):
        said = {j: random.randrange(2**32) for j in truth} if i in liars else truth
        ballots[i] = Ballot.from_values(1, said)
    assert medians(ballots, truth.keys()) == truth
