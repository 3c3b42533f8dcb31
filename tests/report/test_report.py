"""``bcfl report`` and ``bcfl plot``: what a person sees of a run, in a real browser too."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bcfl.audit import audit_command
from bcfl.cli.main import app
from bcfl.report import read_run, read_sweep, write_page
from bcfl.report.sweeps import summarise
from tests.audit.runs import play
from tests.report.browser import CHROMIUM, Page, chromium

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


def entry(number: int, members: int, dice: random.Random) -> dict[str, Any]:
    """A round as ``result.json`` has it."""
    everybody = list(range(members))
    return {
        "round": number, "chain_round": number, "accuracy": 1 - 1 / (number + 1),
        "loss": 1 / number, "model": "ab" * 32, "expected": everybody,
        "committed": everybody, "voted": everybody, "winners": everybody[: members // 2],
        "ballots": {
            str(i): {str(j): 2**31 - dice.randrange(2**21) for j in everybody if i != j}
            for i in everybody
        },
        "rejected": {"0": {"1": HOSTILE}}, "left_out": {"1": HOSTILE},
        "transactions": {phase: [f"0x{dice.getrandbits(256):064x}"] for phase in ("open", "close")},
        "gas": {"open": 35_000, "close": 33_000}, "seconds": {"train": 1.5},
        "bytes_up": 10_000, "bytes_up_dense": 100_000, "bytes_down": 1, "bytes_down_dense": 1,
    }  # fmt: skip


def written(folder: Path, members: int, rounds: int, **more: Any) -> Path:
    """The folder of a run that never was."""
    dice = random.Random(0)
    entries = [entry(number, members, dice) for number in range(1, rounds + 1)]
    told = {"strategy": "peer_consensus", "dataset": HOSTILE, "malicious": [members - 1]}
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(told | {"rounds": entries} | more))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was played, and audited."""
    folder = play(tmp_path_factory.mktemp("finished") / "run", clients=3, rounds=2)
    names = {"0x" + 40 * "1": "nobody"}
    assert audit_command(folder, names=names) == 0
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser; its errors are of all tests together."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_a_report_says_who_won_and_what_the_audit_found(finished: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(finished), "--out", str(tmp_path / "r.html")])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "r.html").read_text()
    task = json.loads((finished / "task.json").read_text())
    for words in (task["contract"], task["coordinator"], "HOLDS: 2 rounds", "Not checked"):
        assert words in text
    for address in json.loads((finished / "audit.json").read_text())["members"]:
        assert address in text


def test_the_audit_writes_the_page_with_names(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    members = json.loads((run / "audit.json").read_text())["members"]
    names = tmp_path / "names.json"
    names.write_text(json.dumps({members[1]: "Clinic B"}))
    (run / "audit.json").unlink()
    next((run / "blobs").glob("??/*")).unlink()
    result = CliRunner().invoke(app, ["audit", str(run), "--names", str(names)])
    assert result.exit_code == 1, result.output
    text = (run / "audit.html").read_text()
    for words in ("Clinic B", "DOES NOT HOLD", "whoever keeps the blobs", "Not checked"):
        assert words in text
    names.write_text("[]")
    result = CliRunner().invoke(app, ["audit", str(run), "--names", str(names)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_the_slider_shows_another_round_and_nothing_is_loaded(
    finished: Path, tmp_path: Path, page: Page
) -> None:
    path, run = tmp_path / "report.html", read_run(finished)
    write_page(run, path)
    page.open(path)
    assert page.value("document.getElementById('which').textContent") == "1 of 2"
    page.click("#round", across=0.99)
    assert page.value("document.getElementById('which').textContent") == "2 of 2"
    last = run.result.rounds[-1]
    said = page.value("document.getElementById('said').textContent")
    assert f"Round 2: 3 of 3 committed, 3 voted, won by {', '.join(map(str, last.winners))}" in said
    shown = (
        "[...Bokeh.documents[0].get_model_by_name('shown').data.image[0]].map(v => v.toFixed(4))"
    )
    values = page.value(shown)
    for i in range(3):
        for j in range(3):
            quality = (last.ballots[i].get(j, 0) - 2**31) / 2**20
            assert values[3 * i + j] == (f"{-quality:.4f}" if i != j else "NaN")
    page.click("#before")
    assert page.value("document.getElementById('which').textContent") == "1 of 2"
    assert page.value(shown) != values
    assert page.errors == []
    assert {url.partition(":")[0] for url in page.loaded} <= {"file", "data", "blob", "about"}


def test_what_a_stranger_wrote_is_shown_as_text(tmp_path: Path, page: Page) -> None:
    path = tmp_path / "report.html"
    write_page(read_run(written(tmp_path / "run", 4, 2)), path)
    page.open(path)
    assert HOSTILE in page.value("document.getElementById('reasons').textContent")
    assert HOSTILE in page.value("document.querySelector('h1').textContent")
    assert page.value("document.title") != "owned"
    assert page.errors == []


def test_a_hundred_rounds_of_a_hundred_members_are_8_mb_at_most(tmp_path: Path, page: Page) -> None:
    path = tmp_path / "report.html"
    write_page(read_run(written(tmp_path / "run", 100, 100)), path)
    assert path.stat().st_size <= 8_000_000
    seconds = page.open(path)
    page.click("#round", across=0.99)
    assert page.value("document.getElementById('which').textContent") == "100 of 100"
    assert page.errors == []
    print(f"{path.stat().st_size:,} bytes, open after {seconds:.1f} s")


def test_a_sweep_is_a_mean_over_seeds(tmp_path: Path, page: Page) -> None:
    for number, (kappa, seed) in enumerate([(0.5, 1), (0.5, 2), (0.7, 1), (0.7, 2)]):
        told = [f"kappa={kappa}", f"clients={4 + number % 2}", f"seed={seed}"]
        written(tmp_path / str(number), 4, 2, overrides=told)
    table = summarise(read_sweep(tmp_path))
    assert table.swept == ["kappa", "clients"]
    assert [point.runs for point in table.points] == [1, 1, 1, 1]
    assert table.points[0].accuracy == pytest.approx(1 - 1 / 3)
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    page.send("Page.navigate", url=(tmp_path / "report.html").as_uri())
    while not page.value("typeof Bokeh !== 'undefined' && Bokeh.documents.length"):
        pass
    assert page.value("Bokeh.documents[0].get_model_by_name('heat') !== null")
    assert page.errors == []


def test_a_run_is_plotted_as_png_and_svg(finished: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["plot", str(finished), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"{name}.{kind}"
        for name in ("accuracy", "loss", "gas", "matrix")
        for kind in ("png", "svg")
    }
    assert (tmp_path / "gas.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["", "[]", '{"rounds": 3}', '{"rounds": [{"round": "x"}]}'])
def test_what_is_no_result_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    for command in ("report", "plot"):
        result = CliRunner().invoke(app, [command, str(tmp_path)])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        assert "result.json" in result.stderr


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
