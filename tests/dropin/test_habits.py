"""What users of Flower write who have read no line of bcfl's pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Result

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.flower.grid import InProcessGrid
from tests import toy

CLIENTS = 3
Handler = Callable[[Message, Context], Message]
_TOY = toy.client_app()


def handler(message: Message, context: Context) -> Message:
    """The toy's own."""
    return _TOY(message, context)


def client_app(train: Handler = handler, evaluate: Handler = handler) -> ClientApp:
    app = ClientApp(mods=[peer_consensus_mod])
    app.train()(train)
    app.evaluate()(evaluate)
    return app


def strategy(folder: Path, **options: Any) -> PeerConsensus:
    return PeerConsensus(run_dir=folder / "run", **{"chain": MemoryChain(), **options})


def run(server: ServerApp, grid: Grid) -> None:
    server(grid, Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={}))


@pytest.mark.parametrize("chain", [MemoryChain(), None], ids=["one chain", "a chain each"])
def test_a_server_app_that_tries_one_learning_rate_after_the_other(
    tmp_path: Path, chain: MemoryChain | None
) -> None:
    """No client takes one task for another, which is at the same address of a chain of its own."""
    seen: list[float] = []
    results: dict[float, np.ndarray] = {}

    def train(message: Message, context: Context) -> Message:
        lr = float(str(message.content["config"]["lr"]))
        seen.append(lr)
        before = message.content["arrays"].to_numpy_ndarrays()
        reply = handler(message, context)
        after = reply.content["arrays"].to_numpy_ndarrays()
        scaled = [b + np.float32(lr) * (a - b) for a, b in zip(after, before, strict=True)]
        reply.content["arrays"] = ArrayRecord(scaled)
        return reply

    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        plain = FedAvg().start(grid, toy.initial_arrays(), 1, train_config=ConfigRecord({"lr": 1}))
        for lr in (0.5, 1.0):
            config = ConfigRecord({"lr": lr})
            ours = strategy(tmp_path / str(lr), chain=chain or MemoryChain())
            result = ours.start(grid, plain.arrays, 1, train_config=config)
            results[lr] = result.arrays.to_numpy_ndarrays()[0]

    run(server, InProcessGrid(client_app(train), CLIENTS))
    assert seen == [1.0] * CLIENTS + [0.5] * CLIENTS + [1.0] * CLIENTS
    assert not np.array_equal(results[0.5], results[1.0])


def test_a_server_app_with_a_loop_of_its_own_and_queries(tmp_path: Path) -> None:
    """Around ours, not derived from it; nodes are asked for their sizes before and after."""
    app = client_app()

    @app.query("size")
    def size(message: Message, context: Context) -> Message:
        points, _ = toy.points(int(context.node_config["partition-id"]))
        return Message(RecordDict({"size": MetricRecord({"n": len(points)})}), reply_to=message)

    @app.evaluate("shape")
    def shape(message: Message, context: Context) -> Message:
        kinds = sorted(message.content)
        return Message(RecordDict({"seen": ConfigRecord({"kinds": kinds})}), reply_to=message)

    server = ServerApp()
    sizes: list[Any] = []
    kinds: list[Any] = []
    accuracies: list[float] = []

    def ask(grid: Grid, kind: str) -> list[RecordDict]:
        nodes = list(grid.get_node_ids())
        content = RecordDict({"arrays": toy.initial_arrays(), "mine": ConfigRecord({"a": 1})})
        messages = [Message(content, node, kind) for node in nodes]
        return [reply.content for reply in grid.send_and_receive(messages)]

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        arrays, ours = toy.initial_arrays(), strategy(tmp_path)
        sizes.extend(reply["size"]["n"] for reply in ask(grid, "query.size"))
        with ours.task_of(grid, arrays):
            for number in (1, 2):
                messages = ours.configure_train(number, arrays, ConfigRecord(), grid)
                aggregated, _ = ours.aggregate_train(number, grid.send_and_receive(messages))
                assert aggregated is not None
                arrays = aggregated
                kinds.extend(reply["seen"]["kinds"] for reply in ask(grid, "evaluate.shape"))
                messages = ours.configure_evaluate(number, arrays, ConfigRecord(), grid)
                metrics = ours.aggregate_evaluate(number, grid.send_and_receive(messages))
                assert metrics is not None
                accuracies.append(float(str(metrics["eval_acc"])))

    run(server, InProcessGrid(app, CLIENTS))
    assert sizes == [toy.POINTS] * CLIENTS
    assert kinds == [["arrays", "mine"]] * 2 * CLIENTS
    assert accuracies[-1] > 0.85
    with pytest.raises(ConfigurationError, match=r"loop of your own .*`with strategy\.task_of\("):
        strategy(tmp_path / "b").configure_train(
            1, toy.initial_arrays(), ConfigRecord(), InProcessGrid(app, CLIENTS)
        )


