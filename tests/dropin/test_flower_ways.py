"""What else Flower's apps do: samples, names, keys, state, and strategies within ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    Strategy,
)

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from tests import toy

CLIENTS = 3


def renaming_app(
    keys: dict[str, str], metrics: dict[str, str], arrays: str = "arrays", config: str = "config"
) -> ClientApp:
    """The toy's app under other names; counts in ``context.state`` how often it trained."""
    inner = toy.client_app()
    app = ClientApp(mods=[peer_consensus_mod])

    def call(message: Message, context: Context) -> RecordDict:
        assert set(message.content) == {arrays, config}
        record = message.content.array_records[arrays]
        assert list(record) == list(keys)
        plain = {number: record[key] for key, number in keys.items()}
        message.content = RecordDict(
            {"arrays": ArrayRecord({number: plain[number] for number in sorted(plain)})}
        )
        content = inner(message, context).content
        (found,) = content.metric_records.values()
        named = MetricRecord({metrics.get(name, name): value for name, value in found.items()})
        return RecordDict({"measured": named, **dict(content.array_records)})

    @app.train()
    def train(message: Message, context: Context) -> Message:
        count = context.state.config_records.get("mine") or ConfigRecord({"trained": 0})
        count["trained"] = int(str(count["trained"])) + 1
        context.state["mine"] = count
        content = call(message, context)
        by_number = content.array_records.pop("arrays")
        content[arrays] = ArrayRecord({key: by_number[number] for key, number in keys.items()})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(call(message, context), reply_to=message)

    return app


def named_arrays(keys: dict[str, str]) -> ArrayRecord:
    """The toy's zeros under other names, in the order of ``keys``."""
    zeros = toy.initial_arrays()
    return ArrayRecord({key: zeros[number] for key, number in keys.items()})


def play(
    folder: Path, app: ClientApp, arrays: ArrayRecord, rounds: int = 1, **options: Any
) -> tuple[Any, list[RoundRecord], InProcessGrid]:
    records: list[RoundRecord] = []
    grid = InProcessGrid(app, CLIENTS)
    chain = MemoryChain()
    strategy = PeerConsensus(run_dir=folder, chain=chain, on_round=records.append, **options)
    return strategy.start(grid, arrays, num_rounds=rounds), records, grid


@pytest.mark.parametrize(
    "keys",
    [
        {"layer.weight": "0", "layer.bias": "1"},
        {"bias": "1", "weight": "0"},
        {"z": "0", "a": "1"},
        {"10": "0", "9": "1"},
    ],
)
def test_arrays_keep_their_names_and_their_order(tmp_path: Path, keys: dict[str, str]) -> None:
    app = renaming_app(keys, {})
    result, records, _ = play(tmp_path, app, named_arrays(keys), gamma=0.5)
    assert list(result.arrays) == list(keys)
    assert records[-1].voted == (0, 1, 2)


@pytest.mark.parametrize(
    ("names", "metric"),
    [
        ({"eval_loss": "cross_entropy_loss"}, None),
        ({"eval_loss": "brier", "eval_acc": "top1_accuracy"}, None),
        ({"eval_loss": "brier"}, "-brier"),
        ({"eval_loss": "x", "eval_acc": "f1"}, "f1"),
    ],
)
def test_metrics_may_have_any_name(
    tmp_path: Path, names: dict[str, str], metric: str | None
) -> None:
    keys = {"w": "0", "b": "1"}
    app = renaming_app(keys, names)
    _, records, _ = play(tmp_path, app, named_arrays(keys), metric=metric, gamma=0.5)
    assert all(len(row) == CLIENTS - 1 for row in records[-1].ballots.values())


def test_records_may_have_any_name(tmp_path: Path) -> None:
    keys = {"w": "0", "b": "1"}
    app = renaming_app(keys, {}, arrays="model", config="settings")
    names = {"arrayrecord_key": "model", "configrecord_key": "settings"}
    _, records, _ = play(tmp_path, app, named_arrays(keys), **names)
    assert records[-1].voted == (0, 1, 2)


def test_what_the_app_keeps_in_its_state_is_there_in_the_next_round(tmp_path: Path) -> None:
    keys = {"w": "0", "b": "1"}
    _, _, grid = play(tmp_path, renaming_app(keys, {}), named_arrays(keys), rounds=2)
    kept = [context.state["mine"]["trained"] for context in grid.contexts.values()]
    assert kept == [2] * CLIENTS


def test_half_of_the_members_train_and_nobody_evaluates(tmp_path: Path) -> None:
    options = {"fraction_train": 0.5, "fraction_evaluate": 0.0}
    app = toy.client_app([peer_consensus_mod])
    seen: list[int] = []
    records: list[RoundRecord] = []
    chain = MemoryChain()
    strategy = PeerConsensus(run_dir=tmp_path, chain=chain, on_round=records.append, **options)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        seen.append(number)
        return MetricRecord({"n": len(arrays)})

    result = strategy.start(
        InProcessGrid(app, CLIENTS), toy.initial_arrays(), num_rounds=2, evaluate_fn=evaluate
    )
    assert [len(record.committed) for record in records] == [2, 2]
    assert all(record.voted == record.committed for record in records)
    assert not result.evaluate_metrics_clientapp
    assert seen == sorted(result.evaluate_metrics_serverapp) == [0, 1, 2]


INNER: dict[str, Strategy] = {
    "FedAvg": FedAvg(min_available_nodes=CLIENTS),
    "FedAdam": FedAdam(min_available_nodes=CLIENTS, eta=0.3, tau=0.1),
    "FedAvgM": FedAvgM(min_available_nodes=CLIENTS, server_momentum=0.5),
    "FedTrimmedAvg": FedTrimmedAvg(min_available_nodes=CLIENTS),
    "FedMedian": FedMedian(min_available_nodes=CLIENTS),
    "Krum": Krum(min_available_nodes=CLIENTS, num_malicious_nodes=0),
    # A wrapper, not derived from FedAvg: the one within samples.
    "DifferentialPrivacy": DifferentialPrivacyServerSideFixedClipping(
        FedAvg(min_available_nodes=CLIENTS), 0.0, 5.0, 2
    ),
}


@pytest.mark.parametrize("name", INNER)
def test_the_winners_can_be_aggregated_by_any_of_flowers_strategies(
    tmp_path: Path, name: str
) -> None:
    app = toy.client_app([peer_consensus_mod])
    result, records, _ = play(
        tmp_path, app, toy.initial_arrays(), rounds=2, inner=INNER[name], gamma=1
    )
    assert [len(record.winners) for record in records] == [2, 2]
    weights = result.arrays.to_numpy_ndarrays()
    assert all(array.dtype == np.float32 for array in weights)
    accuracies = [toy.loss_and_accuracy(weights, i)[1] for i in range(CLIENTS)]
    assert float(np.mean(accuracies)) > 0.8
