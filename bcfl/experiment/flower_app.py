"""The default experiment as a Flower app: ``flwr run .`` in the repository's root.

``[tool.flwr.app.config]`` in ``pyproject.toml`` holds what ``--run-config`` may change; its
``overrides`` takes whatever ``bcfl run`` takes. The bundle that Flower ships holds no code
of ours: every host has bcfl installed, as ``bcfl.strategies`` and the contracts must be.
"""

from __future__ import annotations

import atexit
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.trust import expect_shipped_targets
from bcfl.flower.identity import DEVELOPMENT_KEY

if TYPE_CHECKING:
    from omegaconf import DictConfig


#: Run-config keys that say something else than the knob of ``bcfl run`` by that name.
_OF_FLOWER = ("clients", "overrides", "run-dir")
_ALLOW = "bcfl-allow"  # of the node config: classes that a run config may name
_NAMES = ("strategy", "dataset", "attack")  # what a result is called by

client_app = ClientApp()
server_app = ServerApp()


def overrides_from(run_config: dict[str, Any], clients: int) -> tuple[str, ...]:
    """What ``bcfl run`` would be told, from Flower's run config.

    Raises
    ------
    ConfigurationError
        ``overrides`` is no list of NAME=VALUE separated by spaces.
    """
    knobs = {key: value for key, value in run_config.items() if key not in _OF_FLOWER}
    known = [f"{key.replace('-', '_')}={value}" for key, value in knobs.items()]
    more = str(run_config.get("overrides", "")).split()
    for override in more:
        if "=" not in override:
            raise ConfigurationError(
                f"overrides: expected NAME=VALUE, separated by spaces; found {override!r}"
            )
    return (*known, f"clients={clients}", *more)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment on the nodes that are there."""
    # Here and below: what a SuperNode that is only asked its name need not load.
    from bcfl.experiment.run import run_experiment  # noqa: PLC0415 - torch, Hydra: seconds

    clients = _clients(grid, int(str(context.run_config["clients"])))
    overrides = overrides_from(dict(context.run_config), clients)
    folder = Path(str(context.run_config["run-dir"])) / time.strftime("%Y-%m-%d_%H-%M-%S")
    config, names = _compose(overrides, folder.absolute())
    choices = {**names, "overrides": list(overrides)}
    run_experiment(config, folder.absolute(), choices, grid=grid)


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """The experiment's client, with the mods that the run config asks for."""
    return _member(_of(context), _allowed(context))(message, context)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """As :func:`train`."""
    return _member(_of(context), _allowed(context))(message, context)


def _of(context: Context) -> tuple[str, ...]:
    if "num-partitions" not in context.node_config:
        raise ConfigurationError(
            "this node has no share of the data: start it with --node-config "
            f"'partition-id=0 num-partitions=4 {DEVELOPMENT_KEY}=true', or, with a key of its own, "
            "with bcfl-signer in place of the last"
        )
    clients = int(str(context.node_config["num-partitions"]))
    return overrides_from(dict(context.run_config), clients)


def _allowed(context: Context) -> tuple[str, ...]:
    return tuple(str(context.node_config.get(_ALLOW, "")).split())


@lru_cache(maxsize=1)
def _member(overrides: tuple[str, ...], allowed: tuple[str, ...]) -> ClientApp:
    """The app, and the shares of the data that it reads; once a process.

    Whoever starts a run writes its run config: that calls nothing here but what conf/ does, and
    what the node's owner allows, and looks nothing up.
    """
    from omegaconf import OmegaConf  # noqa: PLC0415 - see main

    from bcfl.experiment.run import member_app  # noqa: PLC0415

    for override in overrides:
        if "${" in override:
            raise ConfigurationError(
                f"run config: expected values; found {override!r}, which was not looked up"
            )
    folder = tempfile.TemporaryDirectory(prefix="bcfl-shares-")
    atexit.register(folder.cleanup)
    config, _ = _compose(overrides, Path(folder.name))
    values = OmegaConf.to_container(config)
    assert isinstance(values, dict)
    how = f"the node's owner allows a class by --node-config '{_ALLOW}=\"my.module.Class\"'"
    expect_shipped_targets(values, allowed, how)
    return member_app(config, Path(folder.name))


def _compose(overrides: tuple[str, ...], folder: Path) -> tuple[DictConfig, dict[str, Any]]:
    from hydra import compose, initialize_config_module  # noqa: PLC0415 - see main
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf import open_dict  # noqa: PLC0415

    from bcfl.experiment.configuration import register_resolvers  # noqa: PLC0415

    register_resolvers()
    try:
        with initialize_config_module("bcfl.conf", version_base="1.3"):
            asked = [*overrides, f"run_dir={folder}"]
            config = compose("config", asked, return_hydra_config=True)
    except HydraException as error:
        raise ConfigurationError(" ".join(str(error).split())) from error
    chosen = config.hydra.runtime.choices
    names = {name: chosen[name] for name in _NAMES}
    with open_dict(config):
        del config["hydra"]
    return config, names


def _clients(grid: Grid, wanted: int) -> int:
    """How many clients share the data: as many as there are nodes, or as many as are wanted."""
    while len(list(grid.get_node_ids())) < max(2, wanted):
        time.sleep(0.5)
    return wanted or len(list(grid.get_node_ids()))
