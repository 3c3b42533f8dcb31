"""Nodes that leave, and members whose app reports what nobody can average: the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, MessageType, MetricRecord, RecordDict

from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy


class Leaving(InProcessGrid):
    """The fourth node leaves for good once a round is over."""

    def __init__(self, records: list[RoundRecord]) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), 4)
        self._records = records

    def deliver(self, message: Message, context: Context) -> Message | None:
        if self._records and context.node_config["partition-id"] == 3:
            self.contexts.pop(context.node_id, None)
            return None
        return super().deliver(message, context)


def test_who_is_there_evaluates_and_who_has_left_is_not_waited_for(tmp_path: Path) -> None:
    """Flower samples once as many nodes are connected as there were at first: for ever."""
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path,
        chain=MemoryChain(),
        on_round=records.append,
        min_available_nodes=4,
    )
    result = strategy.start(Leaving(records), toy.initial_arrays(), num_rounds=3, timeout=20)
    assert [len(record.committed) for record in records] == [4, 3, 3]
    assert set(result.evaluate_metrics_clientapp) == {1, 2, 3}
    assert strategy._fedavg.min_available_nodes == 4


class Odd(InProcessGrid):
    """The third node's evaluate reports ``metrics``."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), 3)
        self._metrics = metrics

    def deliver(self, message: Message, context: Context) -> Message | None:
        reply = super().deliver(message, context)
        assert reply is not None
        evaluates = message.metadata.message_type == MessageType.EVALUATE
        plain = evaluates and "bcfl" not in message.content and not reply.has_error()
        if plain and context.node_config["partition-id"] == 2:
            reply.content = RecordDict({"metrics": MetricRecord(self._metrics)})
        return reply


@pytest.mark.parametrize(
    "metrics",
    [
        {"eval_loss": 1.0, "eval_acc": 0.5, "num-examples": 0},
        {"eval_loss": [1.0, 2.0], "eval_acc": 0.5, "num-examples": 60},
        {"eval_loss": 1.0, "eval_acc": 0.5, "f1": 0.4, "num-examples": 60},
        {"eval_loss": 1.0, "num-examples": 60},
    ],
)
def test_odd_metrics_are_left_out_by_name_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, metrics: dict[str, Any]
) -> None:
    caplog.set_level("WARNING", logger="flwr")
    strategy = PeerConsensus(run_dir=tmp_path, chain=MemoryChain(), min_available_nodes=3)
    result = strategy.start(Odd(metrics), toy.initial_arrays(), num_rounds=1)
    assert set(result.evaluate_metrics_clientapp[1]) == {"eval_loss", "eval_acc"}
    assert "member 2's metrics are left out" in caplog.text
