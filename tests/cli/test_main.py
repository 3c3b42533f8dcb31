"""The ``bcfl`` command itself."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcfl.cli.main import app
from bcfl.cli.plain_text import let_streams_take_anything
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.knobs import read_page
from bcfl.experiment.mistakes import explain


def test_without_a_command_it_says_what_there_is() -> None:
    shown = CliRunner().invoke(app, [])
    assert "run" in shown.output
    assert "Ethereum" in shown.output


def test_the_help_of_a_command_explains_its_arguments() -> None:
    shown = CliRunner().invoke(app, ["audit", "--help"])
    assert "The folder of a run, or of a market's role." in shown.output


def test_run_help_explains_every_group_and_knob(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from bcfl.cli.main import main; main()", "run", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    for words in (
        "peer_consensus*",
        "'bcfl[mlflow]'",
        "bcfl run -m gamma=0.01,0.1,1",
        "\nThe experiment\n",
    ):
        assert words in shown.stdout
    assert re.search(r"gamma=0\.1 +share of the changes that a client sends", shown.stdout)
    assert not list(tmp_path.iterdir())


def test_the_help_of_a_group_explains_the_knobs_of_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with_hydra(["--help", "attack=sign_flip"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"attack\.scale=4\.0 +how many times the honest step's length", shown)
    assert run_with_hydra(["--help", "atack"]) == 2
    assert "found 'atack'" in capsys.readouterr().err


def test_every_knob_of_conf_is_explained() -> None:
    config = read_page(Path(str(files("bcfl.conf")), "config.yaml").read_text("utf-8"))
    knobs = [knob for section, all_ in config.sections.items() if section for knob in all_]
    assert len(knobs) > 20
    assert [k.name for k in knobs if not k.words and "hydra" not in k.name] == []


def test_a_stream_without_unicode_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    let_streams_take_anything()
    print("round 1/3: loss – 8×8 …, 學")
    stream.flush()
    assert stream.buffer.getvalue() == b"round 1/3: loss - 8x8 ..., ?\n"  # type: ignore[attr-defined]


def test_an_error_is_its_name_and_one_line() -> None:
    assert explain(NobodyLeft("round 3:\n  nobody")) == "NobodyLeft: round 3: nobody"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("Could not override 'round'", "did you mean rounds?"),
        ("Could not override 'num_rounds'", "did you mean rounds?"),
        ("Could not override 'num_clients'", "did you mean clients?"),
        ("Could not override 'attack.fracton'.\nTo append …", "did you mean attack.fraction?"),
        ("Could not override 'learning_rate'", "or training.learning_rate?"),
        ("Could not override 'strategy.kappa'", "a knob of strategy=peer_consensus, and another"),
        ("Could not find 'strategy/peerconsensus'", "did you mean strategy=peer_consensus?"),
        ("Could not find 'dataset/MNIST'", "did you mean dataset=mnist?"),
    ],
)
def test_a_name_that_is_nearly_right_is_recognised(error: str, said: str) -> None:
    assert said in explain(ValueError(error))


@pytest.mark.parametrize("error", ["Could not override 'xyzzy'", "Could not find 'dataset/xyzzy'"])
def test_a_name_like_no_other_is_taken_for_none(error: str) -> None:
    assert "mean" not in explain(ValueError(error))


def test_every_error_of_a_configuration_is_called_one() -> None:
    assert explain(ValueError("In 'config': no")) == "ConfigurationError: In 'config': no"
    assert explain(ConfigurationError("no")) == "ConfigurationError: no"
