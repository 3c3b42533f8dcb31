"""One run: ``bcfl run``, from a configuration to a folder with the result.

The same for every strategy and engine, and for a run that is gone on with; what depends on
the strategy is its scenario's.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from omegaconf import DictConfig, OmegaConf

from bcfl.amounts import in_words
from bcfl.chain import RpcChain
from bcfl.core.errors import BcflError, StorageFailed
from bcfl.experiment.attacks.coalition import poison
from bcfl.experiment.clients.client_data import ClientData, write_clients
from bcfl.experiment.clients.engine import EVERYWHERE, run_clients
from bcfl.experiment.clients.grids import OrderedGrid
from bcfl.experiment.clients.partitions import expect_share, share_out
from bcfl.experiment.clients.settings import ModelSettings
from bcfl.experiment.configuration import build, read_group, read_settings
from bcfl.experiment.datasets.images import Images, take_reference
from bcfl.experiment.recorder import Recorder, make_result, merge_rounds
from bcfl.experiment.redaction import without_secrets
from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.scenario import Material, Plan, read_plan
from bcfl.experiment.seeds import derive_seed
from bcfl.experiment.terminal import Terminal

if TYPE_CHECKING:
    from bcfl.trackers import Tracker

_LARGE = (1, 2**16, 2**16)  #: an image that every model takes, before there are others


def run_experiment(
    config: DictConfig,
    folder: Path,
    choices: dict[str, Any],
    *,
    resume: bool = False,
    grid: Grid | None = None,
) -> dict[str, Any]:
    """Run what ``config`` says and write it all to ``folder``.

    Parameters
    ----------
    config : DictConfig
        As ``conf/config.yaml`` composes it, with ``run_dir`` set to ``folder``.
    folder : Path
        Of this run alone.
    choices : mapping
        What names this run for a reader: ``strategy``, ``dataset``, ``attack`` and
        ``overrides``; becomes part of ``result.json``.
    resume : bool
        Go on with the task that is in ``folder``.
    grid : Grid, optional
        Of a Flower run that goes on already, whose nodes run :func:`member_app`. Left out:
        the configured engine runs the clients.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    BcflError
        The configuration is wrong, or the run came to nothing.
    """
    began, when = time.monotonic(), in_words(int(time.time()))
    run_folder = RunFolder(folder)
    if not resume:
        run_folder.claim()
    plan = read_plan(config)
    tracker = _tracker(config, folder)
    if plan.engine.device not in EVERYWHERE:
        plan = plan.settled()  # or this says, before the data are read, that there is none
    material = under_attack(load(plan), plan)
    plan = plan.settled()  # by torch
    if resume:
        _expect_resumable(plan, run_folder, choices["strategy"])
    else:
        run_folder.write_config(config, choices)
    title = f"{choices['strategy']} on {choices['dataset']}"
    terminal = Terminal(title, plan.scenario.rounds(plan))
    recorder = Recorder(run_folder, terminal, plan.scenario.evaluation(plan, material), tracker)

    def conclude(error: str = "") -> dict[str, Any]:
        rounds = merge_rounds(list(run_folder.rounds))
        result = choices | make_result(rounds, plan.malicious, time.monotonic() - began, error)
        result |= {
            "asked": plan.run.rounds,
            "planned": plan.scenario.rounds(plan),
            "device": plan.engine.client_device,
            "began": when,
            "ended": in_words(int(time.time())),
        }
        if recorder.arrays:
            run_folder.write_model(recorder.arrays)
            run_folder.write_result(result)
        return result

    try:
        with terminal, tracker or nullcontext():
            _carry_out(plan, material, recorder, resume=resume, grid=grid)
        result = conclude()
    except BaseException as reason:
        # Also of a run that failed, or was interrupted: what there is of it.
        with suppress(OSError):
            conclude(str(reason) if isinstance(reason, BcflError) else "")
        if isinstance(reason, OSError):
            raise StorageFailed(
                f"{reason.filename or folder}: {reason.strerror or reason}; see to it that the "
                f"disk has room, then go on by `bcfl resume {shlex.quote(str(folder))}`"
            ) from reason
        raise
    terminal.show(result, folder, _node_of(plan))
    return result


def _tracker(config: DictConfig, folder: Path) -> Tracker | None:
    """What follows the run besides, called by the run's folder, as one is told where it is."""
    if not (config.get("tracker") or {}).get("_target_"):
        return None  # none, or a run of before there were any
    tracker: Tracker = build(config, "tracker", name=os.path.relpath(folder))
    tracker.values = without_secrets(OmegaConf.to_container(config, resolve=True))
    return tracker


