"""A small market: digits, three contributors with an architecture and two fifths of the classes
each, and one who has a bit of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.architectures import shipped_architecture
from bcfl.market.models.features import ModelOutputs
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet

TRAINING = ContributorTraining(epochs=20, batch_size=16)


@dataclass(frozen=True)
class Market:
    """What the tests buy and sell; nothing in it is ever changed."""

    images: Images
    verification: VerificationSet
    models: tuple[TrainedModel, ...]
    outputs: tuple[ModelOutputs, ...]

    @property
    def fusion_labels(self) -> NDArray[np.int64]:
        return self.verification.labels[self.verification.parts()[0]]

    @property
    def on_fusion_part(self) -> list[ModelOutputs]:
        return [each.at(self.verification.parts()[0]) for each in self.outputs]


def fuse_models(
    models: Sequence[TrainedModel], verification: VerificationSet, settings: FusionSettings
) -> FusedModel:
    """Let ``models`` join one after the other, as verifiers and the initiator do."""
    fused = FusedModel()
    for model in models:
        outputs = outputs_for_task(model, verification)
        fused = fused.join(model, outputs, verification, settings)
    return fused


def without_data(verification: VerificationSet, seed: int) -> TrainedModel:
    """By somebody who has nothing but the public part of the verification set."""
    architecture = shipped_architecture("mlp", verification.input_shape, verification.classes)
    fusion, _ = verification.split()
    return train_contributor(architecture, *fusion, ContributorTraining(epochs=40), seed)


@pytest.fixture(scope="session")
def market(together: Path) -> Market:
    """Trained by one of the suite's processes, for all of them."""
    kept = together / "market.joblib"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            joblib.dump(_train(), kept)
        found: Market = joblib.load(kept)
    return found


def _train() -> Market:
    images = load_digits(1 / 3)
    verification = VerificationSet(images.test_images, images.test_labels, 10, seed=3)
    rows = np.arange(len(images.train_labels))
    shares = [
        ("cnn", rows[(images.train_labels < 4) & (rows % 2 == 0)]),
        ("mlp", rows[(images.train_labels >= 3) & (images.train_labels < 7)]),
        ("deep_cnn", rows[images.train_labels >= 6]),
        ("cnn", rows[rows % 4 == 1]),
    ]
    models = tuple(
        train_contributor(
            shipped_architecture(name, images.shape, 10),
            images.train_images[share],
            images.train_labels[share],
            TRAINING,
            seed=index,
        )
        for index, (name, share) in enumerate(shares)
    )
    outputs = tuple(outputs_for_task(model, verification) for model in models)
    return Market(images, verification, models, outputs)
