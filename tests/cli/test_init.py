"""``bcfl init`` writes a project that runs at once; ``bcfl runs`` finds what it leaves."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from flwr.supercore.utils import is_valid_name
from typer.testing import CliRunner

from bcfl.cli.main import app
from bcfl.flower.grid import InProcessGrid


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project called ``my_clinic``, where it can be imported."""
    result = CliRunner().invoke(app, ["init", str(tmp_path / "My clinic")])
    assert result.exit_code == 0, result.output
    monkeypatch.syspath_prepend(str(tmp_path / "My clinic"))
    yield tmp_path / "My clinic"
    for name in [name for name in sys.modules if name.split(".")[0] == "my_clinic"]:
        del sys.modules[name]


def test_the_project_runs_and_what_it_leaves_can_be_audited_and_listed(project: Path) -> None:
    told = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    modules = {kind: name.partition(":")[0] for kind, name in told["components"].items()}
    client = importlib.import_module(modules["clientapp"]).app
    server = importlib.import_module(modules["serverapp"]).app
    run_config = told["config"] | {"run-dir": str(project / "run"), "num-server-rounds": 1}
    context = Context(
        run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=run_config
    )
    server(grid=InProcessGrid(client, 3), context=context)
    assert {"result.json", "model.safetensors"} <= {
        path.name for path in (project / "run").iterdir()
    }
    assert CliRunner().invoke(app, ["audit", str(project / "run")]).exit_code == 0
    listed = CliRunner().invoke(app, ["runs", str(project)]).output
    assert "success" in listed
    assert "peer_consensus" in listed


def test_flower_takes_the_project_for_an_app(project: Path) -> None:
    name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]
    assert name == "my-clinic"
    assert is_valid_name(name) == (True, "")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for place in (tmp_path, tmp_path / "mine", tmp_path / "class", tmp_path / ("a" * 33)):
        result = CliRunner().invoke(app, ["init", str(place)])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_where_there_is_no_run_that_is_said(tmp_path: Path) -> None:
    assert "there is no run in" in CliRunner().invoke(app, ["runs", str(tmp_path)]).output
