"""The same runs on a GPU and on the CPU: for a machine that has one, ``make gpu``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from bcfl.cli.main import app
from bcfl.experiment.hydra_entry import run_with_hydra

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="PyTorch finds no GPU here, or it was not `make gpu`"
    ),
]
RUN = "clients=4 rounds=4 warmup_rounds=0"
ENGINES = ("in_process", "stacked", "ray engine.cpus=2")


def play(folder: Path, arguments: str) -> dict[str, Any]:
    asked = [*shlex.split(f"{RUN} {arguments}"), f"hydra.run.dir={folder}"]
    assert run_with_hydra(asked) == 0
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def expect_that_the_audit_holds(folder: Path) -> None:
    result = CliRunner().invoke(app, ["audit", str(folder)])
    assert result.exit_code == 0, result.output
    assert "HOLDS" in result.output


@pytest.fixture(scope="module")
def on_the_cpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return play(tmp_path_factory.mktemp("cpu") / "run", "engine=in_process engine.device=cpu")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_on_a_gpu_is_as_good_and_holds(
    engine: str, on_the_cpu: dict[str, Any], tmp_path: Path
) -> None:
    there = play(tmp_path / "run", f"engine={engine}")  # auto: a GPU, as there is one
    assert there["device"] == "cuda"
    for name, tolerance in (("accuracy", 1e-3), ("loss", 1e-5)):  # of the same model
        assert there["initial"][name] == pytest.approx(on_the_cpu["initial"][name], abs=tolerance)
    assert there["final"]["accuracy"] > 0.7
    assert there["final"]["accuracy"] == pytest.approx(on_the_cpu["final"]["accuracy"], abs=0.03)
    expect_that_the_audit_holds(tmp_path / "run")


def test_clients_without_a_share_train_on_the_cpu(
    on_the_cpu: dict[str, Any], tmp_path: Path
) -> None:
    there = play(tmp_path / "run", "engine=ray engine.cpus=2 engine.gpus=0")
    assert there["device"] == "cpu"
    models = [entry["model"] for entry in on_the_cpu["rounds"]]
    assert [entry["model"] for entry in there["rounds"]] == models


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_one_card_gives_the_same_bits_again(engine: str, tmp_path: Path) -> None:
    one, other = (play(tmp_path / name, f"engine={engine}") for name in ("one", "other"))
    assert [each["model"] for each in one["rounds"]] == [each["model"] for each in other["rounds"]]


def test_a_market_sells_what_a_gpu_trained_and_holds(tmp_path: Path) -> None:
    run = "strategy=model_fusion engine=in_process contributor.epochs=3 clients=6 rounds=2"
    there = play(tmp_path / "there", run)
    here = play(tmp_path / "here", f"{run} engine.device=cpu")
    assert (there["device"], here["device"]) == ("cuda", "cpu")
    assert there["final"]["accuracy"] == pytest.approx(here["final"]["accuracy"], abs=0.05)
    expect_that_the_audit_holds(tmp_path / "there")
