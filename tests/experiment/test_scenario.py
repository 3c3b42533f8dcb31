"""A strategy is added by a class and a YAML, and by a scenario if it needs more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.resume import resume_run
from tests.experiment.test_run import QUICK, digests, play, result_in

CODE = """
from bcfl.experiment import Scenario
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg

class Halfway(FedAvg):
    def __init__(self, *, part: float, classes: int = 0, **sampling):
        super().__init__(**sampling)
        if not 0 < part <= 1:
            raise ValueError(f"part: expected in (0, 1]; found {part}")
        self.part = part / 10 * (classes or 10)  # there are ten

    def configure_train(self, server_round, arrays, config, grid):
        self.before = arrays.to_torch_state_dict()
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        after = arrays.to_torch_state_dict()
        mixed = {key: old + self.part * (after[key] - old) for key, old in self.before.items()}
        return ArrayRecord(mixed), metrics

class TellsClasses(Scenario):
    def arguments(self, plan, material):
        return {"classes": material.images.classes}

    def rounds(self, plan):
        return 7
"""
YAML = """
_target_: halfway.Halfway
part: 0.5
fraction_evaluate: 0.0
min_available_nodes: ${clients}
"""
SCENARIO = "scenario:\n  _target_: halfway.TellsClasses\n"


@pytest.fixture
def own_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder outside the package, with a strategy in it; the argument that names it."""
    (tmp_path / "halfway.py").write_text(CODE)
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "halfway.yaml").write_text(YAML)
    (tmp_path / "strategy" / "told.yaml").write_text(YAML + SCENARIO)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield f"hydra.searchpath=[file://{tmp_path}]"
    sys.modules.pop("halfway", None)


def test_a_class_and_a_yaml_are_a_strategy(own_conf: str, tmp_path: Path) -> None:
    half = play(tmp_path / "half", f"{own_conf} strategy=halfway")
    assert half["strategy"] == "halfway"
    assert half["final"]["accuracy"] > half["initial"]["accuracy"]
    whole = play(tmp_path / "whole", f"{own_conf} strategy=halfway strategy.part=1")
    assert digests(whole) != digests(half)


def test_a_strategy_that_needs_more_is_given_it_by_its_scenario(
    own_conf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, told = (
        play(tmp_path / name, f"{own_conf} strategy={name}") for name in ("halfway", "told")
    )
    assert digests(told) == digests(plain)
    printed = capsys.readouterr().out
    assert "round 1/2" in printed, "as many as were asked for"
    assert "round 1/7" in printed, "as many as the scenario says"


def test_what_it_refuses_is_told_as_a_mistake(
    own_conf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"{QUICK} {own_conf} strategy=halfway strategy.part=2 hydra.run.dir={tmp_path / 'x'}"
    assert run_with_hydra(words.split()) == 2
    assert "ConfigurationError: strategy: part: expected in (0, 1]; found 2" in (
        capsys.readouterr().err
    )


def test_a_strategy_that_keeps_no_task_plays_again_unless_it_had_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(tmp_path, "strategy=fedavg rounds=1")
    before = result_in(tmp_path)
    assert resume_run(tmp_path) == 0
    assert "has finished: there is nothing to go on with" in capsys.readouterr().out
    assert result_in(tmp_path) == before
    (tmp_path / "result.json").unlink()
    assert resume_run(tmp_path) == 0
    assert "playing again from the first one" in capsys.readouterr().out
    assert digests(result_in(tmp_path)) == digests(before)
