"""The laboratory plays what a run plays, goes on where it was cut off, and sums it all up."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.attacks import Attack
from bcfl.experiment.laboratory.command import lab_command
from bcfl.experiment.laboratory.laboratory import Laboratory
from bcfl.experiment.laboratory.rules import RULES
from bcfl.experiment.laboratory.table import rows, summarise
from tests.experiment.test_run import play

SMALL = (
    "model=logistic", "training.local_epochs=1", "clients=5", "rounds=2", "lab.seeds=[1,2]",
    "lab.reference_size=40", "lab.partitions=[iid]", "lab.ballots=[front]",
)  # fmt: skip
ALL = (
    *SMALL,
    "lab.rules=[oracle,borda,coalition,referee,fedavg]",
    "lab.attacks=[none,'ipm epsilon=10',backdoor]",
)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("lab") / "all"
    assert lab_command(folder, ALL, quick=False) == 0
    return folder, [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]


def test_every_run_is_played_once(lines: tuple[Path, list[dict[str, Any]]]) -> None:
    cells = [tuple(line["cell"].values()) for line in lines[1]]
    assert len(set(cells)) == len(cells) == 2 * (1 + 4 * 3)
    assert all(0 <= line["accuracy"] <= 1 for line in lines[1])
    doors = [line for line in lines[1] if line["backdoor"] is not None]
    assert {line["cell"]["attack"] for line in doors} == {"backdoor"}


def test_the_tables_tell_the_worst_cell_and_the_gap(
    lines: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, found = lines
    table = {row["rule"]: row for row in rows(summarise(found))}
    fedavg = [line for line in found if line["cell"]["rule"] == "fedavg"]
    attacked = [x["accuracy"] for x in fedavg if x["cell"]["attack"] == "ipm epsilon=10"]
    worst = float(table["fedavg"]["worst cell"].split()[0])
    assert worst == pytest.approx(100 * sum(attacked) / 2, abs=0.06)
    assert table["fedavg"]["which"] == "ipm epsilon=10 / honest"
    best = float(table["oracle"]["worst cell"].split()[0])
    assert float(table["fedavg"]["gap to the oracle"]) == pytest.approx(worst - best, abs=0.11)
    with (folder / "cells.csv").open() as file:
        assert {row["runs"] for row in csv.DictReader(file)} == {"2"}
    assert (folder / "table.md").read_text().count("\n") == 2 + 5
    assert (folder / "heat.png").stat().st_size > 1000


def test_it_goes_on_where_it_was_cut_off(
    lines: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, found = lines
    (tmp_path / "lab.yaml").write_text((folder / "lab.yaml").read_text())
    whole = (folder / "cells.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cells.jsonl").write_text("".join(whole[:-2]) + whole[-2][:50])
    again = Laboratory(tmp_path, ALL).play()
    assert [{**line, "seconds": 0} for line in again] == [{**line, "seconds": 0} for line in found]
    more = Laboratory(tmp_path, [*ALL, "lab.rules=[fedavg,multi_krum]", "lab.attacks=[none]"])
    new = more.play()[len(found) :]
    assert [(line["cell"]["rule"], line["cell"]["seed"]) for line in new] == [
        ("multi_krum", 1),
        ("multi_krum", 2),
    ]
    known = (tmp_path / "lab.yaml").read_text().replace("momentum: ", "momentum_of_before: ")
    (tmp_path / "lab.yaml").write_text(known)
    there = r"rounds \(2 there, 3 asked\); training.momentum \(nothing there, 0.5 asked\)"
    with pytest.raises(ConfigurationError, match=f"{there}.* or name another folder"):
        Laboratory(tmp_path, [*ALL, "rounds=3"])


@dataclass(frozen=True, slots=True)
class Silent(Attack):
    """Reviewers who rate nobody."""

    def ratings(self, qualities: Mapping[int, float], accomplices: Set[int]) -> dict[int, float]:
        return {}


def test_a_run_that_stops_early_is_a_row_with_its_reason(tmp_path: Path) -> None:
    silent = f"none _target_={Silent.__module__}.{Silent.__qualname__}"
    more = ("lab.rules=[fedavg,referee]", f"lab.attacks=[none,'{silent}']", "lab.fraction=0.6")
    lines = Laboratory(tmp_path / "void", [*SMALL, *more, "lab.seeds=[1]"]).play()
    by = {(line["cell"]["rule"], line["cell"]["attack"] == "none"): line for line in lines}
    stopped = by.pop(("referee", False))
    assert stopped["error"].startswith("round 1: RoundVoid: half of the reports")
    assert (stopped["curve"], stopped["seats"]) == ([], 0)
    assert 0 <= stopped["accuracy"] < 0.4
    assert [line["error"] for line in by.values()] == [""] * 3
    table = {row["rule"]: row["stopped"] for row in rows(summarise(lines))}
    assert table == {"fedavg": "0", "referee": "1"}


def test_where_nobody_has_anything_finite_every_rule_says_so(tmp_path: Path) -> None:
    more = (f"lab.rules=[{','.join(RULES)}]", "lab.attacks=[none]", "training.learning_rate=1e38")
    lines = Laboratory(tmp_path / "all", [*SMALL, *more, "lab.seeds=[1]"]).play()
    assert len(lines) == len(RULES)
    assert {line["error"] for line in lines} == {
        "round 1: NobodyLeft: nobody sends finite parameters"
    }


def test_a_rule_that_there_is_not_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab_command(tmp_path, ["lab.rules=[best]"], quick=False) == 2
    assert "lab.rules: expected some of oracle, borda" in capsys.readouterr().err


def test_a_knob_that_no_rule_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab_command(tmp_path, [*SMALL, "values=int8"], quick=False) == 2
    assert "values: expected float32: bcfl lab compares" in capsys.readouterr().err


def test_the_gap_is_to_the_oracle_with_the_same_seeds() -> None:
    def line(rule: str, seed: int, accuracy: float) -> dict[str, Any]:
        cell = {"rule": rule, "attack": "sign_flip", "ballots": "honest", "partition": "iid"}
        return {"cell": {**cell, "seed": seed}, "accuracy": accuracy, "backdoor": None}

    lines = [line("oracle", 1, 0.9), line("oracle", 2, 0.5), line("fedavg", 1, 0.8)]
    assert rows(summarise(lines))[1]["gap to the oracle"] == "-10.0"
    assert rows(summarise(lines[1:]))[1]["gap to the oracle"] == "–"


def test_a_run_of_the_protocol_gives_the_same_models(tmp_path: Path) -> None:
    knobs = "model=logistic training.local_epochs=1 clients=5 rounds=2 attack.fraction=0.4"
    attack = "attack=ipm attack.epsilon=10 attack.ballots=cut"
    run = play(tmp_path / "run", f"engine=stacked chain=memory {knobs} {attack}")
    cut = ("lab.rules=[borda]", "lab.attacks=['ipm epsilon=10']", "lab.ballots=[cut]")
    more = ("lab.seeds=[1]", "lab.reference_size=0")
    (line,) = Laboratory(tmp_path / "lab", [*SMALL, *cut, *more]).play()
    assert line["model"] == run["final"]["model"]
    assert line["curve"][-1] == pytest.approx(run["final"]["accuracy"], abs=1e-4)
