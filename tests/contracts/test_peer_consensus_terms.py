"""What a task is agreed on, and how its clock runs."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.batches import MAX_BYTES, MOST_BALLOTS
from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Phase
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from tests.contracts.peer_consensus_keys import account
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    GENESIS,
    RULES,
    WINDOW_S,
    Reverted,
    Task,
    words_of,
)


def test_a_new_task_says_what_it_was_given() -> None:
    task = Task(3, kappa_ppm=250_000, quorum=2, windows=(30, 40))
    assert task.call("coordinator").lower() == COORDINATOR.lower()
    assert task.call("rules") == RULES
    assert task.call("kappa_ppm") == 250_000
    assert task.call("quorum") == 2
    assert task.call("commit_window_s") == 30
    assert task.call("ballot_window_s") == 40
    assert task.call("sealed_ballots") is False
    assert task.call("stake") == 0
    assert (task.call("MAX_BATCH"), task.call("MOST_BALLOTS")) == (MAX_BYTES, MOST_BALLOTS)
    assert task.call("LEAST_WINDOW_S") == LEAST_WINDOW_S
    state = task.state
    assert (state.round, state.phase, state.model) == (0, Phase.IDLE, GENESIS)
    assert (state.opened_at, state.commit_deadline, state.ballot_deadline) == (0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kappa_ppm": 0}, "kappa_ppm not in 1..999999"),
        ({"kappa_ppm": 1_000_000}, "kappa_ppm not in 1..999999"),
        ({"quorum": 0}, "quorum not in 1..128"),
        ({"quorum": 129}, "quorum not in 1..128"),
        ({"windows": (29, 30)}, "commit_window_s below 30"),
        ({"windows": (30, 29)}, "ballot_window_s below 30"),
        ({"windows": (2**32 + 1, 30)}, "commit_window_s above 2**32"),
        ({"windows": (30, 2**32 + 1)}, "ballot_window_s above 2**32"),
        ({"members": 1}, "fewer than 2 members"),
        ({"members": 2, "stake": 1, "accounts": [account(0).address] * 2}, "members join by"),
        ({"accounts": [account(0).address] * 2}, "membership: a member already"),
        ({"accounts": [account(0).address, "0x" + "00" * 20]}, "membership: the zero address"),
    ],
)
def test_a_task_on_senseless_terms_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Reverted, match=reason.replace("*", r"\*")):
        Task(**{"members": 2, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits",
    [
        {"kappa_ppm": 1, "quorum": 1, "windows": (30, 30)},
        {"kappa_ppm": 999_999, "quorum": 128, "windows": (2**32, 2**32)},
    ],
)
def test_the_limits_themselves_are_terms(limits: dict[str, object]) -> None:
    assert Task(2, **limits).call("quorum") == limits["quorum"]  # type: ignore[arg-type]


def test_deadlines_end_the_phases_and_count_as_within() -> None:
    task = Task(4)
    task.open()
    task.travel(WINDOW_S)
    task.commit([0])
    task.travel(1)
    assert task.state.phase is Phase.BALLOT
    with pytest.raises(Reverted, match="not in this phase"):
        task.commit([1])
    task.travel(WINDOW_S - 1)
    assert task.state.phase is Phase.BALLOT
    task.vote({0: {}})
    assert task.state.voted == 0b0001

    task = Task(4)
    task.open()
    task.commit([0, 1])
    task.travel(2 * WINDOW_S + 1)
    assert task.state.phase is Phase.SELECT
    with pytest.raises(Reverted, match="not in this phase"):
        task.vote({0: {1: 1}})


@pytest.mark.parametrize("direct", [False, True])
def test_a_timestamp_lies_between_the_opening_and_now(direct: bool) -> None:
    task = Task(2)
    task.open()
    task.travel(10)

    early, late = task.state.opened_at - 1, task.now + 1
    if direct:
        for timestamp, words in (
            (early, words_of(Refusal.TOO_EARLY)),
            (late, words_of(Refusal.TOO_LATE)),
        ):
            with pytest.raises(Reverted, match=words):
                task.call("commit_direct", 1, bytes(32), timestamp, sender=task.keys[0])
        task.call("commit_direct", 1, bytes(32), task.now, sender=task.keys[0])
    else:
        batch = [task.commitment(0, timestamp=at) for at in (early, late, early + 1)]
        assert task.refused("commit", 1, batch) == [(0, Refusal.TOO_EARLY), (0, Refusal.TOO_LATE)]
    assert task.state.committed == 0b01


def test_the_phase_changes_by_the_clock_alone() -> None:
    task = Task(3)
    task.open()
    task.commit([0, 1])
    logs = len(task.logs)
    phases = []
    for _ in range(4):
        phases.append(task.state.phase)
        task.travel(WINDOW_S // 2 + 1)
    task.travel(WINDOW_S)
    phases.append(task.state.phase)
    assert phases == [Phase.COMMIT, Phase.COMMIT, Phase.BALLOT, Phase.BALLOT, Phase.SELECT]
    assert len(task.logs) == logs
