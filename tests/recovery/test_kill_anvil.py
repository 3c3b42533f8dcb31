"""``kill -9`` of server, node or both on anvil, at random points, then resume: the same models."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from bcfl.audit.command import HOLDS, audit_command
from bcfl.chain.anvil import AnvilChain
from bcfl.chain.anvil_program import default_cache, find_anvil
from bcfl.core.errors import LedgerError
from tests.recovery.anvil_player import STOPPED, play_on_anvil
from tests.recovery.processes import in_a_process_of_its_own, outcome

POINTS = 50 if os.environ.get("BCFL_FUZZ") else 1
CHANCE = random.Random(8)
WHOM = ("both", "server", "node")


def played(folder: Path, whom: str = "", after_s: float | None = None) -> int:
    return in_a_process_of_its_own(play_on_anvil, folder, whom, after_s, wait_s=180)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    try:
        find_anvil(default_cache())
    except LedgerError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("undisturbed")
    assert played(folder) == 0
    return outcome(folder)


@pytest.mark.parametrize(
    ("whom", "share"), [(WHOM[i % 3], CHANCE.uniform(0.02, 0.85)) for i in range(POINTS)]
)
def test_a_run_on_anvil_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, undisturbed: dict[str, Any], whom: str, share: float
) -> None:
    ended = played(tmp_path, whom, share * undisturbed["seconds"])
    struck = ended != 0
    if struck and whom != "node":
        assert ended == -signal.SIGKILL
    for _ in range(2):
        if not (tmp_path / "outcome.json").exists():
            ended = played(tmp_path)
    told = [path.read_text() for path in tmp_path.glob("*.txt")]
    print(f"{share:.2f} {whom}: {'struck' if struck else 'too late'}, {told}")
    assert ended in (0, STOPPED), told
    assert outcome(tmp_path)["models"] == undisturbed["models"], told
    with AnvilChain(tmp_path / "anvil.json") as chain:
        assert audit_command(tmp_path, chain.url) == HOLDS