def test_an_app_whose_metrics_have_spaces_and_are_lists(tmp_path: Path) -> None:
    """What FedAvg averages, ours does."""

    def evaluate(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        found = reply.content["metrics"]
        weights = message.content["arrays"].to_numpy_ndarrays()
        x, y = toy.points(int(context.node_config["partition-id"]))
        right = toy.probabilities(weights, x).argmax(axis=1) == y
        recalls = [float(right[y == label].mean()) for label in range(toy.CLASSES)]
        metrics = {"Val. loss": found["eval_loss"], "recall by class": recalls, "num-examples": 9}
        reply.content["metrics"] = MetricRecord(metrics)
        return reply

    grid = InProcessGrid(client_app(evaluate=evaluate), CLIENTS)
    plain = FedAvg().start(grid, toy.initial_arrays(), 1).evaluate_metrics_clientapp[1]
    result: Result = strategy(tmp_path).start(grid, toy.initial_arrays(), 1)
    found = result.evaluate_metrics_clientapp[1]
    assert list(found) == list(plain) == ["Val. loss", "recall by class"]
    assert np.allclose(found["recall by class"], plain["recall by class"], atol=0.1)  # type: ignore[arg-type]


def test_functions_that_aggregate_metrics_get_what_the_app_calls_them(tmp_path: Path) -> None:
    def train(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        own = "mine" if context.node_config["partition-id"] == 0 else "fit"
        reply.content[own] = reply.content.pop("metrics")
        reply.content["host"] = ConfigRecord({"name": f"h{context.node_config['partition-id']}"})
        return reply

    def evaluate(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        if context.node_config["partition-id"] == 0:  # whoever names it otherwise ends no round
            reply.content["mine"] = reply.content.pop("metrics")
        return reply

    def largest(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
        assert sorted(str(content["host"]["name"]) for content in contents) == ["h0", "h1", "h2"]
        return MetricRecord({"largest": max(content["fit"][weighted_by] for content in contents)})

    def how_many(contents: list[RecordDict], weighted_by: str) -> MetricRecord:
        return MetricRecord({"clients": len([content["metrics"] for content in contents])})

    result = strategy(
        tmp_path, train_metrics_aggr_fn=largest, evaluate_metrics_aggr_fn=how_many
    ).start(InProcessGrid(client_app(train, evaluate), CLIENTS), toy.initial_arrays(), 1)
    assert result.train_metrics_clientapp[1] == MetricRecord({"largest": toy.POINTS})
    assert result.evaluate_metrics_clientapp[1] == MetricRecord({"clients": CLIENTS})


def test_an_app_that_fails_on_one_client_and_forgets_to_return_on_another(tmp_path: Path) -> None:
    def train(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        return reply if context.node_config["partition-id"] else None  # type: ignore[return-value]

    def evaluate(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 1:
            raise KeyError("val.csv")
        return handler(message, context)

    records: list[RoundRecord] = []
    ours = strategy(tmp_path, on_round=records.append)
    result = ours.start(InProcessGrid(client_app(train, evaluate), 5), toy.initial_arrays(), 1)
    assert records[0].committed == (1, 2, 3, 4)
    assert records[0].voted == (2, 3, 4)
    assert records[0].left_out == {
        0: "ProtocolError: expected the app's train to return a Message; found None",
        1: "no ballot: ProtocolError: evaluate failed on every delta of the round; first: "
        "KeyError: 'val.csv'",
    }
    assert "eval_loss" in result.evaluate_metrics_clientapp[1]


def test_a_mod_on_each_function_will_do_and_on_one_is_told(tmp_path: Path) -> None:
    app = ClientApp()
    app.train(mods=[peer_consensus_mod])(handler)
    half = ClientApp()
    half.train(mods=[peer_consensus_mod])(handler)
    half.evaluate()(handler)
    with pytest.raises(NobodyLeft, match=r"3 × KeyError.*ClientApp\(mods=\[peer_consensus_mod, …"):
        strategy(tmp_path / "half").start(InProcessGrid(half, CLIENTS), toy.initial_arrays(), 1)
    app.evaluate(mods=[peer_consensus_mod])(handler)
    records: list[RoundRecord] = []
    ours = strategy(tmp_path / "both", on_round=records.append)
    ours.start(InProcessGrid(app, CLIENTS), toy.initial_arrays(), 1)
    assert records[0].voted == (0, 1, 2)


@pytest.mark.parametrize("arrays", [None, {"w": np.zeros(3)}, [np.zeros(3)]])
def test_first_arrays_that_are_no_record_are_named(tmp_path: Path, arrays: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"initial_arrays: expected an ArrayRecord.*found"):
        strategy(tmp_path).start(InProcessGrid(client_app(), CLIENTS), arrays, 1)