def _node_of(plan: Plan) -> str:
    """The URL of the node that has the chain; empty where the folder has it."""
    chain = plan.strategy.keywords.get("chain")
    return chain.url if isinstance(chain, RpcChain) else ""


def _expect_resumable(plan: Plan, folder: RunFolder, strategy: str) -> None:
    """Make ready to go on; a strategy that keeps nothing plays again, by the same seed."""
    if plan.scenario.resumable:
        return
    print(f"strategy={strategy} keeps nothing between rounds: playing again from the first one")
    folder.rounds.path.unlink(missing_ok=True)


def member_app(config: DictConfig, folder: Path) -> ClientApp:
    """The client app of a node that shares out the data for itself, into ``folder``.

    Raises
    ------
    BcflError
        The configuration is wrong, or there is no such data.
    """
    plan = read_plan(config)
    material = under_attack(load(plan), plan)
    plan = plan.settled()
    write_clients(material.shares, folder)
    return plan.scenario.client_app(plan, material, folder)


def load(plan: Plan, reference_size: int = 0) -> Material:
    """The data, shared out; and a reference set of so many images, where there is to be one."""
    config, seed = plan.config, plan.run.seed
    # what can be wrong with these is said before the data are read, which takes a second
    partition = read_group(config, "partition")
    partitioner = build(partition, "partitioner")
    expect_share(fraction := partition.get("validation_fraction"))
    read_settings(ModelSettings, config.model, "model", shape=_LARGE, classes=2)
    images: Images = build(config, "dataset")
    reference = None
    if size := reference_size or plan.scenario.reference_size(plan):
        images, x, y = take_reference(images, size, derive_seed(seed, "reference"))
        reference = ClientData(x, y, x, y)
    shares = share_out(images, partitioner, fraction, seed)
    model = read_settings(
        ModelSettings, config.model, "model", shape=images.shape, classes=images.classes
    )
    return Material(images, shares, shares, model, reference)


def under_attack(material: Material, plan: Plan) -> Material:
    """The same, with the malicious clients' data, and what they contributed, poisoned."""
    attack, classes = plan.attack, material.images.classes
    if (reference := material.reference) is not None:
        labels = attack.reference_labels(reference.train_labels, plan.run.clients, classes)
        reference = replace(reference, train_labels=labels, validation_labels=labels)
    shares = poison(material.verification, attack, plan.malicious, classes, reference)
    return replace(material, shares=shares, reference=reference)


def _carry_out(
    plan: Plan, material: Material, recorder: Recorder, *, resume: bool, grid: Grid | None
) -> Result:
    from bcfl.experiment.clients.central import initial_arrays  # noqa: PLC0415 - torch

    scenario = plan.scenario
    strategy = scenario.strategy(plan, material, recorder, resume=resume)

    def serve(grid: Grid) -> Result:
        if not scenario.tells_rounds:
            grid = recorder.weigh(OrderedGrid(grid))
        return strategy.start(
            grid=grid,
            initial_arrays=initial_arrays(material.model, plan.run.seed),
            num_rounds=plan.run.rounds,
            evaluate_fn=recorder.evaluate,
        )

    if grid is not None:
        return serve(grid)
    with tempfile.TemporaryDirectory(prefix="bcfl-") as shares:
        write_clients(material.shares, Path(shares))
        app = scenario.client_app(plan, material, Path(shares))
        return run_clients(scenario.engine(plan), serve, app, plan.run.clients)
