"""A market's task to look at: money from deposit to payment, panel by panel, in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcfl.cli.main import app
from bcfl.market.task_file import MARKET_FILE
from tests.report.browser import CHROMIUM, chromium

NAMED = "Clinic <B>"


@pytest.fixture(scope="module")
def audited(sold_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the task, audited by the command line, with a name."""
    folder = Path(shutil.copytree(sold_task, tmp_path_factory.mktemp("audited") / "run"))
    statement = json.loads((folder / MARKET_FILE).read_text())["statement"]
    names = folder.parent / "names.json"
    names.write_text(json.dumps({statement["panels"][0]["contributor"]: NAMED}))
    result = CliRunner().invoke(app, ["audit", str(folder), "--names", str(names)])
    assert result.exit_code == 0, result.output
    assert f"by {NAMED}, 0x" in result.output
    assert "HOLDS: 2 submissions, 4 of 4 reports measured again, 2 of 2 fused" in result.output
    return folder


def test_the_audit_measures_accuracies_anew(audited: Path) -> None:
    report = json.loads((audited / "audit.json").read_text())
    assert "losses and accuracies of 2 fused models, measured anew" in report["checked"]
    result = json.loads((audited / "result.json").read_text())
    assert report["fused"][1]["test"]["accuracy"] == pytest.approx(result["final"]["accuracy"])
    assert report["market"]["deposit"] == sum(
        report["market"][name] for name in ("rewards", "fees", "burnt", "returned", "left")
    )


def test_a_market_opens_in_a_browser_with_its_money_and_panels(
    audited: Path, tmp_path: Path
) -> None:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    path = audited / "audit.html"
    with chromium(tmp_path / "profile") as page:
        page.send("Page.navigate", url=path.as_uri())
        while not page.value("typeof Bokeh !== 'undefined' && Bokeh.documents.length"):
            pass
        assert page.value("document.getElementById('deposit').textContent") == "0.0204 ether"
        rows = page.value("document.querySelector('#panels tbody').innerText")
        assert rows.count("paid") == 2
        assert NAMED in rows
        told = "[...Bokeh.documents[0].get_model_by_name('reports').data.fitness]"
        statement = json.loads((audited / "audit.json").read_text())["market"]
        assert page.value(told) == pytest.approx(
            [seat["fitness"] / 1e6 for panel in statement["panels"] for seat in panel["verifiers"]]
        )
        assert "HOLDS" in page.value("document.getElementById('verdict').textContent")
        assert page.errors == []
        assert {url.partition(":")[0] for url in page.loaded} <= {"file", "data", "blob", "about"}


def test_a_task_that_was_not_audited_and_has_no_result_is_shown(
    sold_task: Path, tmp_path: Path
) -> None:
    shutil.copy(sold_task / MARKET_FILE, tmp_path)
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "report.html").read_text()
    for words in ("0.0204 ether", "paid to contributors", "Not audited", "Task 1 of the market 0x"):
        assert words in text


def test_what_is_no_statement_is_one_line(sold_task: Path, tmp_path: Path) -> None:
    told = json.loads((sold_task / MARKET_FILE).read_text())
    told["statement"]["panels"] = [{"number": "many"}]
    (tmp_path / MARKET_FILE).write_text(json.dumps(told))
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output


def test_a_market_is_plotted_with_its_money_and_panels(
    audited: Path, sold_task: Path, tmp_path: Path
) -> None:
    shutil.copy(sold_task / MARKET_FILE, tmp_path)
    money = {f"{name}.{kind}" for name in ("money", "panels") for kind in ("png", "svg")}
    drawn = {}
    for folder in (audited, tmp_path):
        result = CliRunner().invoke(app, ["plot", str(folder)])
        assert result.exit_code == 0, result.output
        drawn[folder] = {path.name: path.read_bytes() for path in (folder / "plots").iterdir()}
    assert drawn[tmp_path].keys() == money  # a role's: nothing was measured round by round
    of_rounds = {name.partition(".")[0] for name in drawn[audited].keys() - money}
    assert of_rounds == {"accuracy", "loss", "gas"}
    assert drawn[audited]["money.svg"] == drawn[tmp_path]["money.svg"]
    assert drawn[audited]["panels.svg"] != drawn[tmp_path]["panels.svg"]  # has what was fused
