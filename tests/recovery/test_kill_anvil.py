"""``kill -9`` of server, node or both on anvil, at random points, then resume: the same models."""

from __future__ import annotations

import json
import multiprocessing
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

POINTS = 50 if os.environ.get("BCFL_FUZZ") else 1
CHANCE = random.Random(8)
WHOM = ("both", "server", "node")


def in_a_process_of_its_own(folder: Path, whom: str = "", after_s: float | None = None) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.recovery.anvil_player"])
    process = context.Process(target=play_on_anvil, args=(folder, whom, after_s))
    process.start()
    process.join(180)
    assert process.exitcode is not None, "the server hangs"
    return process.exitcode


def outcome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "outcome.json").read_text())
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    try:
        find_anvil(default_cache())
    except LedgerError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("undisturbed")
    assert in_a_process_of_its_own(folder) == 0
    return outcome(folder)


@pytest.mark.parametrize(
    ("whom", "share"), [(WHOM[i % 3], CHANCE.uniform(0.02, 0.85)) for i in range(POINTS)]
)
def test_a_run_on_anvil_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, undisturbed: dict[str, Any], whom: str, share: float
) -> None:
    ended = in_a_process_of_its_own(tmp_path, whom, share * undisturbed["seconds"])
    struck = ended != 0
    if struck and whom != "node":
        assert ended == -signal.SIGKILL
    for _ in range(2):
        if not (tmp_path / "outcome.json").exists():
            ended = in_a_process_of_its_own(tmp_path)
    told = [path.read_text() for path in tmp_path.glob("*.txt")]
    print(f"{share:.2f} {whom}: {'struck' if struck else 'too late'}, {told}")
    assert ended in (0, STOPPED), told
    assert outcome(tmp_path)["models"] == undisturbed["models"], told
    with AnvilChain(tmp_path / "anvil.json") as chain:
        assert audit_command(tmp_path, chain.url) == HOLDS
