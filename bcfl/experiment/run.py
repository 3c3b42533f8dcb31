"""One run: ``bcfl run``, from a configuration to a folder with the result.

The same for every strategy and engine, and for a run that is gone on with.
"""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from omegaconf import DictConfig

from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.experiment.attacks import Attack, AttackMod
from bcfl.experiment.attacks.mod import AttackingMember
from bcfl.experiment.clients.central import CentralEvaluation, CentralTraining, initial_arrays
from bcfl.experiment.clients.client_app import Client, build_client_app
from bcfl.experiment.clients.client_data import ClientData, write_clients
from bcfl.experiment.clients.engine import EngineSettings, play
from bcfl.experiment.clients.grids import OrderedGrid
from bcfl.experiment.clients.partitions import poison, share_out
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.configuration import RunSettings, build, construct, read_settings
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.market.market_simulation import (
    ContributorSettings,
    FusionEvaluation,
    SimulatedContributor,
    expect_no_ballots,
    shared_verification_set,
)
from bcfl.experiment.recorder import Recorder, merge_rounds
from bcfl.experiment.result import make_result
from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.terminal import Terminal
from bcfl.market.federation.client_app import market_app
from bcfl.strategies import PeerConsensus
from bcfl.strategies.centralised import Centralised
from bcfl.strategies.model_fusion import ModelFusion

__all__ = ["member_app", "run_experiment"]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the configuration says, checked; nothing is loaded yet, so that errors come soon."""

    run: RunSettings
    engine: EngineSettings
    training: TrainingSettings
    attack: Attack
    make_strategy: partial[Strategy]
    contributor: ContributorSettings

    @property
    def rounds(self) -> int:
        """How many there will be: a marketplace buys from every client once."""
        if self.make_strategy.func is ModelFusion:
            return min(self.run.rounds, self.run.clients)
        return self.run.rounds

    @property
    def malicious(self) -> frozenset[int]:
        """The partitions that attack."""
        return self.attack.malicious(self.run.clients)


@dataclass(frozen=True, slots=True)
class _Material:
    """What clients and server work on."""

    images: Images
    shares: list[ClientData]
    verification: list[ClientData]  #: the same shares, before an attack has touched them
    model: ModelSettings


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
        Go on with the peer-consensus task that is in ``folder``.
    grid : Grid, optional
        Of a Flower run that goes on already, whose nodes run :func:`member_app`. Left out:
        the configured engine plays the clients.

    Returns
    -------
    dict
        What ``result.json`` holds.

    Raises
    ------
    BcflError
        The configuration is wrong, or the run came to nothing.
    """
    began = time.monotonic()
    run_folder = RunFolder(folder)
    if not resume:
        run_folder.claim()
    plan = _plan(config)
    material = _load(config, plan)
    if not resume:
        run_folder.write_config(config, choices)
    title = f"{choices['strategy']} on {choices['dataset']}"
    evaluation = (
        FusionEvaluation(material.images)
        if plan.make_strategy.func is ModelFusion
        else CentralEvaluation(material.model, material.images)
    )
    terminal = Terminal(title, plan.rounds)
    recorder = Recorder(run_folder, terminal, evaluation)
    error = ""
    try:
        with terminal:
            _play(plan, material, recorder, resume=resume, grid=grid)
    except BcflError as reason:
        error = str(reason)
        raise
    finally:
        # Also of a run that failed, or was interrupted: what there is of it.
        rounds = merge_rounds(list(run_folder.rounds))
        result = choices | make_result(rounds, plan.malicious, time.monotonic() - began, error)
        if recorder.arrays:
            run_folder.write_model(recorder.arrays)
            run_folder.write_result(result)
    terminal.show(result, folder)
    return result


