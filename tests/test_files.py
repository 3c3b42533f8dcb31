"""A journal after a crash: what was promised is there, what was torn is gone, damage is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import AuditError
from bcfl.files import Journal, save_arrays, write_atomically

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
entries = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


@given(st.lists(entries, max_size=5))
def test_what_was_appended_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, some: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    for entry in some:
        journal.append(entry)
    assert list(journal) == some
    assert list(Journal(path)) == some


def test_a_line_is_a_line_whatever_the_text_in_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    text = "one\ntwo\r\nthree\u2028four\x85\x0b\x00 é 🌻"
    journal.append({"text": text})
    assert journal.path.read_bytes().count(b"\n") == 1
    assert list(journal) == [{"text": text}]


def test_nothing_is_made_before_the_first_append(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "down" / "journal.jsonl")
    assert list(journal) == []
    assert not (tmp_path / "deep").exists()
    journal.append({"a": 1})
    assert list(Journal(journal.path)) == [{"a": 1}]


@pytest.mark.parametrize("torn", range(1, len('{"number":2}') + 1))
def test_a_torn_last_line_is_cut_off_and_the_journal_goes_on(tmp_path: Path, torn: int) -> None:
    """Even a line that lacks its line feed alone: its append had not returned."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for number in range(2):
        journal.append({"number": number})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number":2}'[:torn])

    journal = Journal(path)

    assert path.read_bytes() == whole
    journal.append({"number": 3})
    assert [entry["number"] for entry in Journal(path)] == [0, 1, 3]


def test_a_journal_of_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"number"')
    assert list(Journal(path)) == []
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"number":', "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"\x00" * 12, "not JSON"),
        (b'{"number":1}{"number":2}', "not JSON"),
        (b"[1,2]", "expected an object"),
        (b"null", "expected an object"),
        (b"7", "expected an object"),
    ],
)
def test_damage_before_the_last_line_is_named_by_its_line(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"number":0}\n' + line + b'\n{"number":2}\n')
    journal = iter(Journal(path))
    assert next(journal) == {"number": 0}
    with pytest.raises(AuditError, match=f"journal.jsonl, line 2: {reason}"):
        next(journal)


def test_a_line_nested_too_deep_is_damage_like_any_other(tmp_path: Path) -> None:
    """With py-evm in the process, which lifts Python's own bound, the parser would crash it."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"[" * 200_000 + b"\n")
    program = (
        "import sys; from pathlib import Path\n"
        "from bcfl.files import Journal, save_arrays, write_atomically\n"
        "from bcfl.core.errors import AuditError\n"
        "sys.setrecursionlimit(100_000)\n"
        "try:\n"
        "    list(Journal(Path(sys.argv[1])))\n"
        "except AuditError as error:\n"
        "    print(error)\n"
    )
    reader = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert reader.returncode == 0
    assert reader.stdout.startswith("journal.jsonl, line 1: ")


def test_every_line_is_on_disk_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    flushed: list[bytes] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(journal.path.read_bytes())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    journal.append({"number": 0})
    journal.append({"number": 1})
    assert flushed == [b'{"number":0}\n', b'{"number":0}\n{"number":1}\n']


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    program = (
        "import sys; from pathlib import Path; from itertools import count\n"
        "from bcfl.files import Journal, save_arrays, write_atomically\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in count():\n"
        "    journal.append({'number': number, 'long': 'x' * 5000})\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)][-1]
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])

    numbers = [entry["number"] for entry in Journal(path)]

    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged


# --- files that are written whole -----------------------------------------------------------


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


SQUARE = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array",
    [SQUARE, np.asfortranarray(SQUARE), SQUARE.T, SQUARE[:, ::2], np.array(7), np.zeros((0, 3))],
    ids=["rows", "columns", "transposed", "every other", "no dimension", "nothing"],
)
def test_an_array_comes_back_as_it_was(tmp_path: Path, array: np.ndarray) -> None:
    save_arrays(tmp_path / "x.safetensors", {"b": array, "a": np.ones(2)})
    read = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert (read["b"].shape, read["b"].dtype) == (array.shape, array.dtype)
    assert np.array_equal(read["b"], array)


def test_the_order_of_the_names_is_kept(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.safetensors", {"b": np.ones(1), "a": np.ones(2)})
    with safetensors.safe_open(tmp_path / "x.safetensors", "np") as file:
        assert file.metadata() == {"order": '["b", "a"]'}
