"""What a round costs: compared to the last unit with what is under version control."""

from __future__ import annotations

import json
import os

import pytest

from bcfl.consensus.spec.domain import Ballot
from tests.contracts.peer_consensus_gas import SNAPSHOT, Figures, GasTask, measure, relayed

#: The best of the peers needs 6,620,000 for ten members; see PEERS.
LIMIT_OF_TEN = 440_000


@pytest.fixture(scope="module")
def measured() -> Figures:
    return measure(relayed_alone=() if os.environ.get("BCFL_FUZZ") else (100,))


def test_every_figure_is_the_one_in_the_snapshot(measured: Figures) -> None:
    written = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert written.keys() == measured.keys()
    found = {size: {call: written[size][call] for call in gas} for size, gas in measured.items()}
    assert measured == found, (
        "gas has changed; if that is meant: python -m tests.contracts.peer_consensus_gas"
    )


def test_a_round_of_ten_stays_within_its_limit(measured: Figures) -> None:
    assert measured["10"]["round"] <= LIMIT_OF_TEN


def test_a_hundred_members_cost_less_than_their_square(
    measured: Figures,
) -> None:
    ten, hundred = measured["10"]["round"], measured["100"]["round"]
    assert hundred < 15 * ten


def test_a_tie_at_every_place_costs_half_more_at_most() -> None:
    task = GasTask(10)
    task.open()
    relayed(task)
    without = relayed(task)["cast_ballots"]
    task.ballot = lambda member: Ballot.from_values(  # type: ignore[method-assign]
        task.round, {j: 2**31 + j // 2 for j in range(10) if j != member}
    )
    task.commit(range(10))
    assert task.vote(range(10)) < 1.5 * without
