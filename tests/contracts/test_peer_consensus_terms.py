"""What a task is agreed on, and how its clock runs."""

from __future__ import annotations

import pytest

from bcfl.consensus.spec.domain import Phase
from tests.contracts.peer_consensus_keys import account
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    GENESIS,
    RULES,
    WINDOW_S,
    Reverted,
    Task,
    digest_of,
)


def test_a_new_task_says_what_it_was_given() -> None:
    task = Task(3, kappa_ppm=250_000, quorum=2, windows=(10, 20))
    assert task.call("coordinator").lower() == COORDINATOR.lower()
    assert task.call("rules") == RULES
    assert task.call("kappa_ppm") == 250_000
    assert task.call("quorum") == 2
    assert task.call("commit_window_s") == 10
    assert task.call("ballot_window_s") == 20
    assert task.call("sealed_ballots") is False
    assert task.call("stake") == 0
    assert task.call("BALLOT_BATCH") == 32
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
        ({"windows": (0, 1)}, "commit_window_s below 1"),
        ({"windows": (1, 0)}, "ballot_window_s below 1"),
        ({"windows": (2**32 + 1, 1)}, "commit_window_s above 2**32"),
        ({"windows": (1, 2**32 + 1)}, "ballot_window_s above 2**32"),
        ({"members": 1}, "fewer than 2 members"),
        ({"members": 2, "stake": 1, "accounts": [account(0).address] * 2}, "members join by"),
        ({"accounts": [account(0).address] * 2}, "membership: a member already"),
        ({"accounts": [account(0).address, "0x" + "00" * 20]}, "membership: the zero address"),
    ],
)
def test_a_task_on_senseless_terms_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Reverted, match=reason.replace("*", r"\*")):
        Task(**{"members": 2, **changes})  # type: ignore[arg-type]


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
    task.vote({0: {}})
    assert task.state.phase.name == "SELECT"

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

    def commit(timestamp: int) -> None:
        if direct:
            task.call("commit_direct", 1, digest_of(0, 1), timestamp, sender=task.keys[0])
        else:
            task.call("commit", 1, [task.commitment(0, timestamp=timestamp)])

    with pytest.raises(Reverted, match="signed before the round"):
        commit(task.state.opened_at - 1)
    with pytest.raises(Reverted, match="signed in the future"):
        commit(task.now + 1)
    commit(task.state.opened_at)


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
