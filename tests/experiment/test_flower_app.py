"""``flwr run .``: the default experiment as a Flower app, told by Flower's run config."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.flower_app import client_app, overrides_from, server_app
from bcfl.flower.grid import InProcessGrid

ROOT = Path(__file__).parents[2]
APP: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
SMALL = {"rounds": 1, "seed": 3, "overrides": "training.local_epochs=1 model=logistic"}


def play(folder: Path, run_config: dict[str, Any], clients: int = 2) -> dict[str, Any]:
    config = {**APP["config"], "run-dir": str(folder), **run_config}
    grid = InProcessGrid(client_app, clients, run_config=config)
    server_app(
        grid=grid,
        context=Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=config),
    )
    (run,) = folder.iterdir()
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    return result


def test_the_components_are_where_the_project_file_says() -> None:
    for kind, app in (("serverapp", server_app), ("clientapp", client_app)):
        module, _, name = APP["components"][kind].partition(":")
        assert getattr(importlib.import_module(module), name) is app


def test_the_bundle_holds_nothing_that_hides_the_installed_package() -> None:
    assert not [pattern for pattern in APP["fab-include"] if "bcfl" in pattern or "*" in pattern]


def test_every_key_of_the_run_config_is_used() -> None:
    given = {name.partition("=")[0] for name in overrides_from(APP["config"], 5)}
    used_otherwise = {"clients", "overrides", "run-dir"}
    assert {key.replace("-", "_") for key in APP["config"].keys() - used_otherwise} <= given


def test_it_plays_the_experiment_on_the_nodes_that_there_are(tmp_path: Path) -> None:
    result = play(tmp_path / "one", SMALL)
    (round_,) = result["rounds"]
    assert round_["committed"] == round_["voted"] == [0, 1]
    assert (result["strategy"], result["dataset"]) == ("peer_consensus", "digits")
    again = play(tmp_path / "two", SMALL)
    assert again["final"]["model"] == result["final"]["model"]


def test_a_baseline_and_an_attack_are_chosen_by_the_run_config(tmp_path: Path) -> None:
    chosen = {"strategy": "fedavg", "attack": "sign_flip"}
    result = play(tmp_path, {**SMALL, **chosen})
    assert (result["strategy"], result["attack"]) == ("fedavg", "sign_flip")
    assert result["malicious"] == [1]


@pytest.mark.parametrize(
    ("run_config", "reason"),
    [
        ({"overrides": "nonsense"}, "expected NAME=VALUE"),
        ({"overrides": "no_such_knob=1"}, "no_such_knob"),
        ({"dataset": "letters"}, "letters"),
    ],
)
def test_a_mistake_in_the_run_config_is_named(
    tmp_path: Path, run_config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        play(tmp_path, run_config)


def test_a_node_without_a_share_is_told_how_to_get_one() -> None:
    grid = InProcessGrid(client_app, 1, run_config=dict(APP["config"]))
    (context,) = grid.contexts.values()
    del context.node_config["num-partitions"]
    with pytest.raises(ConfigurationError, match="partition-id=0 num-partitions=4"):
        client_app(message_to(context), context)


def message_to(context: Context) -> Any:
    from flwr.app import Message

    return Message(RecordDict(), dst_node_id=context.node_id, message_type="train")
