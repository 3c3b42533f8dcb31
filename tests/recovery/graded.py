"""A task without ties: the further a member trains, the better, so that every run has one end.

Equal points are decided by the hash of a block, which differs where blocks do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bcfl.chain.chain import Chain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy

MEMBERS, ROUNDS = 3, 3


def app() -> ClientApp:
    """As the toy's; member i takes 1 + i steps."""
    graded = ClientApp(mods=[peer_consensus_mod])
    plain = toy.client_app()

    @graded.train()
    def train(message: Message, context: Context) -> Message:
        weights = message.content["arrays"].to_numpy_ndarrays()
        me = int(context.node_config["partition-id"])
        x, y = toy.points(me)
        for _ in range(1 + me):
            residual = toy.probabilities(weights, x) - np.eye(toy.CLASSES, dtype=np.float32)[y]
            weights = [
                (weights[0] - 0.1 * x.T @ residual / len(y)).astype(np.float32),
                (weights[1] - 0.1 * residual.mean(axis=0)).astype(np.float32),
            ]
        content = {
            "arrays": ArrayRecord(weights),
            "metrics": MetricRecord({"train_loss": 0.0, "num-examples": len(y)}),
        }
        return Message(RecordDict(content), reply_to=message)

    graded.evaluate()(lambda message, context: plain(message, context))
    return graded


def play(
    folder: Path,
    chain: Chain,
    node_configs: list[dict[str, Any]] | None = None,
    **options: Any,
) -> list[RoundRecord]:
    """Begin the task in ``folder``, or go on with it; the records of all rounds."""
    records: list[RoundRecord] = []
    chosen = {
        "clip": "none",
        "gamma": 1.0,
        "min_available_nodes": MEMBERS,
        "fraction_evaluate": 0.0,
        "commit_window_s": 60,
        "ballot_window_s": 60,
        "on_round": records.append,
    }
    strategy = PeerConsensus(run_dir=folder, chain=chain, resume=True, **(chosen | options))
    grid = InProcessGrid(app(), MEMBERS)
    for context in grid.contexts.values():
        partition = int(context.node_config["partition-id"])
        context.node_config.update((node_configs or [{}] * MEMBERS)[partition])
    strategy.start(grid, toy.initial_arrays(), num_rounds=ROUNDS)
    return records


def expect_untied(records: list[RoundRecord]) -> list[str]:
    """The models of these rounds, which nothing but the ballots decided."""
    for record in records:
        assert len(set(record.scores.values())) == MEMBERS, record.scores
    return [record.model for record in records]
