"""The sets of members that are rated: their steps, their order, their best prefix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.aggregation import aggregate
from bcfl.consensus.spec.candidates import Candidates, eligible, half, takes_part
from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import ModelError, NobodyLeft
from tests.consensus.spec.deltas import rounds


def towards(*values: float) -> dict[int, Delta]:
    """Deltas of one parameter: member i moves it by ``values[i]``."""
    return {i: Delta(1, np.array([0]), np.array([v], np.float32)) for i, v in enumerate(values)}


def distance_to(goal: float) -> Any:
    return lambda vectors: [abs(float(vector[0]) - goal) for vector in vectors]


@given(rounds(), st.floats(2**-4, 2**4), st.data())
def test_what_is_rated_is_the_model_that_would_be_made(
    deltas: dict[int, Delta], rate: float, data: st.DataObject
) -> None:
    members = data.draw(st.lists(st.sampled_from(sorted(deltas)), min_size=1, unique=True))
    base = np.zeros(next(iter(deltas.values())).n, np.float32)
    stepped = Candidates(base, deltas, rate).step(members)
    try:
        expected = aggregate(base, {j: deltas[j] for j in members}, "pair", rate)
    except ModelError:
        assert not np.isfinite(stepped).all()
    else:
        assert stepped.tobytes() == expected.tobytes()


def test_a_single_delta_is_looked_at_a_quarter_of_the_way() -> None:
    candidates = Candidates(np.array([1.0], np.float32), towards(8.0, -4.0), 3.0)
    assert [candidates.single(i).tolist() for i in (0, 1)] == [[3.0], [0.0]]


def test_the_order_is_by_loss_then_by_index_with_nan_at_the_end() -> None:
    candidates = Candidates(np.zeros(1, np.float32), towards(8.0, 4.0, 4.0, 0.0))

    def losses(vectors: Iterable[Any]) -> Sequence[float]:
        return [math.nan if v[0] == 0 else float(v[0]) for v in vectors]

    assert candidates.in_order(losses) == [1, 2, 0, 3]


def test_the_best_prefix_is_the_shortest_of_equal_ones_and_not_below_the_least() -> None:
    candidates = Candidates(np.zeros(1, np.float32), towards(2.0, 2.0, 2.0, 9.0))
    order = [0, 1, 2, 3]
    assert candidates.best_prefix(order, distance_to(2.0), 1) == {0, 1}
    assert candidates.best_prefix(order, distance_to(2.0), 3) == {0, 1, 2}
    with pytest.raises(NobodyLeft, match="at least 5 deltas to propose a set of; found 4"):
        candidates.best_prefix(order, distance_to(2.0), 5)


def test_of_nothing_nothing_can_be_proposed() -> None:
    with pytest.raises(NobodyLeft, match="at least one delta"):
        Candidates(np.zeros(1), {}).in_order(distance_to(0.0))


def test_losses_may_be_taken_one_at_a_time() -> None:
    alive: list[int] = []

    def losses(vectors: Iterable[Any]) -> Sequence[float]:
        found = []
        for count, vector in enumerate(vectors):
            alive.append(count)
            found.append(float(vector[0]))
        return found

    Candidates(np.zeros(1, np.float32), towards(1.0, 2.0)).in_order(losses)
    assert alive == [0, 1]


@pytest.mark.parametrize("none", [float("nan"), float("inf")])
def test_deltas_that_break_the_model_together_are_not_proposed_together(none: float) -> None:
    """A variance that falls below 0 once two accomplices lower it: alone they look like anybody."""

    def losses(vectors: Any) -> list[float]:
        return [none if vector[0] <= 0 else abs(vector[1] - 1) for vector in vectors]

    lowers = Delta(2, np.array([0, 1]), np.array([-1.2, 1], np.float32))
    honest = Delta(2, np.array([1]), np.array([1], np.float32))
    deltas = {0: lowers, 1: lowers, 2: honest, 3: honest, 4: honest}
    candidates = Candidates(np.array([1, 0], np.float32), deltas)
    order = candidates.in_order(losses)
    assert order == [0, 1, 2, 3, 4]
    assert candidates.best_prefix(order, losses, 3) == {0, 2, 3}
    assert candidates.best_prefix([0, 1, 2], losses, 3) == {0, 1, 2}, "else there would be too few"


def test_half_is_rounded_up() -> None:
    assert [half(c) for c in range(6)] == [0, 1, 1, 2, 2, 3]


def test_what_a_cheat_has_made_wins_nothing_and_what_holds_it_stands() -> None:
    assert eligible(range(4), 0b0000) == {0, 1, 2, 3}
    assert eligible(range(4), 0b0100) == {0, 1, 3}
    assert eligible((0, 2), 0b1111) == set()


def test_without_a_cheat_a_set_may_be_another_than_was_rated() -> None:
    """Why it is not struck out: members 0 and 1 poison, 2 and 3 undo it, and are then shown."""
    deltas = towards(1.0, 1.0, -0.75, -0.75)
    candidates = Candidates(np.zeros(1, np.float32), deltas)
    assert candidates.step(range(4))[0] == pytest.approx(0.125)  # what was rated
    assert candidates.step((0, 1))[0] == pytest.approx(1.0)  # what would be left


@pytest.mark.parametrize(
    ("counts", "enough"),
    [
        ((2, 6, 6, 10, 2), True),
        ((1, 6, 6, 10, 2), False),  # proposals that can win below the quorum
        ((6, 6, 5, 10, 2), False),  # ballots of half of the committed
        ((5, 5, 6, 10, 2), False),  # proposals of half of them
        ((3, 3, 2, 3, 3), False),  # ballots below the quorum
    ],
)
def test_a_round_counts_with_proposals_and_ballots_of_most(
    counts: tuple[int, int, int, int, int], enough: bool
) -> None:
    assert takes_part(*counts) is enough
