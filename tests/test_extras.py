"""What ``pip install bcfl`` leaves out is named with the command that brings it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bcfl.extras import _EXTRAS, how_to_get

ROOT = Path(__file__).parents[1]


def test_every_extra_exists_and_brings_what_it_is_named_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    trackers = {"mlflow", "tensorboard", "trackio", "wandb"}
    assert set(extras) == trackers | {"torch", "simulation", "datasets", "plots", "market", "all"}
    called = {
        "sklearn": "scikit-learn", "flwr_datasets": "flwr-datasets", "mlflow": "mlflow-skinny"
    }  # fmt: skip
    for module, extra in _EXTRAS.items():
        names = [re.split(r"[\[><=]", line)[0] for line in extras[extra]]
        assert called.get(module, module) in names


def test_what_no_extra_brings_is_somebody_elses_mistake() -> None:
    assert how_to_get(ModuleNotFoundError(name="mine.own")) == ""


def test_a_missing_part_is_one_line(tmp_path: Path) -> None:
    code = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Nowhere())
from bcfl.cli.main import main
sys.argv = ["bcfl", "run", "engine=in_process", "hydra.run.dir=x"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "bcfl: torch is not installed, and this needs it: pip install 'bcfl[torch]'"
    )
    assert "Traceback" not in done.stderr
    assert "Error executing" not in done.stderr, "that is Hydra's"


def test_the_version_is_told() -> None:
    import bcfl
    from bcfl.cli.main import app

    with pytest.raises(SystemExit) as ended:
        app(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+", bcfl.__version__)
