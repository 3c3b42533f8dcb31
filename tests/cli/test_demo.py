"""``bcfl demo market``: from deposit to payment in one command, and a person can follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcfl.cli import market_demo
from bcfl.cli.main import app
from bcfl.market.fusion.fused_arrays import load_fused
from bcfl.report import read_names, read_run
from bcfl.report.sales import read_sales, rows_of


@pytest.mark.usefixtures("fused_once")
def test_the_marketplace_is_played_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    few = ("--contributors", "1", "--verifiers", "1", "--epochs", "10")
    result = CliRunner().invoke(app, ["demo", "market", str(folder), *few])
    assert result.exit_code == 0, result.output
    told = [
        "launched task 1: 0.1 ether for each of 1 models, taken until 20",
        "verifier 1: entered the pool, with a bond of 0.",
        "contributor 1: submitted it sealed, with a stake of 0.05 ether",
        "drew the panel",
        "initiator: opened to the panel what it measures by",
        "contributor 1: opened the model to its panel",
        "verifier 1: sealed its report",
        "verifier 1: reported 0.",
        "disclosed the key, and was paid 0.1 ether",
        "The model of contributor 1 is sold, for 0.1 ether",
        "1 models, accuracy 0.9",
        "contributor 1  +0.09",
    ]
    at = 0
    for line in told:  # in this order
        assert line in result.output[at:], (line, result.output)
        at = result.output.index(line, at)
    assert len(re.findall(r" \[[\d,]+ gas]$", result.output, re.MULTILINE)) > 8
    assert len(load_fused(folder / "fused.safetensors").models) == 1
    sales, names = read_sales(read_run(folder)), read_names(folder / "names.json")
    assert sales
    assert [panel.outcome for panel in sales.statement.panels] == ["paid"]
    assert rows_of(sales, names)["initiator"] == f"initiator, {sales.statement.initiator}"
    again = CliRunner().invoke(app, ["demo", "market", str(folder)])
    assert again.exit_code == 2
    assert again.stderr == (
        f"bcfl: ConfigurationError: expected an empty folder, or none yet, at {folder}; there is "
        "something in it: say another one, bcfl demo market FOLDER\n"
    )


def test_who_interrupts_it_is_told_how_to_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(market_demo, "write_example", interrupted)
    result = CliRunner().invoke(app, ["demo", "market", str(tmp_path / "demo")])
    assert result.exit_code == 130
    assert result.stderr == "bcfl: interrupted; begin anew in another folder\n"


@pytest.mark.parametrize("words", [["--verifiers", "0"], ["--contributors", "x"], ["--fast"]])
def test_a_wrong_argument_is_named(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["demo", "market", *words])
    assert result.exit_code == 2
    assert words[0] in result.stderr
