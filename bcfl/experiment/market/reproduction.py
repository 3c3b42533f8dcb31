"""The article's experiment: contributors with a part of the data each, fused one by one.

MNIST, 10 classes, five contributors with a three-layer CNN each. PROTOCOL, System B,
"Experiment to reproduce"; arXiv 1807.02515, figs. 5 and 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import cycle, islice
from typing import Literal

from hydra.utils import instantiate
from omegaconf import OmegaConf

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.partitioners import Partitioner
from bcfl.experiment.clients.partitions import share_out
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.seeds import derive_seed
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.features import ModelOutputs, model_outputs
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet

#: How the training data are shared out.
PARTITIONS = ("iid", "dirichlet", "shards")
_STRATEGIES: tuple[Literal["I", "II"], ...] = ("I", "II")
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. Contributor k trains ``architectures[k modulo their number]``."""

    contributors: int = 5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    partitions: tuple[str, ...] = PARTITIONS
    architectures: tuple[str, ...] = ("cnn",)
    training: ContributorTraining = field(default_factory=ContributorTraining)
    fusion: FusionSettings = field(default_factory=FusionSettings)


@dataclass(frozen=True, slots=True)
class Trial:
    """One partition and seed. Lists are by contributor, in joining order; accuracies in [0, 1].

    All but ``own_validation`` are on the measuring part of the verification set.
    """

    partition: str
    seed: int
    samples: list[int]  #: that each contributor has
    own_validation: list[float]  #: fig. 5: on validation data of the contributor's own
    alone: list[float]  #: each model by itself
    fused: dict[str, list[float]]  #: fig. 6: by strategy, with the first 1, 2, … models
    without: float  #: the first architecture, trained on the fusion part and nothing else


def run_trials(images: Images, plan: Plan) -> Iterator[Trial]:
    """Every partition of the plan with every seed."""
    for partition in plan.partitions:
        for seed in plan.seeds:
            yield run_trial(images, partition, seed, plan)


def run_trial(images: Images, partition: str, seed: int, plan: Plan) -> Trial:
    """Share out, train, fuse and measure.

    The test part of ``images`` is the shared verification set; the seed decides everything
    else: shares, initial weights, order, and which half of the set is measured on.
    """
    shares = share_out(images, _partitioner(partition, seed, plan), _VALIDATION_SHARE, seed)
    verification = VerificationSet(
        images.test_images, images.test_labels, images.classes, seed=derive_seed(seed, "parts")
    )
    names = list(islice(cycle(plan.architectures), plan.contributors))
    models = [
        _train(name, share, images, plan, derive_seed(seed, "contributor", index))
        for index, (name, share) in enumerate(zip(names, shares, strict=True))
    ]
    outputs = [outputs_for_task(model, verification) for model in models]
    fusion_part, measuring_part = verification.parts()
    labels = verification.labels[measuring_part]
    here = ClientData(
        verification.samples[fusion_part],
        verification.labels[fusion_part],
        verification.samples[measuring_part],
        labels,
    )
    without = _train(names[0], here, images, plan, derive_seed(seed, "without"))
    return Trial(
        partition,
        seed,
        samples=[len(share.train_labels) for share in shares],
        own_validation=[_own_accuracy(*each) for each in zip(models, shares, strict=True)],
        alone=[float((output.predictions[measuring_part] == labels).mean()) for output in outputs],
        fused={
            strategy: _accuracies(
                models, outputs, verification, replace(plan.fusion, strategy=strategy)
            )
            for strategy in _STRATEGIES
        },
        without=_own_accuracy(without, here),
    )


def _accuracies(
    models: list[TrainedModel],
    outputs: list[ModelOutputs],
    verification: VerificationSet,
    settings: FusionSettings,
) -> list[float]:
    fused, accuracies = FusedModel(), []
    for model, output in zip(models, outputs, strict=True):
        fused = fused.join(model, output, verification, settings)
        accuracies.append(fused.accuracy)
    return accuracies


def _train(name: str, share: ClientData, images: Images, plan: Plan, seed: int) -> TrainedModel:
    architecture = shipped_architecture(name, images.shape, images.classes)
    return train_contributor(
        architecture, share.train_images, share.train_labels, plan.training, seed
    )


def _own_accuracy(model: TrainedModel, share: ClientData) -> float:
    outputs = model_outputs(model, share.validation_images)
    return float((outputs.predictions == share.validation_labels).mean())


def _partitioner(name: str, seed: int, plan: Plan) -> Partitioner:
    """As ``bcfl run partition=…`` has it."""
    if name not in PARTITIONS:
        raise ConfigurationError(
            f"partition: expected one of {', '.join(PARTITIONS)}; found {name!r}"
        )
    values = OmegaConf.create(files("bcfl.conf").joinpath(f"partition/{name}.yaml").read_text())
    config = OmegaConf.merge({"clients": plan.contributors, "seed": seed}, values)
    partitioner: Partitioner = instantiate(config.partitioner)
    return partitioner
