"""What a run builds around a strategy, hands to it, and reports of it.

A strategy of Flower's own needs what :class:`Scenario` does. One that needs more names a
scenario in its YAML, ``scenario: {_target_: …}``, which overrides what differs.

torch is loaded where something is built, so that a configuration is checked before.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import Strategy
from omegaconf import DictConfig
from pydantic import Field

from bcfl.consensus import MemoryChain
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import ConfigurationError, expect
from bcfl.experiment.attacks import Attack, AttackMod
from bcfl.experiment.attacks.coalition import Coalition
from bcfl.experiment.attacks.mod import AttackingMember
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.engine import EngineSettings
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.configuration import RunSettings, build, in_one_line, read_settings
from bcfl.experiment.datasets.images import Images, vary
from bcfl.experiment.recorder import Evaluation, Recorder

if TYPE_CHECKING:
    from bcfl.experiment.clients.client_app import Client


@dataclass(frozen=True, slots=True)
class ReferenceSettings:
    """See ``conf/config.yaml``."""

    size: Annotated[int, Field(ge=1)]
    patched: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says, checked; nothing is loaded yet, so that errors come soon."""

    config: DictConfig  #: all of it, for what a scenario alone reads
    run: RunSettings
    engine: EngineSettings
    training: TrainingSettings
    attack: Attack
    scenario: Scenario
    strategy: partial[Strategy]  #: the strategy's class, with the values of its group

    def settled(self) -> Plan:
        """The same, with the device that there is: see ``EngineSettings.settled``."""
        return replace(self, engine=self.engine.settled(self.run.clients))

    @property
    def malicious(self) -> frozenset[int]:
        """The partitions that attack."""
        return self.attack.malicious(self.run.clients)

    @property
    def rules(self) -> Rules:
        """How much of a change a client sends: all of it, unless the strategy says less."""
        known = self.strategy.keywords
        names = ("gamma", "warmup_rounds", "gamma_within")
        return Rules(**{"gamma": 1.0, **{name: known[name] for name in names if name in known}})

    @property
    def reference(self) -> ReferenceSettings:
        """What everybody holds, where the rule has a reference set."""
        return read_settings(ReferenceSettings, self.config.reference, "reference")

    def make_strategy(self, **more: Any) -> Strategy:
        """The strategy, given ``more`` than its group holds.

        Raises
        ------
        BcflError
            As the strategy does; ConfigurationError where somebody else's refuses a value.
        """
        try:
            return self.strategy(**more)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"strategy: {in_one_line(error)}") from error


@dataclass(frozen=True, slots=True)
class Material:
    """What clients and server work on."""

    images: Images
    shares: list[ClientData]
    verification: list[ClientData]  #: the same shares, before an attack has touched them
    model: ModelSettings
    reference: ClientData | None = None  #: what everybody holds, where there is such a set


class Scenario:
    """Clients train, the server aggregates: any of Flower's strategies."""

    #: Whether the strategy tells of its rounds, by ``on_phase`` and ``on_round``; a run counts
    #: the traffic of one that does not.
    tells_rounds: ClassVar[bool] = False
    #: Whether the strategy takes ``resume``, and goes on with what is in its folder.
    resumable: ClassVar[bool] = False

    def check(self, plan: Plan) -> None:
        """Refuse, before anything slow, what the strategy would refuse."""
        plan.make_strategy(**self.stand_ins(plan))
        colludes = Coalition(plan.attack, 0, 0).crafts and not plan.attack.alone
        expect(
            plan.engine.kind != "ray" or not colludes,
            "engine",
            "in_process or stacked, where accomplices can share what they know",
            plan.engine.kind,
        )

    def reference_size(self, plan: Plan) -> int:
        """How many images of the train part everybody is to hold."""
        return 0

    def stand_ins(self, plan: Plan) -> dict[str, Any]:
        """What the strategy is checked with before there are data, for :meth:`arguments`."""
        return {}

    def rounds(self, plan: Plan) -> int:
        """How many rounds there will be."""
        return plan.run.rounds

    def engine(self, plan: Plan) -> EngineSettings:
        """Where the clients run."""
        return plan.engine

    def arguments(self, plan: Plan, material: Material) -> dict[str, Any]:
        """What the strategy is given besides the values of its group."""
        return {}

    def evaluation(self, plan: Plan, material: Material) -> Evaluation:
        """What measures the global model after each round."""
        from bcfl.experiment.clients.central import CentralEvaluation  # noqa: PLC0415 - torch

        return CentralEvaluation(material.model, material.images, plan.engine.device)

    def client_app(self, plan: Plan, material: Material, folder: Path) -> ClientApp:
        """What every client runs, on the shares in ``folder``."""
        from bcfl.experiment.clients.client_app import Client, build_client_app  # noqa: PLC0415
        from bcfl.experiment.clients.stacked import StackedClient  # noqa: PLC0415

        kind = StackedClient if plan.engine.kind == "stacked" else Client
        run, device = plan.run, plan.engine.client_device
        client = kind(folder, material.model, plan.training, run.seed, run.clients, device)
        return build_client_app(client, self.mods(plan, client))

    def mods(self, plan: Plan, client: Client) -> list[Mod]:
        """The mods of a client, the first one outermost."""
        return [AttackMod(plan.attack, plan.malicious, client, plan.run.rounds, plan.rules)]

    def strategy(
        self, plan: Plan, material: Material, recorder: Recorder, *, resume: bool
    ) -> Strategy:
        """The strategy, with all that it is given."""
        given = self.arguments(plan, material)
        if self.tells_rounds:
            given |= {"on_phase": recorder.on_phase, "on_round": recorder.on_round}
        if self.resumable:
            given["resume"] = resume
        return plan.make_strategy(**given)


