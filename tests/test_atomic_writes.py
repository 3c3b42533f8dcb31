"""A file replaced whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bcfl.consensus.task_folder import write_atomically


def test_a_write_makes_its_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        with pytest.raises(OSError, match="no space left"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_bytes_are_on_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (steps.append("fsync"), fsync(*a)))
    monkeypatch.setattr(os, "replace", lambda *a: (steps.append("replace"), replace(*a)))
    write_atomically(tmp_path / "file", b"new")
    assert steps[:2] == ["fsync", "replace"]


def test_a_kill_in_the_middle_of_writing_leaves_one_version_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    program = (
        "import sys; from pathlib import Path; from itertools import cycle\n"
        "from bcfl.consensus.task_folder import write_atomically\n"
        "for letter in cycle([b'a', b'b']):\n"
        "    write_atomically(Path(sys.argv[1]), letter * 300_000)\n"
        "    print('written', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert path.read_bytes() in (b"a" * 300_000, b"b" * 300_000)
