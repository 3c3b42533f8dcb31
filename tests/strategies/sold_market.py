"""Three nodes that sell models of a few digits each: a market as small as one can be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flwr.app import Context
from omegaconf import OmegaConf

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.market.market_simulation import FusionEvaluation
from bcfl.experiment.recorder import Recorder, make_result, merge_rounds
from bcfl.experiment.run_folder import RunFolder
from bcfl.flower.grid import InProcessGrid
from bcfl.market.federation.client_app import market_app
from bcfl.market.models.architectures import mlp
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.description import Description
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet
from bcfl.strategies import ModelFusion
from tests.audit.runs import Silence

NODES = 3
KNOBS = {"seats": 2, "quorum": 1, "mafr": 0.3, "redraws": 1}
TARGET = {"_target_": "bcfl.strategies.ModelFusion"}
CONFIG = {
    "dataset": {"_target_": "bcfl.experiment.load_digits", "test_fraction": 1 / 3},
    "model": {"kind": "mlp", "widths": [32]},
}


@cache
def digits() -> Images:
    return load_digits(1 / 3)


@cache
def _model(partition: int) -> TrainedModel:
    images, rows = digits(), slice(partition, 300, NODES)
    return train_contributor(
        mlp(images.shape, 10),
        images.train_images[rows],
        images.train_labels[rows],
        ContributorTraining(epochs=5),
        seed=partition,
    )


def train(context: Context, description: Description) -> TrainedModel:
    return _model(int(context.node_config["partition-id"]))


def play(
    folder: Path,
    *,
    chain: EmbeddedChain | None = None,
    grid: InProcessGrid | None = None,
    rounds: int = 2,
    resume: bool = False,
    knobs: Mapping[str, Any] = KNOBS,
) -> Path:
    """Play a market, or go on with one, and leave its folder as ``bcfl run`` does."""
    images, written = digits(), RunFolder(folder)
    recorder = Recorder(written, Silence(), FusionEvaluation(images))
    if not resume:
        named = {"run_dir": str(folder), **CONFIG, "strategy": {**TARGET, **knobs}}
        choices = {"strategy": "model_fusion", "dataset": "digits"}
        written.write_config(OmegaConf.create(named), choices)
    strategy = ModelFusion(
        verification=VerificationSet(images.test_images[:200], images.test_labels[:200], 10),
        chain=chain or EmbeddedChain(folder / "chain.jsonl"),
        run_dir=folder,
        on_round=recorder.on_round,
        min_available_nodes=NODES,
        resume=resume,
        **knobs,
    )
    grid = grid or InProcessGrid(market_app(train), NODES)
    strategy.start(grid, num_rounds=rounds, evaluate_fn=recorder.evaluate)
    written.write_model(recorder.arrays)
    told = {"strategy": "model_fusion", "dataset": "digits", "asked": rounds, "planned": rounds}
    written.write_result(told | make_result(merge_rounds(list(written.rounds)), (), 1.0))
    return folder
