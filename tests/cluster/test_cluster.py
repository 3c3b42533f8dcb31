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
from bcfl.cluster.cluster import OWN_APP
from bcfl.core.errors import LedgerError
from bcfl.keys.accounts import PASSWORD_VARIABLE


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


def hostile_app(folder: Path) -> Path:
    """The cluster's app, but that its client is a thief's."""
    app = folder / "app"
    shutil.copytree(OWN_APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("hostile_client_app.py"), app)
    words = (app / "pyproject.toml").read_text()
    assert '"client_app:app"' in words
    (app / "pyproject.toml").write_text(words.replace('"client_app:', '"hostile_client_app:'))
    # the round in which a member says nothing is waited for until its window ends
    server = (app / "server_app.py").read_text()
    assert "commit_window_s=300" in server
    (app / "server_app.py").write_text(server.replace("commit_window_s=300", "commit_window_s=60"))
    return app


def expect_nothing_stolen(folder: Path) -> None:
    """The first member's signer gave the thief one commitment of round 2, and nothing else."""
    loot = json.loads((folder / "loot.json").read_text())
    assert len(bytes.fromhex(loot["first"])) == 65
    assert loot["second"] == "SignedAlready"
    assert set(loot["refused"].values()) <= {"SignerRefused", "RoundNotOpen", "BeyondAllowance"}
    assert (loot["words"], loot["keys"]) == ([], [])
    address = json.loads((folder / "keys" / "member-0.json").read_text())["address"]
    assert loot["address"].lower().removeprefix("0x") == address.lower().removeprefix("0x")
    record = (folder / "keys" / "member-0.json.signed.jsonl").read_text().splitlines()
    signed = [entry for entry in map(json.loads, record) if entry.get("round") == 2]
    assert [(e["kind"], e["values"]["digest"]) for e in signed] == [
        ("Commitment", "0x" + "01" * 32)
    ]
    assert not any("payment" in json.loads(line).get("kind", "") for line in record)


def supernodes_of(folder: Path) -> dict[int, tuple[list[str], dict[str, str]]]:
    """By process: what each SuperNode, and app below it, was started with."""
    found = {}
    for process in psutil.process_iter():
        try:
            words, environment = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        ours = environment.get("FLWR_HOME") == str(folder / "flwr")
        if ours and any(word.endswith(("supernode", "clientapp")) for word in words[:2]):
            found[process.pid] = words, environment
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
    nodes: dict[int, tuple[list[str], dict[str, str]]] = {}
    signers = "--stake-wei" not in options  # which has each key out of the apps' reach
    if signers:
        options = ["--app", str(hostile_app(tmp_path))]
    command = [sys.executable, "-m", "bcfl.cluster", str(folder), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as cluster:
        assert cluster.stdout is not None
        printed = ""
        for line in cluster.stdout:  # while it runs: who is there as it says so
            printed += line
            nodes |= supernodes_of(folder)
    assert cluster.returncode == 0, printed
    assert "HOLDS: 3 rounds" in printed
    assert len(nodes) >= 4
    journal = [json.loads(x) for x in (folder / "run" / "journal.jsonl").read_text().splitlines()]
    told = {(entry["round"], entry["member"]) for entry in journal if "member" in entry}
    everybody = {(round_, member) for round_ in (1, 2, 3) for member in range(4)}
    if signers:
        expect_nothing_stolen(folder)
        everybody -= {(2, 0)}  # its one word for that round is the thief's
        for words, environment in nodes.values():
            assert "bcfl-key-file" not in " ".join(words)
            assert PASSWORD_VARIABLE not in environment
        assert len(list((folder / "keys").glob("member-*.signed.jsonl"))) == 4
    assert len(list((folder / "keys").glob("member-*.json"))) == 4
    assert told == everybody
    assert {"result.json", "model.safetensors"} <= {
        path.name for path in (folder / "run").iterdir()
    }
    assert processes_of(tmp_path) == []


def test_without_a_name_the_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed of it has to be there afterwards."""
    monkeypatch.chdir(tmp_path)
    named: list[Path] = []
    monkeypatch.setattr("bcfl.cluster.__main__.run_cluster", lambda folder, _: named.append(folder))
    with pytest.raises(typer.Exit):
        main()
    assert named[0].parent == Path("outputs", "cluster")


def test_a_folder_that_holds_a_cluster_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").mkdir()
    with pytest.raises(typer.Exit) as ended:
        main(tmp_path)
    assert ended.value.exit_code == 1
    assert "holds a cluster's files already" in capsys.readouterr().err
