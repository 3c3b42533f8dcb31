"""The experiment's clients as contributors: ``bcfl run strategy=model_fusion``.

The same shares of the same data as for the other strategies. What the clients hold back for
validation, put together, is the task's shared verification set; the central test part stays
out of everything but the final measurement, as for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.clientapp import ClientApp
from torch.nn.functional import cross_entropy

from bcfl.core.errors import expect
from bcfl.core.model import ModelSpec
from bcfl.experiment.attacks import Attack
from bcfl.experiment.attacks.coalition import Coalition
from bcfl.experiment.clients.client_data import ClientData, read_client
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.configuration import read_settings
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.scenario import Material, Plan, Scenario
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import to_arrays
from bcfl.market.federation.client_app import market_app
from bcfl.market.fusion.fused_arrays import fused_from_arrays
from bcfl.market.models.architectures import ARCHITECTURES, shipped_architecture
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.description import Description
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet


@dataclass(frozen=True, slots=True)
class ContributorSettings:
    """What the contributors of a simulation train. See ``conf/contributor``.

    Client k trains ``architectures[k modulo their number]``.
    """

    architectures: tuple[str, ...]
    training: ContributorTraining

    def __post_init__(self) -> None:
        names = ", ".join(ARCHITECTURES)
        known = bool(self.architectures) and set(self.architectures) <= ARCHITECTURES.keys()
        expect(known, "contributor.architectures", f"a list of {names}", self.architectures)


@dataclass(frozen=True, slots=True)
class SimulatedContributor:
    """Trains on one client's share of the data (``client_app.TrainModel``).

    Parameters
    ----------
    folder : Path
        Where ``write_clients`` put every client's share.
    settings : ContributorSettings
    seed : int
        The run's.
    attack : Attack
    malicious : frozenset of int
        The partitions that offer what the attack makes of their models.
    device : str
        On which models are trained: see ``use_device``.
    """

    folder: Path
    settings: ContributorSettings
    seed: int
    attack: Attack
    malicious: frozenset[int]
    device: str = "cpu"

    def __call__(self, context: Context, description: Description) -> TrainedModel:
        """The client's model; the same every time. Raises ModelError where an attack spoils it."""
        partition = int(context.node_config["partition-id"])
        data = read_client(self.folder, partition)
        names = self.settings.architectures
        architecture = shipped_architecture(
            names[partition % len(names)], description.input_shape, description.classes
        )
        seed = derive_seed(self.seed, "contributor", partition)
        trained = train_contributor(
            architecture,
            data.train_images,
            data.train_labels,
            self.settings.training,
            seed,
            description.limits,
            use_device(self.device),
        )
        if partition not in self.malicious:
            return trained
        before = export_model(build_module(architecture, seed), architecture).weights
        spec = ModelSpec.of(before)
        base = spec.flatten(before)
        own = {partition: spec.flatten(trained.weights) - base}
        coalition = Coalition(self.attack, self.seed, rounds=1)
        change = coalition.send(1, base, own, list, spec.n, lambda _: [])[partition]
        return TrainedModel(architecture, spec.unflatten(base + change, before))


def shared_verification_set(
    shares: Sequence[ClientData], classes: int, seed: int
) -> VerificationSet:
    """All that the clients hold back for validation, as one set.

    Raises
    ------
    ConfigurationError
        A class is not in it twice; a larger ``partition.validation_fraction`` helps.
    """
    return VerificationSet(
        np.concatenate([share.validation_images for share in shares]),
        np.concatenate([share.validation_labels for share in shares]),
        classes,
        seed=derive_seed(seed, "verification parts"),
    )


@dataclass(frozen=True, slots=True)
class FusionEvaluation:
    """Flower's ``evaluate_fn``: loss and accuracy of the fused model on the central test part."""

    images: Images

    def __call__(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        """Measure; ``accuracy`` in [0, 1], ``loss`` in nats."""
        fused = fused_from_arrays(to_arrays(arrays))
        logits = torch.from_numpy(fused.logits(self.images.test_images))
        labels = torch.from_numpy(self.images.test_labels)
        accuracy = float((logits.argmax(1) == labels).double().mean())
        return MetricRecord({"loss": float(cross_entropy(logits, labels)), "accuracy": accuracy})


class MarketScenario(Scenario):
    """Every client sells one model, and judges those of others."""

    tells_rounds = True
    resumable = True

    def check(self, plan: Plan) -> None:
        """Refuse what the contributors cannot do, who do not vote, nor know each other's models."""
        _contributors(plan)
        attack, kind = plan.attack, type(plan.attack).__name__
        honest = attack.ballots == "honest"
        expect(honest, "attack", "one without ballots for strategy=model_fusion", kind)
        alone = attack.alone or not Coalition(attack, 0, 1).crafts
        expect(alone, "attack", "one that knows nobody's model for strategy=model_fusion", kind)

    def rounds(self, plan: Plan) -> int:
        """One model is bought from every client."""
        return min(plan.run.rounds, plan.run.clients)

    def arguments(self, plan: Plan, material: Material) -> dict[str, Any]:
        """What models are judged on: see :func:`shared_verification_set`."""
        classes, seed = material.images.classes, plan.run.seed
        return {"verification": shared_verification_set(material.verification, classes, seed)}

    def evaluation(self, plan: Plan, material: Material) -> FusionEvaluation:
        """Of the fused model."""
        return FusionEvaluation(material.images)

    def client_app(self, plan: Plan, material: Material, folder: Path) -> ClientApp:
        """A contributor and verifier, with the client's share of the data."""
        contributor = SimulatedContributor(
            folder,
            _contributors(plan),
            plan.run.seed,
            plan.attack,
            plan.malicious,
            plan.engine.client_device,
        )
        return market_app(contributor)


def _contributors(plan: Plan) -> ContributorSettings:
    config = plan.config.contributor
    training = read_settings(ContributorTraining, config, "contributor")
    return ContributorSettings(tuple(config.architectures), training)