class ConsensusScenario(Scenario):
    """Peer consensus: members commit, and lie in their ballots where the attack says so."""

    tells_rounds = True
    resumable = True

    def check(self, plan: Plan) -> None:
        """As any; and a quorum that the clients can reach."""
        super().check(plan)
        quorum, clients = plan.strategy.keywords.get("quorum", 0), plan.run.clients
        expect(quorum <= clients, "quorum", f"at most clients={clients}", quorum)
        chain = plan.strategy.keywords.get("chain")
        expect(
            plan.engine.kind != "ray" or not isinstance(chain, MemoryChain),
            "engine",
            "in_process or stacked where chain=memory, which no other process can see",
            plan.engine.kind,
        )

    def reference_size(self, plan: Plan) -> int:
        """As ``reference.size`` says, where the rule has a reference set."""
        if not self._refers(plan):
            return 0
        return plan.reference.size

    def stand_ins(self, plan: Plan) -> dict[str, Any]:
        """A reference set, where the rule has one."""
        return {"reference": {"labels": np.zeros(1, np.int64)}} if self._refers(plan) else {}

    def arguments(self, plan: Plan, material: Material) -> dict[str, Any]:
        """The reference set, where the rule has one."""
        if (held := material.reference) is None or not self._refers(plan):
            return {}
        return {"reference": {"images": held.train_images, "labels": held.train_labels}}

    def mods(self, plan: Plan, client: Client) -> list[Mod]:
        """The member's own mod outermost: what an attack made of an update is committed."""
        patches = self._refers(plan) and plan.reference.patched
        member = AttackingMember(
            plan.attack,
            plan.malicious,
            plan.run.rounds,
            client.reference_loss,
            vary if patches else None,
        )
        return [member, *super().mods(plan, client)]

    @staticmethod
    def _refers(plan: Plan) -> bool:
        return plan.strategy.keywords.get("rule") == "referee"


class CentralScenario(Scenario):
    """All data in one place: the server trains by itself."""

    def check(self, plan: Plan) -> None:
        """Nothing: the strategy takes no values."""

    def engine(self, plan: Plan) -> EngineSettings:
        """In this process: no client takes part, and an engine would start for nothing."""
        return EngineSettings("in_process")

    def arguments(self, plan: Plan, material: Material) -> dict[str, Any]:
        """What trains the model."""
        from bcfl.experiment.clients.central import CentralTraining  # noqa: PLC0415 - torch

        seed, device = plan.run.seed, plan.engine.device
        train = CentralTraining(material.shares, material.model, plan.training, seed, device)
        return {"train": train}


def read_plan(config: DictConfig) -> Plan:
    """Check everything that can be checked before data are loaded; Flower logs as asked from here.

    Raises
    ------
    BcflError
        A value is wrong.
    """
    run = read_settings(RunSettings, config, "")
    logging.getLogger("flwr").setLevel(run.log_level)  # its strategies warn while they are made
    asked: partial[Strategy] = build(config, "strategy", _partial_=True)
    values = dict(asked.keywords)
    scenario: Scenario = values.pop("scenario", None) or Scenario()
    expect(isinstance(scenario, Scenario), "strategy.scenario", "a Scenario", repr(scenario))
    plan = Plan(
        config=config,
        run=run,
        engine=read_settings(EngineSettings, config.engine, "engine"),
        training=read_settings(TrainingSettings, config.training, "training"),
        attack=build(config, "attack"),
        scenario=scenario,
        strategy=partial(asked.func, **values),
    )
    scenario.check(plan)
    return plan
