"""``kill -9`` of the server at random points, then resume: the same models, nothing twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import BallotCast, Committed, Equivocated
from bcfl.consensus.server.task import resume_task
from bcfl.consensus.task_folder import TaskFolder
from tests.recovery.player import MEMBERS, ROUNDS, play

POINTS = 50 if os.environ.get("BCFL_FUZZ") else 8


def in_a_process_of_its_own(folder: Path, kill_at: int | None) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.recovery.player"])
    process = context.Process(target=play, args=(folder, kill_at))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the server hangs"
    return process.exitcode


def outcome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "outcome.json").read_text())
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert in_a_process_of_its_own(folder, None) == 0
    return outcome(folder)


@pytest.mark.parametrize("share", random.Random(0).sample(range(2, 96), POINTS))
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, undisturbed: dict[str, Any], share: int
) -> None:
    """``share``: after so many per cent of the undisturbed run's function calls."""
    kill_at = undisturbed["calls"] * share // 100
    assert in_a_process_of_its_own(tmp_path, kill_at) == -signal.SIGKILL
    assert in_a_process_of_its_own(tmp_path, None) == 0
    assert outcome(tmp_path)["models"] == undisturbed["models"]
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        task = resume_task(chain, TaskFolder(tmp_path))
        assert task is not None
        events = task.ledger.events()
    for kind in (Committed, BallotCast):
        counts = Counter((e.round, e.member) for e in events if isinstance(e, kind))
        assert len(counts) == MEMBERS * ROUNDS
        assert set(counts.values()) == {1}
    assert not [event for event in events if isinstance(event, Equivocated)]