def _plan(config: DictConfig) -> _Plan:
    run = read_settings(RunSettings, config, "")
    logging.getLogger("flwr").setLevel(run.log_level)
    engine = read_settings(EngineSettings, config.engine, "engine")
    training = read_settings(TrainingSettings, config.training, "training")
    attack: Attack = build(config, "attack")
    make_strategy: partial[Strategy] = build(config, "strategy", _partial_=True)
    contributor = read_settings(ContributorSettings, config.contributor, "contributor")
    if make_strategy.func is ModelFusion:
        expect_no_ballots(attack)
    elif make_strategy.func is not Centralised:
        construct(
            make_strategy, "strategy"
        )  # it checks its own knobs; find out before anything slow
    return _Plan(run, engine, training, attack, make_strategy, contributor)


def _load(config: DictConfig, plan: _Plan) -> _Material:
    fraction = config.partition.validation_fraction
    images: Images = build(config, "dataset")
    shares = share_out(images, build(config.partition, "partitioner"), fraction, plan.run.seed)
    model = read_settings(
        ModelSettings, config.model, "model", shape=images.shape, classes=images.classes
    )
    poisoned = poison(shares, plan.attack, plan.malicious, images.classes)
    return _Material(images, poisoned, shares, model)


def _play(
    plan: _Plan, material: _Material, recorder: Recorder, *, resume: bool, grid: Grid | None
) -> Result:
    strategy = _strategy(plan, material, recorder, resume=resume)
    seed = plan.run.seed

    def serve(grid: Grid) -> Result:
        if not isinstance(strategy, (PeerConsensus, ModelFusion)):
            grid = recorder.weigh(OrderedGrid(grid))
        return strategy.start(
            grid=grid,
            initial_arrays=initial_arrays(material.model, seed),
            num_rounds=plan.run.rounds,
            evaluate_fn=recorder.evaluate,
        )

    if grid is not None:
        return serve(grid)
    # No client takes part in centralised training: an engine would start for nothing.
    engine = EngineSettings("in_process") if isinstance(strategy, Centralised) else plan.engine
    with tempfile.TemporaryDirectory(prefix="bcfl-") as shares:
        write_clients(material.shares, Path(shares))
        app = _client_app(plan, material, Path(shares))
        return play(engine, serve, app, plan.run.clients)


def _strategy(plan: _Plan, material: _Material, recorder: Recorder, *, resume: bool) -> Strategy:
    make = partial(construct, plan.make_strategy, "strategy")
    if plan.make_strategy.func is PeerConsensus:
        return make(on_phase=recorder.on_phase, on_round=recorder.on_round, resume=resume)
    if resume:
        raise ConfigurationError(
            "only strategy=peer_consensus keeps what is needed to go on with a run; begin anew"
        )
    if plan.make_strategy.func is Centralised:
        train = CentralTraining(material.shares, material.model, plan.training, plan.run.seed)
        return make(train=train)
    if plan.make_strategy.func is ModelFusion:
        classes = material.images.classes
        return make(
            verification=shared_verification_set(material.verification, classes, plan.run.seed),
            on_phase=recorder.on_phase,
            on_round=recorder.on_round,
        )
    return make()


def member_app(config: DictConfig, folder: Path) -> ClientApp:
    """The client app of a node that shares out the data for itself, into ``folder``.

    Raises
    ------
    BcflError
        The configuration is wrong, or there is no such data.
    """
    plan = _plan(config)
    material = _load(config, plan)
    write_clients(material.shares, folder)
    return _client_app(plan, material, folder)


def _client_app(plan: _Plan, material: _Material, folder: Path) -> ClientApp:
    """What every client runs, on the shares in ``folder``."""
    seed = plan.run.seed
    if plan.make_strategy.func is ModelFusion:
        return market_app(
            SimulatedContributor(folder, plan.contributor, seed, plan.attack, plan.malicious)
        )
    return build_client_app(Client(folder, material.model, plan.training, seed), _mods(plan))


def _mods(plan: _Plan) -> list[Mod]:
    """The member's own mod outermost, so that what an attack made of an update is committed."""
    attack = AttackMod(plan.attack, plan.malicious, plan.run.seed)
    member = AttackingMember(plan.attack, plan.malicious)
    return [member, attack] if plan.make_strategy.func is PeerConsensus else [attack]
