"""A sweep's summary has a row for every job, whatever its folder's name, and if it failed."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

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


def test_a_job_may_be_played_where_hydra_is_not(tmp_path: Path) -> None:
    told = []

    def play(config: DictConfig, folder: Path, choices: dict[str, Any]) -> None:
        told.append((OmegaConf.to_container(config)["run_dir"], str(folder)))

    assert run_with_hydra(["-m", "seed=1,2", f"hydra.sweep.dir={tmp_path}"], play) == 0
    assert told == [(str(tmp_path / job), str(tmp_path / job)) for job in "01"]


@pytest.mark.parametrize(
    "clients",
    [
        "0,1",
        pytest.param(
            "1,2",
            marks=pytest.mark.skipif(
                not os.environ.get("BCFL_FUZZ"), reason="8 s in a process of its own: BCFL_FUZZ=1"
            ),
        ),
    ],
)
def test_jobs_run_at_once_and_a_mistake_in_one_is_a_row(
    clients: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", f"clients={clients}", *QUICK[:3], f"hydra.sweep.dir={tmp_path}"]
    assert run_with_hydra(words, at_once=2) == 2
    for row in rows(tmp_path):
        wrong = row["error"].startswith("ConfigurationError: clients: expected greater than")
        assert wrong == (row["clients"] in "01") != bool(row["accuracy"])
    said = capsys.readouterr()
    assert said.err.count("bcfl: ConfigurationError: clients") == len(set(clients) & set("01"))
    titles = sorted(line for line in said.out.splitlines() if line.startswith("ended: job"))
    assert [title.split(" strategy=")[0] for title in titles] == [
        f"ended: job {number} of 2: clients={of}"
        for number, of in enumerate(clients.split(","), start=1)
    ]
    assert "round 1/1" not in said.out, "a table of each would be in the way of the others"
