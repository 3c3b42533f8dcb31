"""The experiment's clients as contributors: ``bcfl run strategy=model_fusion``.

The same shares of the same data as for the other strategies. What the clients hold back for
validation, put together, is the task's shared verification set; the central test part stays
out of everything but the final measurement, as for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from torch.nn.functional import cross_entropy

from bcfl.core.errors import expect
from bcfl.experiment.attacks import Attack
from bcfl.experiment.clients.client_data import ClientData, read_client
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import to_arrays
from bcfl.market.fusion.fused_arrays import fused_from_arrays
from bcfl.market.models.architectures import ARCHITECTURES, shipped_architecture
from bcfl.market.models.build import build_module, export_model
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.description import Description
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet

__all__ = [
    "ContributorSettings",
    "FusionEvaluation",
    "SimulatedContributor",
    "expect_no_ballots",
    "shared_verification_set",
]


@dataclass(frozen=True, slots=True)
class ContributorSettings:
    """What the contributors of a simulation train. See ``conf/contributor``.

    Client k trains ``architectures[k modulo their number]``.
    """

    architectures: tuple[str, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    def __post_init__(self) -> None:
        names = ", ".join(ARCHITECTURES)
        known = bool(self.architectures) and set(self.architectures) <= ARCHITECTURES.keys()
        expect(known, "contributor.architectures", f"a list of {names}", self.architectures)
        self.training()

    def training(self) -> ContributorTraining:
        """As the training takes them; raises ConfigurationError where one is out of range."""
        return ContributorTraining(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay
        )


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
    """

    folder: Path
    settings: ContributorSettings
    seed: int
    attack: Attack
    malicious: frozenset[int]

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
            self.settings.training(),
            seed,
            description.limits,
        )
        if partition not in self.malicious:
            return trained
        before = export_model(build_module(architecture, seed), architecture).weights
        rng = np.random.default_rng(derive_seed(self.seed, "attack", partition))
        return TrainedModel(architecture, self.attack.update(before, trained.weights, rng))


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


def expect_no_ballots(attack: Attack) -> None:
    """Refuse an attack on ballots, which a marketplace has not.

    Raises
    ------
    ConfigurationError
        The attack lies in ratings.
    """
    lies = type(attack).ratings is not Attack.ratings
    expect(
        not lies, "attack", "one without ballots for strategy=model_fusion", type(attack).__name__
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
