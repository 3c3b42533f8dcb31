"""A sweep's summary has a row for every job, whatever its folder's name, and if it failed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from bcfl.experiment import run as run_module
from bcfl.experiment.hydra_entry import _count, run_with_hydra

QUICK = ["strategy=centralised", "model=logistic", "rounds=1", "clients=2", "partition=iid"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def test_folders_may_be_named_as_hydra_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """hydra.cc's documentation, *Customizing working directory*; facebookresearch/hydra."""
    named = "hydra.sweep.subdir=${hydra.job.override_dirname}"
    words = ["-m", "seed=1,2", *QUICK, named, f"hydra.sweep.dir={tmp_path}"]
    assert run_with_hydra(words) == 0
    found = rows(tmp_path)
    assert [row["seed"] for row in found] == ["1", "2"]
    assert all(float(row["accuracy"]) > 0 and "seed=" in row["job"] for row in found)
    said = [line for line in capsys.readouterr().out.splitlines() if re.match(r"job \d", line)]
    assert [line.split(" strategy=")[0] for line in said] == [
        "job 1 of 2: seed=1",
        "job 2 of 2: seed=2",
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("-m seed=1,2 attack=none,sign_flip gamma=range(1,4)", 12),
        ("-m attack=choice(none,gaussian) +x=[1,2]", 2),
        ("-m gamma=interval(0,1) hydra/sweeper=optuna", 0),
        ("--cfg job gamma=0.1", 1),
    ],
)
def test_how_many_jobs_a_sweep_has(words: str, count: int) -> None:
    assert _count(words.split()) == count


def test_a_failed_job_is_a_row_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """hydra-ecosystem/hydra#2284: a multirun does not tell of its exceptions until its end."""
    real = run_module.run_experiment

    def failing(config, folder, choices):
        if config.seed == 3:
            raise RuntimeError("CUDA error: out of memory")
        return real(config, folder, choices)

    monkeypatch.setattr(run_module, "run_experiment", failing)
    words = ["-m", "seed=3,2", "gamma=0.1", *QUICK[:-1], f"hydra.sweep.dir={tmp_path}"]
    assert run_with_hydra([*words, "partition.validation_fraction=0.2"]) == 1
    assert "out of memory" in capsys.readouterr().err
    first, second = rows(tmp_path)
    assert (first["job"], first["seed"], first["accuracy"]) == ("0", "3", "")
    assert "out of memory" in first["error"]
    assert (second["seed"], second["error"]) == ("2", "")
    assert float(second["accuracy"]) > 0


def test_a_mistake_in_one_job_is_a_row(tmp_path: Path) -> None:
    words = ["-m", "clients=1,2", *QUICK[:3], f"hydra.sweep.dir={tmp_path}"]
    assert run_with_hydra(words) == 2
    first, second = rows(tmp_path)
    assert first["error"].startswith("ConfigurationError: clients")
    assert (first["clients"], second["clients"], second["error"]) == ("1", "2", "")
