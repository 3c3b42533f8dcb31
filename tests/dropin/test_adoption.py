"""A plain Flower app, before and after the two-line change."""

from __future__ import annotations

import difflib
import importlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from bcfl.consensus.task_folder import TaskFolder
from bcfl.flower.grid import InProcessGrid

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the app, importable as ``plain_app``; the working directory is beside it."""
    shutil.copytree(
        HERE / "plain_app", tmp_path / "plain_app", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "plain_app"
    for name in [name for name in sys.modules if name.split(".")[0] == "plain_app"]:
        del sys.modules[name]


def adopt(folder: Path) -> None:
    subprocess.run([sys.executable, str(HERE / "adopt.py"), str(folder)], check=True)


def load() -> tuple[ClientApp, ServerApp]:
    client = importlib.import_module("plain_app.client_app").app
    return client, importlib.import_module("plain_app.server_app").app


def play(clients: int = 4) -> float:
    client_app, server_app = load()
    grid = InProcessGrid(client_app, clients)
    context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={})
    server_app(grid=grid, context=context)
    return accuracy(clients)


def accuracy(clients: int) -> float:
    """Of the model that the app saved, over everybody's validation data."""
    task = importlib.import_module("plain_app.task")
    model = task.create_model()
    with np.load("final_model.npz") as saved:
        task.set_model_params(model, [saved["arr_0"], saved["arr_1"]])
    parts = [task.load_data(i, clients)[2:] for i in range(clients)]
    return float(np.mean([model.score(x, y) for x, y in parts]))


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Removed and added lines, imports left out."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return tuple(  # type: ignore[return-value]
        [
            line[2:].strip()
            for line in lines
            if line.startswith(sign) and not line[2:].lstrip().startswith(("from ", "import "))
        ]
        for sign in "-+"
    )


def test_adopting_changes_one_line_of_the_client_and_one_of_the_server(folder: Path) -> None:
    names = ["__init__.py", "client_app.py", "server_app.py", "task.py"]
    before = {name: (folder / name).read_text() for name in names}
    adopt(folder)
    diff = {name: changed(before[name], (folder / name).read_text()) for name in names}
    assert diff == {
        "__init__.py": ([], []),
        "client_app.py": (["app = ClientApp()"], ["app = ClientApp(mods=[peer_consensus_mod])"]),
        "server_app.py": (
            ["strategy = FedAvg(fraction_train=1.0, fraction_evaluate=1.0)"],
            ["strategy = PeerConsensus(fraction_train=1.0, fraction_evaluate=1.0)"],
        ),
        "task.py": ([], []),
    }


def test_the_plain_app_runs_without_us(folder: Path) -> None:
    assert play() > 0.8
    assert not Path("bcfl-runs").exists()


def test_the_adopted_app_runs_by_peer_consensus(folder: Path) -> None:
    adopt(folder)
    assert play() > 0.6  # a tenth of the changes travel, by default
    (run,) = Path("bcfl-runs").iterdir()
    assert len(TaskFolder(run).chain.read_text().splitlines()) > 1


def test_the_adopted_app_runs_on_flowers_simulation_engine(folder: Path) -> None:
    adopt(folder)
    client_app, server_app = load()
    with warnings.catch_warnings():
        # Ray's, about a default of its own that will change.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\.")
        run_simulation(
            server_app,
            client_app,
            3,
            backend_config={
                "init_args": {"num_cpus": 1, "logging_level": "ERROR"},
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            },
        )
    assert accuracy(3) > 0.6
