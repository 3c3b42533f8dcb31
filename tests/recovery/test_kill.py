"""``kill -9`` of the server at random points, then resume: the same models, nothing twice."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import BallotCast, Committed, Equivocated
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.server.task import resume_task
from bcfl.consensus.task_folder import TaskFolder
from tests.recovery.player import MEMBERS, ROUNDS, play
from tests.recovery.processes import in_a_process_of_its_own, outcome

POINTS = 50 if os.environ.get("BCFL_FUZZ") else 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert in_a_process_of_its_own(play, folder, None, wait_s=120) == 0
    return outcome(folder)


@pytest.mark.parametrize("share", random.Random(0).sample(range(2, 96), POINTS))
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, undisturbed: dict[str, Any], share: int
) -> None:
    """``share``: after so many per cent of the undisturbed run's function calls."""
    kill_at = undisturbed["calls"] * share // 100
    assert in_a_process_of_its_own(play, tmp_path, kill_at, wait_s=120) == -signal.SIGKILL
    assert in_a_process_of_its_own(play, tmp_path, None, wait_s=120) == 0
    assert outcome(tmp_path)["models"] == undisturbed["models"]
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        task = resume_task(chain, Parcels(None), TaskFolder(tmp_path))
        assert task is not None
        events = task.ledger.events()
    for kind in (Committed, BallotCast):
        counts = Counter((e.round, e.member) for e in events if isinstance(e, kind))
        assert len(counts) == MEMBERS * ROUNDS
        assert set(counts.values()) == {1}
    assert not [event for event in events if isinstance(event, Equivocated)]
