"""Apps whose model is bytes, as Flower's XGBoost example: one line of client and of server.

Boosters are made by hand, as JSON of the same form, so that nothing needs XGBoost; ``make apps``
runs the real one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.audit.audit import audit_run
from bcfl.audit.findings import SERVER
from bcfl.consensus import MemoryChain
from bcfl.consensus.contract.events import Selected
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ConfigurationError, ModelError
from bcfl.flower.grid import InProcessGrid
from tests.consensus.spec.boosters import as_array, booster, leaves_of
from tests.strategies.test_resume import Killed

CLIENTS, MALICIOUS = 5, 3
TARGET = 8.0  #: what every client would have the sum of the trees be, give or take


def client_app(mods: list[Any]) -> ClientApp:
    """Each round a tree that takes the sum a quarter of the way to the client's own target."""
    app = ClientApp(mods=mods)

    def target(context: Context) -> float:
        return TARGET + 0.1 * int(context.node_config["partition-id"])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        trees = leaves_of(message.content["arrays"]["0"].numpy())
        leaf = (target(context) - sum(trees)) / 4
        if context.node_config["partition-id"] == MALICIOUS:
            leaf *= -50
        arrays = ArrayRecord([as_array(booster(leaf))])  # the new tree alone, as the example has it
        metrics = MetricRecord({"num-examples": 10})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        error = abs(target(context) - sum(leaves_of(message.content["arrays"]["0"].numpy())))
        metrics = MetricRecord({"rmse": error, "num-examples": 10})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def first_model() -> ArrayRecord:
    return ArrayRecord([np.frombuffer(b"", np.uint8)])


def play(folder: Path, rounds: int = 2, **options: Any) -> tuple[list[float], list[RoundRecord]]:
    """The leaves of the last model, and the rounds."""
    records: list[RoundRecord] = []
    chosen = {"update": "whole", "metric": "-rmse", "run_dir": folder, **options}
    strategy = PeerConsensus(on_round=records.append, **chosen)
    grid = InProcessGrid(client_app([peer_consensus_mod]), CLIENTS)
    result = strategy.start(grid, first_model(), rounds)
    return leaves_of(result.arrays["0"].numpy()), records


def expect_honest(records: list[RoundRecord]) -> None:
    for record in records:
        assert record.committed == record.voted == tuple(range(CLIENTS))
        assert len(record.winners) == 3
        assert MALICIOUS not in record.winners
        assert not record.left_out
        assert not record.rejected


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], list[RoundRecord]]:
    folder = tmp_path_factory.mktemp("trees")
    return folder, *play(folder, combine="bagging", encrypt=True)


def test_bagging_takes_the_trees_of_the_honest(
    run: tuple[Path, list[float], list[RoundRecord]],
) -> None:
    folder, leaves, records = run
    expect_honest(records)
    assert len(leaves) == 2 * 3
    blobs = [path.read_bytes() for path in (folder / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 1 + 2 * CLIENTS
    assert not any(b"leaf" in blob for blob in blobs), "sealed to the members"


def test_an_audit_makes_every_model_anew(
    run: tuple[Path, list[float], list[RoundRecord]],
) -> None:
    report = audit_run(run[0])
    assert not report.findings
    assert report.recomputed == {1, 2}


def test_flowers_strategy_inside_comes_to_the_same(
    tmp_path: Path, run: tuple[Path, list[float], list[RoundRecord]]
) -> None:
    leaves, records = play(tmp_path, inner=FedXgbBagging(), chain=MemoryChain(seed=0))
    expect_honest(records)
    assert leaves == run[1]


def test_a_killed_server_goes_on_to_the_same_model(
    tmp_path: Path, run: tuple[Path, list[float], list[RoundRecord]]
) -> None:
    def die(number: int, phase: str) -> None:
        if (number, phase) == (2, "aggregate"):
            raise Killed

    options = {"combine": "bagging", "encrypt": True, "chain": MemoryChain(seed=0)}
    with pytest.raises(Killed):
        play(tmp_path, on_phase=die, **options)
    leaves, records = play(tmp_path, resume=True, **options)
    assert leaves == run[1]
    assert [r.model for r in records] == [r.model for r in run[2]]


def test_an_audit_finds_a_server_that_takes_another_than_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TakesTheWorst(Coordinator):
        def _winning_sets(self, selected: Selected) -> list[dict[int, Any]]:
            (winners,) = super()._winning_sets(selected)
            return [dict(reversed(winners.items()))]

    monkeypatch.setattr("bcfl.consensus.server.session.Coordinator", TakesTheWorst)
    _, (record,) = play(tmp_path, rounds=1)
    worst = min(record.winners, key=lambda member: record.scores[member])
    (finding,) = audit_run(tmp_path).findings
    assert (finding.kind, finding.culprit) == ("model", SERVER)
    assert finding.found.endswith(f"which is made of member {worst} alone")


def test_without_bagging_the_best_reply_is_the_next_model(tmp_path: Path) -> None:
    """And what a client grows from it is up to the app."""
    leaves, records = play(tmp_path, rounds=1, chain=MemoryChain(seed=0))
    (record,) = records
    best = max(record.winners, key=lambda member: record.scores[member])
    assert leaves == [(TARGET + 0.1 * best) / 4]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^gamma: expected nothing with update='whole'"):
        PeerConsensus(update="whole", gamma=0.1)
    with pytest.raises(ConfigurationError, match=r'write PeerConsensus\(update="whole", inner=Fed'):
        PeerConsensus(inner=FedXgbBagging())
    with pytest.raises(ConfigurationError, match=r'one node a round.*PeerConsensus\(update="who'):
        PeerConsensus(update="whole", inner=FedXgbCyclic())
    with pytest.raises(ModelError, match=r"'0' of shape \(0,\), uint8.*update='whole'"):
        play(tmp_path, update="delta")
