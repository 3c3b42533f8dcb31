"""``bcfl audit`` as its user meets it: what it prints, writes and returns, whatever it is given."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bcfl.audit import audit_command
from bcfl.audit.audit import audit_evidence
from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import KEEPER, STORE, Culprit, Finding, author, reviewer
from bcfl.chain.anvil import AnvilChain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.domain import TypedDataDomain
from bcfl.consensus.spec.messages import receipt_message
from bcfl.store.local import LocalStore
from tests.audit.runs import play
from tests.audit.tampering import gathered, member_key
from tests.cluster.test_cluster import anvil_is_missing


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("finished") / "run", clients=3, rounds=1)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_run_that_holds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run)
    assert audit_command(run) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("round 1 (chain round 1): 3 committed, 3 voted, winners ")
    assert printed[1].endswith(": holds")
    assert "HOLDS: 1 round, 1 of 1 global models recomputed bit for bit" in printed
    assert "  not checked: the losses and accuracies in result.json: they are the" in printed[2]
    report = json.loads((run / "audit.json").read_text())
    assert report["holds"]
    assert report["rounds"][0]["recomputed"]
    assert {path: digest for path, digest in contents(run).items() if path in before} == before


def test_a_run_that_does_not_hold(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next((run / "blobs").glob("??/*")).unlink()
    assert audit_command(str(run), report=run / "elsewhere.json") == 1
    printed = capsys.readouterr().out
    assert "DOES NOT HOLD: 1 finding in 1 round, by: whoever keeps the blobs" in printed
    (finding,) = json.loads((run / "elsewhere.json").read_text())["findings"]
    assert finding["culprit"] == "store"
    assert finding["kind"] == "blob"


def test_a_live_chain_and_the_blobs_are_enough(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedChain.replay(run / "chain.jsonl") as chain:
        for path in run.iterdir():
            if path.name not in ("task.json", "blobs"):
                path.unlink()
        assert audit_command(run, rpc_url=chain.url) == 0
    printed = capsys.readouterr().out
    assert "1 of 1 global models recomputed" in printed
    assert "note: there is no journal.jsonl" in printed


def test_the_wrong_node_is_no_evidence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedChain() as other:
        assert audit_command(run, rpc_url=other.url) == 2
    assert "expected PeerConsensus or" in capsys.readouterr().err


def test_a_chain_without_any_such_contract_is_no_evidence(run: Path) -> None:
    (run / "chain.jsonl").unlink()
    with EmbeddedChain(run / "chain.jsonl"):
        pass
    assert audit_command(run) == 2


def test_torn_last_lines_were_promised_to_nobody(run: Path) -> None:
    for name in ("journal.jsonl", "rounds.jsonl", "chain.jsonl"):
        with (run / name).open("ab") as file:
            file.write(b'{"torn":')
    assert audit_command(run) == 0


def test_a_run_by_the_strategy_alone_leaves_less_and_holds(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.yaml", "rounds.jsonl", "result.json", "model.safetensors"):
        (run / name).unlink()
    assert audit_command(run) == 0
    assert "note: there is no result.json and no model.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["task.json", "chain.jsonl"])
def test_without_these_there_is_nothing_to_audit(
    missing: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / missing).unlink()
    assert audit_command(run) == 2
    assert missing in capsys.readouterr().err


def test_an_audit_needs_neither_torch_nor_flower() -> None:
    heavy = "{'torch', 'flwr', 'ray', 'sklearn', 'matplotlib'} & set(sys.modules)"
    code = f"import sys, bcfl.audit; sys.exit(len({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command(tmp_path / "nowhere") == 2
    assert "expected a run's folder" in capsys.readouterr().err


def test_blobs_on_ipfs_need_a_node(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "blobs")
    (run / "ipfs-index.jsonl").mkdir()
    assert audit_command(run) == 2
    assert "--ipfs" in capsys.readouterr().err


def test_a_report_that_cannot_be_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command(run, report=run / "task.json" / "report.json") == 2
    assert "name another file with --report" in capsys.readouterr().err


def show(run: Path, digest: str, signer: int | None) -> Path:
    """A receipt for member 0 and round 1, signed by the coordinator, or by a member."""
    task = json.loads((run / "task.json").read_text())
    domain = TypedDataDomain(task["chain_id"], task["contract"])
    key = EmbeddedChain(seed=0).coordinator if signer is None else member_key(signer)
    signature = key.sign(receipt_message(domain, 1, 0, bytes.fromhex(digest)))
    path = run / "receipt.json"
    receipt = {"round": 1, "member": 0, "digest": digest, "signature": "0x" + signature.hex()}
    path.write_text(json.dumps([receipt]))
    return path


def test_a_receipt_for_what_is_on_chain_accuses_nobody(run: Path) -> None:
    first = json.loads((run / "journal.jsonl").read_text().splitlines()[0])
    assert first["member"] == 0
    assert audit_command(run, receipts=[show(run, first["digest"], None)]) == 0


def test_a_receipt_beside_another_commitment_of_the_member_proves_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_command(run, receipts=[show(run, 64 * "7", None)]) == 0
    assert "note: receipt.json: not member 0's commitment 7777" in capsys.readouterr().out


def test_a_forged_receipt_accuses_nobody(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command(run, receipts=[show(run, 64 * "7", 0)]) == 0
    assert "not signed by the coordinator" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"round":1,"member":0,"digest":"x"}'])
def test_what_is_shown_and_is_no_evidence_is_refused(text: str, run: Path) -> None:
    path = run / "shown.json"
    path.write_text(text)
    assert audit_command(run, receipts=[path]) == 2


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


GARBAGE: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(bytes(range(256)) + b"\n"),
    "nested": lambda path: path.write_bytes(100_000 * b"[" + b"\n"),
    "objects": lambda path: path.write_bytes(b'{"kind":"round","round":{},"rounds":[{}]}\n[{}]\n'),
    "folder": make_a_folder,
}


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", ["task.json", "chain.jsonl", "journal.jsonl"])
def test_garbage_is_found_or_refused_by_name(name: str, kind: str, run: Path) -> None:
    GARBAGE[kind](run / name)
    assert audit_command(run) in (1, 2)


@pytest.fixture(scope="module")
def evidence(finished: Path) -> Evidence:
    return gathered(finished)


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize(
    ("pattern", "culprit"),
    [
        ("rounds.jsonl", KEEPER),
        ("result.json", KEEPER),
        ("config.yaml", KEEPER),
        ("model.safetensors", KEEPER),
        ("checkpoint-*.model", KEEPER),
        ("blobs/??/*", STORE),
    ],
)
def test_garbage_is_found(
    pattern: str, culprit: Culprit, kind: str, run: Path, evidence: Evidence
) -> None:
    GARBAGE[kind](next(run.glob(pattern)))
    spoilt = replace(evidence, folder=run, blobs=LocalStore(run / "blobs"))
    assert {finding.culprit for finding in audit_evidence(spoilt).findings} == {culprit}


def test_who_is_to_blame_is_said_in_plain_words() -> None:
    addresses = ("0xaa", "0xbb")
    assert author(1).words(addresses) == reviewer(1).words(addresses) == "member 1 (0xbb)"
    assert author(2).words(addresses) == "member 2", "whom the contract does not know"
    finding = Finding("journal", KEEPER, None, "a journal", "none")
    assert (
        finding.words() == "run, journal: whoever kept the folder: expected a journal; found none"
    )


@pytest.mark.skipif(bool(anvil_is_missing()), reason=anvil_is_missing() or "-")
def test_what_anvil_left_in_the_folder_is_audited_without_its_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    play(folder, clients=2, rounds=1, chain=AnvilChain(folder / "anvil.json"))
    before = contents(folder)
    assert audit_command(folder) == 0
    assert "  not checked: the chain itself" in capsys.readouterr().out
    assert {p: digest for p, digest in contents(folder).items() if p in before} == before
