"""Nothing in a foreign folder is executed, waited for, or read beyond its bounds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bcfl.audit import audit_command
from bcfl.audit.plain_files import read_file, read_lines
from bcfl.core.errors import AuditError
from tests.audit.runs import play

FILES = (
    "task.json",
    "chain.jsonl",
    "journal.jsonl",
    "rounds.jsonl",
    "result.json",
    "config.yaml",
    "model.safetensors",
    "checkpoint",
)
HUGE = 2**36  # bytes; a file with nothing in it takes no room


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("finished") / "run", clients=2, rounds=1)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def make_a_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_elsewhere(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_text('{"secret": "of the reader"}\n')
    path.symlink_to(outside)


def link_in_a_circle(path: Path) -> None:
    path.symlink_to(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_it_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


def make_it_latin(path: Path) -> None:
    path.write_bytes('{"contract": "é", "strategy": "é"}\n'.encode("latin-1"))


SPOILT: tuple[Callable[[Path], None], ...] = (
    make_a_pipe,
    link_elsewhere,
    link_in_a_circle,
    link_to_a_device,
    make_it_huge,
    make_it_latin,
)


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_a_run_is_named(
    name: str, spoil: Callable[[Path], None], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(run.glob("checkpoint-*.model")) if name == "checkpoint" else run / name
    path.unlink()
    spoil(path)
    assert audit_command(run) == (2 if name == "task.json" else 1)
    said = capsys.readouterr()
    assert path.name in said.out + said.err
    assert "of the reader" not in said.out + said.err


def test_a_configuration_is_read_and_never_made(run: Path) -> None:
    path = run / "config.yaml"
    for target in ("_target_: os.system", "x: !!python/object/apply:os.system ['touch made']"):
        path.write_text(path.read_text() + f"  {target}\n")
    assert audit_command(run) == 0
    assert not Path("made").exists()


def test_a_name_that_moves_the_cursor_is_printed_escaped(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoint-\x1b[2J\udcff.model").write_bytes(b"")
    assert audit_command(run) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "checkpoint-\\x1b[2J\\udcff.model" in said
    json.loads((run / "audit.json").read_text())


def test_there_is_an_end_to_the_lines_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcfl.audit.plain_files._MOST_LINES", 3)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(3 * b"\n")
    assert len(read_lines(path)) == 3
    path.write_bytes(4 * b"\n")
    with pytest.raises(AuditError, match="expected at most 3 lines"):
        read_lines(path)


def test_a_journal_of_nonsense_is_not_told_line_by_line(run: Path) -> None:
    with (run / "journal.jsonl").open("ab") as file:
        file.write(10_000 * b"x\n")
    assert audit_command(run) == 1
    findings = json.loads((run / "audit.json").read_text())["findings"]
    assert len(findings) == 20


def test_a_file_may_be_as_large_as_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5))
    assert read_file(path, 5) == bytes(5)
    with pytest.raises(AuditError, match="expected at most 4 bytes"):
        read_file(path, 4)


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "other").symlink_to("one")
    assert read_file(tmp_path / "other") == b"1"
