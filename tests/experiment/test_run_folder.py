"""The run folder: valid JSON, no secrets, a place that may change, runs put together again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.recorder import make_result, merge_rounds
from bcfl.experiment.redaction import without_secrets
from bcfl.experiment.run_folder import RunFolder

NAN = float("nan")


def test_numbers_that_are_none_become_null(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_result({"a": NAN, "b": [1.5, float("inf")], "c": {1: (True, "x")}})
    text = (tmp_path / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": {"1": [True, "x"]},
    }
    folder.append({"loss": NAN})
    assert (tmp_path / "rounds.jsonl").read_text() == '{"loss":null}\n'


def test_a_configuration_moves_with_its_folder(tmp_path: Path) -> None:
    config = OmegaConf.create(
        {"run_dir": str(tmp_path / "here"), "a": ["${run_dir}/b"], "seed": 3, "n": "${seed}"}
    )
    RunFolder(tmp_path / "here").write_config(config, {"strategy": "fedavg", "dataset": "digits"})
    (tmp_path / "here").rename(tmp_path / "there")
    read, choices = RunFolder(tmp_path / "there").read_config()
    assert choices == {"strategy": "fedavg", "dataset": "digits"}
    assert "choices" not in read
    assert read.a == [str(tmp_path / "there" / "b")]
    assert read.n == 3
    assert config.run_dir == str(tmp_path / "here")


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.yaml is missing"):
        RunFolder(tmp_path).read_config()
    assert RunFolder(tmp_path).read_result() is None


@pytest.mark.parametrize("name", ["config.yaml", "task.json"])
def test_a_folder_with_a_run_is_refused(tmp_path: Path, name: str) -> None:
    RunFolder(tmp_path).claim()
    (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match=r"holds a run already.*bcfl resume"):
        RunFolder(tmp_path).claim()


def test_the_model_keeps_the_order_of_its_arrays(tmp_path: Path) -> None:
    import safetensors

    RunFolder(tmp_path).write_model({"b": np.ones(2, np.float32), "a": np.zeros((1, 2))})
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["order"]) == ["b", "a"]
        assert file.get_tensor("b").tolist() == [1, 1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "hunter2"}, {"password": "***"}),
        ({"chain": {"private_key": "0xabc"}}, {"chain": {"private_key": "***"}}),
        ("chain.password=hunter2", "chain.password=***"),
        ("https://me:hunter2@node.example/x", "https://***@node.example/x"),
        (
            "chain.url=https://node.example/v3/0123456789abcdef0123456789abcdef",
            "chain.url=https://node.example/v3/***",
        ),
        ("https://node.example/?key=hunter2", "https://node.example/?***"),
        ({"key_file": "keys/me.json"}, {"key_file": "keys/me.json"}),
        ({"password_file": "pw.txt"}, {"password_file": "pw.txt"}),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("/a/folder/with_a_rather_long_name_in_it", "/a/folder/with_a_rather_long_name_in_it"),
        ({"password": None, "n": 3}, {"password": None, "n": 3}),
        (["gamma=0.1", ("a", 2.5)], ["gamma=0.1", ["a", 2.5]]),
    ],
)
def test_secrets_are_hidden_and_nothing_else(value: object, shown: object) -> None:
    assert without_secrets(value) == shown


def test_nothing_secret_is_written(tmp_path: Path) -> None:
    secret = "hunter2hunter2hunter2"
    config = {"run_dir": "x", "chain": {"url": f"https://u:{secret}@n/{secret}", "token": secret}}
    folder = RunFolder(tmp_path)
    choices = {"overrides": [f"chain.url=https://u:{secret}@n", f"a.token={secret}"]}
    folder.write_config(OmegaConf.create(config), choices)
    folder.write_result(choices)
    for path in tmp_path.iterdir():
        assert secret not in path.read_text(), path


def evaluation(round_: int, accuracy: float) -> dict[str, object]:
    return {"kind": "evaluation", "round": round_, "accuracy": accuracy, "loss": 1.0, "model": "m"}


def played(round_: int, *, void: bool = False) -> dict[str, object]:
    return {
        "kind": "round", "round": round_, "void": void, "gas": {"open": 10}, "bytes_up": 1,
        "bytes_up_dense": 4, "bytes_down": 2, "bytes_down_dense": 2,
    }  # fmt: skip


def test_a_measurement_belongs_to_the_last_try_of_its_round() -> None:
    lines = [evaluation(0, 0.1), played(1, void=True), played(1), evaluation(1, 0.5)]
    merged = merge_rounds(lines)
    assert [(e["round"], e.get("void"), e.get("accuracy")) for e in merged] == [
        (0, None, 0.1),
        (1, True, None),
        (1, False, 0.5),
    ]


def test_a_round_measured_again_after_a_crash_counts_once() -> None:
    lines = [evaluation(0, 0.1), played(1), evaluation(1, 0.5), evaluation(1, 0.5), played(2)]
    assert [entry["round"] for entry in merge_rounds(lines)] == [0, 1, 2]


def test_a_result_adds_up_what_was_played() -> None:
    lines = [evaluation(0, 0.1), played(1, void=True), played(1), evaluation(1, 0.5), played(2)]
    result = make_result(merge_rounds(lines), [3, 1], 2.5, "stopped")
    assert result["initial"]["accuracy"] == 0.1
    assert (result["final"]["round"], result["final"]["accuracy"]) == (1, 0.5)
    assert result["totals"]["gas"] == 30
    assert result["totals"]["gas_per_round"] == 15
    assert result["totals"]["bytes_up"] == 3
    assert (result["malicious"], result["error"]) == ([1, 3], "stopped")
    assert len(result["rounds"]) == 3


def test_a_run_that_never_began_has_a_result() -> None:
    result = make_result([], [], 0.1, "no chain")
    assert result["final"] == result["initial"] == {}
    assert result["totals"]["gas_per_round"] == 0
