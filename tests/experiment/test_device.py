"""Models are trained and measured on the device that is asked for, and nowhere else."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flwr.simulation
import numpy as np
import pytest
from flwr.clientapp import ClientApp
from omegaconf import OmegaConf

from bcfl.core.errors import ConfigurationError, EngineFailed
from bcfl.experiment.attacks.attack import NoAttack
from bcfl.experiment.clients import engine
from bcfl.experiment.clients.client_data import ClientData, write_clients
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.engine import EngineSettings, run_clients
from bcfl.experiment.configuration import read_settings
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.laboratory.laboratory import Laboratory
from bcfl.experiment.market.market_simulation import ContributorSettings, SimulatedContributor
from bcfl.experiment.mistakes import MISTAKEN
from bcfl.experiment.seeds import derive_seed
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.architecture import DEFAULT_LIMITS
from tests.elsewhere import NAME, Watch, gpus, watch

__all__ = ["gpus", "watch"]  # fixtures

QUICK = "training.local_epochs=1 training.batch_size=200 clients=2 rounds=1 chain=memory"
#: What only training does, and what only measuring does.
TRAINS, MEASURES = "_log_softmax_backward_data", "argmax"


def play(folder: Path, arguments: str) -> dict[str, Any]:
    asked = [*shlex.split(f"{QUICK} {arguments}"), f"hydra.run.dir={folder}"]
    assert run_with_hydra(asked) == 0
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.mark.parametrize(
    "asked",
    [
        "engine=in_process model=cnn 'model.widths=[4,4]'",
        "engine=stacked model=mlp clients=3 partition=dirichlet",
        "engine=in_process rule=referee model=logistic",
        "engine=in_process strategy=centralised model=logistic",
    ],
)
def test_a_run_on_another_device_gives_the_same_models(
    asked: str, tmp_path: Path, gpus: SimpleNamespace, watch: Watch
) -> None:
    there = play(tmp_path / "there", asked)
    assert there["device"] == "cuda"
    assert {TRAINS, MEASURES} <= watch.seen[NAME]
    assert not {TRAINS, MEASURES, "baddbmm", "bmm"} & watch.seen["cpu"]
    here = play(tmp_path / "here", f"{asked} engine.device=cpu")
    assert here["device"] == "cpu"
    assert {TRAINS, MEASURES} <= watch.seen["cpu"]
    assert [each["model"] for each in there["rounds"]] == [each["model"] for each in here["rounds"]]
    assert there["final"]["accuracy"] == here["final"]["accuracy"]


def test_the_laboratory_plays_on_it(tmp_path: Path, gpus: SimpleNamespace, watch: Watch) -> None:
    asked = [
        *QUICK.replace("chain=memory", "model=logistic").split(),
        "lab.rules=[borda,referee]", "lab.attacks=[none]", "lab.partitions=[iid]", "lab.seeds=[1]",
    ]  # fmt: skip
    there = Laboratory(tmp_path / "there", asked).play()
    assert {TRAINS, MEASURES} <= watch.seen[NAME]
    assert not {TRAINS, MEASURES, "baddbmm", "bmm"} & watch.seen["cpu"]
    here = Laboratory(tmp_path / "here", [*asked, "engine.device=cpu"]).play()
    assert [line["model"] for line in there] == [line["model"] for line in here]


def test_contributors_train_on_it_as_well(
    tmp_path: Path, gpus: SimpleNamespace, watch: Watch
) -> None:
    rng = np.random.default_rng(1)
    samples, labels = rng.normal(size=(40, 1, 8, 8)).astype(np.float32), np.arange(40) % 4
    write_clients([ClientData(samples, labels, samples, labels)], tmp_path)
    training, seed = ContributorTraining(epochs=1), derive_seed(1, "contributor", 0)
    settings = ContributorSettings(("cnn",), training)
    train = SimulatedContributor(tmp_path, settings, 1, NoAttack(), frozenset(), "cuda")
    context = SimpleNamespace(node_config={"partition-id": 0})
    description = SimpleNamespace(input_shape=(1, 8, 8), classes=4, limits=DEFAULT_LIMITS)
    there = train(context, description).weights  # type: ignore[arg-type]
    assert TRAINS in watch.seen[NAME]
    assert not {TRAINS, "addmm", "convolution"} & watch.seen["cpu"]
    architecture = shipped_architecture("cnn", (1, 8, 8), 4)
    here = train_contributor(architecture, samples, labels, training, seed).weights
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[key], there[key]) for key in here)


def test_on_cuda_float32_is_float32_and_operations_repeat_themselves(gpus: SimpleNamespace) -> None:
    use_device("cpu")
    assert (gpus.settings, gpus.environ, gpus.backends.cudnn.allow_tf32) == ([], {}, True)
    use_device("cuda:0")
    assert gpus.settings == ["error"]
    assert gpus.environ == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert gpus.backends.cudnn.allow_tf32 is gpus.backends.cuda.matmul.allow_tf32 is False


CARDS = r"PyTorch finds here \(cpu, cuda:0\)"


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        ("ray", {"device": "gpu"}, "engine.device: expected auto, cpu, cuda or mps; found gpu"),
        ("ray", {"device": "cuda:1"}, "expected auto, cpu, cuda or mps; found cuda:1"),
        ("stacked", {"device": "cuda:x"}, "auto, cpu, cuda, cuda:NUMBER or mps; found cuda:x"),
        ("stacked", {"device": "cuda:1"}, f"engine.device: expected .* {CARDS}; found cuda:1"),
        ("in_process", {"device": "mps"}, f"engine.device: expected .* {CARDS}; found mps"),
        ("ray", {"gpus": -1}, "engine.gpus: expected greater than or equal to 0; found -1"),
        ("ray", {"gpus": 1.5}, "engine.gpus: expected a share up to 1, or a whole number"),
        ("ray", {"gpus": 2}, "engine.gpus: expected at most 1, .* engine.device=auto; found 2"),
        ("ray", {"device": "cpu", "gpus": 0.5}, "at most 0, .* engine.device=cpu; found 0.5"),
    ],
)
def test_a_device_that_is_not_there_is_named(
    kind: str, asked: dict[str, Any], expected: str, gpus: SimpleNamespace
) -> None:
    config = OmegaConf.create({"kind": kind, **asked})
    with pytest.raises(ConfigurationError, match=expected):
        read_settings(EngineSettings, config, "engine").settled(4)
    assert gpus.settings == [] or "gpus" in asked


def test_that_it_is_not_there_is_told_before_the_data_are_read(
    tmp_path: Path, gpus: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "engine=in_process engine.device=cuda:1 dataset=mnist_test dataset.folder=nowhere"
    assert run_with_hydra([*asked.split(), f"hydra.run.dir={tmp_path}/run"]) == MISTAKEN
    assert "engine.device" in capsys.readouterr().err


def test_without_a_gpu_the_cpu_is_chosen_and_a_gpu_refused(gpus: SimpleNamespace) -> None:
    gpus.count = 0
    for kind in ("in_process", "stacked", "ray"):
        settled = EngineSettings(kind).settled(4)
        assert (settled.device, settled.client_device, settled.gpus or 0) == ("cpu", "cpu", 0)
        with pytest.raises(ConfigurationError, match=r"finds here \(cpu\); found cuda"):
            EngineSettings(kind, device="cuda").settled(4)


@pytest.mark.parametrize(
    ("cards", "cpus", "clients", "asked", "share"),
    [
        (1, 4, 10, None, 0.25),
        (1, 7, 10, None, 0.1428),  # rounded down: a seventh worker fits
        (2, 16, 4, None, 0.5),
        (8, 16, 4, None, 1.0),
        (2, 16, 4, 2, 2),
        (1, 16, 4, 0.5, 0.5),
    ],
)
def test_workers_share_the_gpus(
    cards: int, cpus: int, clients: int, asked: float | None, share: float, gpus: SimpleNamespace
) -> None:
    gpus.count = cards
    settled = EngineSettings("ray", cpus, gpus=asked).settled(clients)
    assert settled.gpus == share
    assert settled.client_device == settled.device == "cuda"
    assert share * min(cpus, clients) <= cards or asked is not None


def test_clients_without_a_share_compute_on_the_cpu(gpus: SimpleNamespace) -> None:
    settled = EngineSettings("ray", gpus=0).settled(4)
    assert (settled.device, settled.client_device) == ("cuda", "cpu")


@pytest.mark.parametrize(("share", "handed_out"), [(0.25, 1), (0.0, 0)])
def test_flower_and_ray_are_told_of_the_share(
    share: float, handed_out: int, gpus: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def simulate(server: Any, client: Any, clients: int, backend_config: dict[str, Any]) -> None:
        told.append(backend_config["client_resources"]["num_gpus"])
        raise RuntimeError("that is all")

    monkeypatch.setattr(engine, "_start_ray", lambda workers, gpus: told.append((workers, gpus)))
    monkeypatch.setattr(flwr.simulation, "run_simulation", simulate)
    settings = EngineSettings("ray", 2, "cuda", share)
    with pytest.raises(EngineFailed, match="that is all"):
        run_clients(settings, lambda grid: None, ClientApp(), 4)  # type: ignore[arg-type]
    assert told == [(2, handed_out), share]
