"""The audit of a run whose blobs are sealed to its members."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcfl.audit import audit_command
from bcfl.audit.audit import audit_run
from bcfl.audit.findings import STORE
from bcfl.core.errors import AuditError
from bcfl.keys.accounts import Account, derive_account
from bcfl.keys.sealing import seal_for
from bcfl.store.local import LocalStore
from bcfl.store.sealed import SEALED_INDEX
from tests.audit.runs import play
from tests.audit.tampering import Case, gathered

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("sealed") / "run", clients=3, rounds=1, encrypt=True)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def key_file(folder: Path, account: Account, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", PASSWORD)
    account.create_key_file(folder / "key.json", PASSWORD)
    return folder / "key.json"


def without_seed(run: Path) -> None:
    """As a run with real keys leaves it: nobody can derive the coordinator's key."""
    task = json.loads((run / "task.json").read_text())
    (run / "task.json").write_text(json.dumps({**task, "seed": 7}))


def sealed_path(run: Path, committed: int = 0) -> Path:
    """Where the index keeps the way to a delta."""
    digest = Case(run, lambda: gathered(run)).blob(committed).name
    return run / SEALED_INDEX / digest[:2] / digest


def test_a_simulated_run_is_audited_without_a_word(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_command(run) == 0
    assert "1 of 1 global models recomputed bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize("role", ["member", "coordinator"])
def test_with_a_readers_key_file_it_is_audited(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    without_seed(run)
    path = key_file(tmp_path, derive_account(0, role, 0), monkeypatch)
    assert audit_command(run, key_file=path) == 0


def test_without_a_key_it_says_which_flag_is_missing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_seed(run)
    assert audit_command(run) == 2
    assert "sealed to its members: give the key file" in (said := capsys.readouterr().err)
    assert "--key-file" in said
    with pytest.raises(AuditError, match="sealed to its members"):
        audit_run(run)


def test_with_a_strangers_key_it_accuses_nobody(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = key_file(tmp_path, derive_account(0, "member", 3), monkeypatch)
    assert audit_command(run, key_file=path) == 2
    assert "sealed to 4 readers, and this key is none of them" in capsys.readouterr().err


def test_a_key_file_that_is_none_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit_command(run, key_file=run / "nothing.json") == 2
    assert "nothing.json" in capsys.readouterr().err


def test_a_key_file_changes_nothing_for_a_run_that_is_not_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = play(tmp_path / "plain", clients=3, rounds=1)
    path = key_file(tmp_path, derive_account(0, "member", 0), monkeypatch)
    assert audit_command(plain, key_file=path) == 0


def swap(run: Path) -> None:
    sealed_path(run, 0).write_bytes(sealed_path(run, 1).read_bytes())


def lose(run: Path) -> None:
    sealed_path(run).unlink()


def damage(run: Path) -> None:
    name = sealed_path(run).read_text()
    (run / "blobs" / name[:2] / name).write_bytes(b"bcfs\x01 and nothing that was sealed")


def seal_another(run: Path) -> None:
    """A container in order, of other bytes, in the place of a delta."""
    key = derive_account(0, "coordinator", 0).public_key
    digest = LocalStore(run / "blobs").put(seal_for(b"another delta", [key]))
    sealed_path(run).write_text(digest.hex())


def garble(run: Path) -> None:
    """A container with the right name for its bytes, that no key opens."""
    key = derive_account(0, "coordinator", 0).public_key
    sealed = bytearray(seal_for(b"another delta", [key]))
    sealed[-1] ^= 1
    sealed_path(run).write_text(LocalStore(run / "blobs").put(bytes(sealed)).hex())


@pytest.mark.parametrize("spoil", [swap, lose, damage, seal_another, garble])
def test_whoever_spoils_the_sealed_blobs_is_found_out(
    run: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(run)
    audit = audit_run(run)
    assert not audit.holds
    assert {finding.culprit for finding in audit.findings} == {STORE}
