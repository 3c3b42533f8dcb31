"""One command: a node, a SuperLink, four SuperNodes, three rounds, the audit; nothing left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import typer

from bcfl.chain.anvil_program import default_cache, find_anvil
from bcfl.cluster.__main__ import main
from bcfl.core.errors import LedgerError


def anvil_is_missing() -> str:
    """Why there is no anvil; empty where there is one, or npm to get it."""
    if shutil.which("npm") is not None:
        return ""
    try:
        find_anvil(default_cache())
    except LedgerError as error:
        return str(error)
    return ""


def processes_of(folder: Path) -> list[str]:
    """Whatever runs with this folder in its arguments or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(process.cmdline()))
    return found


@pytest.mark.skipif(bool(anvil_is_missing()), reason=anvil_is_missing() or "-")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="relayed"),
        pytest.param(
            ["--transactions", "direct", "--stake-wei", "1000000"],
            id="direct, at a stake",
            marks=pytest.mark.skipif(
                "BCFL_FUZZ" not in os.environ, reason="two minutes more: BCFL_FUZZ=1"
            ),
        ),
    ],
)
def test_the_cluster_runs_three_rounds_passes_its_audit_and_leaves_nothing(
    tmp_path: Path, options: list[str]
) -> None:
    folder = tmp_path / "cluster"
    done = subprocess.run(
        [sys.executable, "-m", "bcfl.cluster", str(folder), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HOLDS: 3 rounds" in done.stdout
    assert len(list((folder / "keys").glob("member-*.json"))) == 4
    journal = (folder / "run" / "journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["member"] for line in journal if "member" in line} == {0, 1, 2, 3}
    assert processes_of(tmp_path) == []


def test_a_folder_that_holds_a_cluster_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").mkdir()
    with pytest.raises(typer.Exit) as ended:
        main(tmp_path)
    assert ended.value.exit_code == 1
    assert "holds a cluster's files already" in capsys.readouterr().err
