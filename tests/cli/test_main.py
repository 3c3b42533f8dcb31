"""The ``bcfl`` command itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from bcfl.cli.main import app
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.experiment.mistakes import explain


def test_without_a_command_it_says_what_there_is() -> None:
    shown = CliRunner().invoke(app, [])
    assert "run" in shown.output
    assert "Ethereum" in shown.output


def test_run_help_lists_every_group_and_knob(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from bcfl.cli.main import main; main()", "run", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    for words in ("strategy: centralised,", "gamma: 0.1", "bcfl run -m gamma=0.01,0.1,1"):
        assert words in shown.stdout
    assert not list(tmp_path.iterdir())


def test_an_error_is_its_name_and_one_line() -> None:
    assert explain(NobodyLeft("round 3:\n  nobody")) == "NobodyLeft: round 3: nobody"


def test_a_knob_that_is_nearly_right_is_recognised() -> None:
    assert "did you mean rounds?" in explain(ValueError("Could not override 'round'"))
    assert "did you mean attack.fraction?" in explain(
        ValueError("Could not override 'attack.fracton'.\nTo append to your config …")
    )
    assert "mean" not in explain(ValueError("Could not override 'xyzzy'"))


def test_every_error_of_a_configuration_is_called_one() -> None:
    assert explain(ValueError("In 'config': no")) == "ConfigurationError: In 'config': no"
    assert explain(ConfigurationError("no")) == "ConfigurationError: no"
