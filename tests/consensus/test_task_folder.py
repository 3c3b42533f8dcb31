"""A task on disk: its description, the two newest models, damage named with its file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.task_folder import TaskDescription, TaskFolder
from bcfl.core.errors import AuditError
from bcfl.core.model import model_digest

TASK = TaskDescription(
    chain_id=31337,
    contract="0x5FbDB2315678afecb367f032d93F642f64180aa3",
    coordinator="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    genesis="ab" * 32,
    rules=Rules(gamma=0.25, metric="accuracy", ballots="sealed"),
    seed=7,
)


def model(number: float) -> dict[str, np.ndarray]:
    return {"w": np.full((2, 3), number, np.float32), "steps": np.array([3])}


@pytest.fixture
def folder(tmp_path: Path) -> TaskFolder:
    return TaskFolder(tmp_path / "task")


# --- task.json ---------------------------------------------------------------------------


def test_a_folder_without_a_task_has_no_description_and_is_not_made(folder: TaskFolder) -> None:
    assert folder.description() is None
    assert not folder.path.exists()


def test_a_description_is_read_back_as_it_was_written(folder: TaskFolder) -> None:
    folder.describe(TASK)
    again = TaskFolder(folder.path).description()
    assert again == TASK
    assert again is not None
    assert again.rules.digest() == TASK.rules.digest()


def damaged(change: dict[str, Any]) -> bytes:
    fields = TASK.to_json()
    for name, value in change.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        damaged({"contract": None}),
        damaged({"rules": None}),
        damaged({"owner": "x"}),
        damaged({"rules": 7}),
        damaged({"rules": {"gama": 0.1}}),
    ],
    ids=[
        "empty",
        "torn",
        "no text",
        "list",
        "number",
        "no fields",
        "missing",
        "no rules",
        "unknown",
        "rules a number",
        "unknown rule",
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_file(
    folder: TaskFolder, content: bytes
) -> None:
    folder.path.mkdir()
    (folder.path / "task.json").write_bytes(content)
    with pytest.raises(AuditError, match=r"task\.json: not a task description"):
        folder.description()


def test_a_rule_out_of_range_is_damage_like_any_other(folder: TaskFolder) -> None:
    folder.path.mkdir()
    (folder.path / "task.json").write_bytes(damaged({"rules": {"gamma": 2}}))
    with pytest.raises(AuditError) as raised:
        folder.description()
    assert "gamma: expected in (0, 1]; found 2" in str(raised.value)
    assert "task.json" in str(raised.value)


@pytest.mark.parametrize(
    "change", [{"chain_id": "1"}, {"contract": 5}, {"genesis": []}, {"seed": 0.5}]
)
def test_a_field_of_another_type_is_damage_like_any_other(
    folder: TaskFolder, change: dict[str, Any]
) -> None:
    folder.path.mkdir()
    (folder.path / "task.json").write_bytes(damaged(change))
    with pytest.raises(AuditError, match=r"task\.json"):
        folder.description()


# --- Checkpoints -------------------------------------------------------------------------


def checkpoints(folder: TaskFolder) -> set[str]:
    return {path.name for path in folder.path.glob("checkpoint-*")}


def name_of(number: float) -> str:
    return f"checkpoint-{model_digest(model(number)).hex()[:32]}.model"


def test_a_checkpoint_is_found_by_its_digest_bit_for_bit(folder: TaskFolder) -> None:
    folder.save_checkpoint(model(1))
    arrays = TaskFolder(folder.path).load_checkpoint(model_digest(model(1)))
    assert list(arrays) == ["w", "steps"]
    assert all(arrays[key].tobytes() == array.tobytes() for key, array in model(1).items())


def test_of_all_checkpoints_the_four_newest_are_kept(folder: TaskFolder) -> None:
    """A reorganisation may take back more than the last round."""
    for number in range(8):
        folder.save_checkpoint(model(number))
        aged(folder, name_of(number), number)
        assert checkpoints(folder) == {*map(name_of, range(max(0, number - 3), number + 1))}


def test_a_checkpoint_saved_again_is_the_newest_again(folder: TaskFolder) -> None:
    """Every model is saved twice: when it closes a round, and when it opens the next."""
    for age, number in enumerate([1, 2, 2, 3, 3, 4, 4, 5, 5, 2, 6, 6]):
        folder.save_checkpoint(model(number))
        aged(folder, name_of(number), age)
    assert checkpoints(folder) == {*map(name_of, (2, 4, 5, 6))}


def aged(folder: TaskFolder, name: str, age: int) -> None:
    """Set the file's time, so that the test does not hang on how finely the disk keeps it."""
    os.utime(folder.path / name, ns=(age * 10**9, age * 10**9))


def test_a_checkpoint_is_there_before_an_older_one_goes(
    folder: TaskFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save_checkpoint(model(1))
    folder.save_checkpoint(model(2))

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        folder.save_checkpoint(model(3))
    assert checkpoints(folder) == {name_of(1), name_of(2)}


def test_what_a_dead_process_left_half_written_is_no_checkpoint(folder: TaskFolder) -> None:
    folder.save_checkpoint(model(1))
    half = folder.path / f".{name_of(2)}.4711"
    half.write_bytes(b"\x01")
    folder.save_checkpoint(model(3))
    assert checkpoints(folder) == {name_of(1), name_of(3)}
    assert half.exists()


def test_a_checkpoint_that_is_not_there_is_named(folder: TaskFolder) -> None:
    with pytest.raises(AuditError, match=rf"expected the global model in .*{name_of(1)}; there is"):
        folder.load_checkpoint(model_digest(model(1)))


def test_a_checkpoint_of_another_model_is_named(folder: TaskFolder) -> None:
    folder.save_checkpoint(model(1))
    (folder.path / name_of(1)).rename(folder.path / name_of(2))
    with pytest.raises(AuditError, match=rf"{name_of(2)} holds model"):
        folder.load_checkpoint(model_digest(model(2)))


@pytest.mark.parametrize("damage", ["truncated", "padded", "emptied", "a bit"])
def test_a_damaged_checkpoint_is_a_named_error(folder: TaskFolder, damage: str) -> None:
    path = damage_checkpoint(folder, damage)
    with pytest.raises(AuditError):
        folder.load_checkpoint(model_digest(model(1)))
    assert path.exists()


def test_a_truncated_checkpoint_is_named(folder: TaskFolder) -> None:
    damage_checkpoint(folder, "truncated")
    with pytest.raises(AuditError, match=name_of(1)):
        folder.load_checkpoint(model_digest(model(1)))


def damage_checkpoint(folder: TaskFolder, damage: str) -> Path:
    folder.save_checkpoint(model(1))
    path = folder.path / name_of(1)
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:-1],
            "padded": content + b"\x00",
            "emptied": b"",
            "a bit": content[:-1] + bytes([content[-1] ^ 1]),
        }[damage]
    )
    return path


# --- Places ------------------------------------------------------------------------------


def test_everything_lies_in_the_folder(folder: TaskFolder) -> None:
    folder.journal.append({"kind": "commitment"})
    assert folder.blobs == folder.path / "blobs"
    assert folder.chain == folder.path / "chain.jsonl"
    assert folder.journal.path == folder.path / "journal.jsonl"
    assert list(TaskFolder(folder.path).journal) == [{"kind": "commitment"}]
