"""The disk is full in the middle of a run: one line; once there is room, the run goes on."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bcfl.audit.command import HOLDS, audit_command
from bcfl.experiment import run as run_module
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.resume import resume_run

QUICK = ["engine=in_process", "model=logistic", "training.local_epochs=1", "clients=3"]


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """Every file ends at this size, as on a disk without room for more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_line_and_the_run_can_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with no_file_above(70_000):  # the chain's journal holds the contract's code, and grows
        status = run_with_hydra([*QUICK, "rounds=3", f"hydra.run.dir={folder}"])
    assert status == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("bcfl: ")
    assert "File too large" in error or "room" in error
    assert resume_run(folder) == 0
    assert audit_command(folder) == HOLDS


def test_clean_up_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What writes the result of a run that failed finds no room, either."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "rounds.jsonl"))

    monkeypatch.setattr(run_module, "_carry_out", lambda *a, **k: full())
    monkeypatch.setattr("bcfl.experiment.run_folder.RunFolder.write_result", full)
    status = run_with_hydra([*QUICK, "rounds=1", f"hydra.run.dir={tmp_path / 'run'}"])
    assert status == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "StorageFailed" in error
    assert "No space left on device" in error
    assert "rounds.jsonl" in error
    assert "bcfl resume" in error
