"""What others' apps do, and Flower's own examples: it works, or one line says what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.server import ServerConfig
from flwr.server.client_manager import SimpleClientManager
from flwr.server.server import Server
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    Result,
)

from bcfl import PeerConsensus, PeerConsensusMod, peer_consensus_mod
from bcfl.chain import EmbeddedChain
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member import mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ConfigurationError, NobodyLeft, RoundVoid
from bcfl.flower.grid import InProcessGrid
from tests import toy

CLIENTS = 3
Handler = Callable[[Message, Context], Message]
_TOY = toy.client_app()


def handler(message: Message, context: Context) -> Message:
    """The toy's own."""
    return _TOY(message, context)


def client_app(
    mods: list[Any] | None = None,
    train: Handler = handler,
    evaluate: Handler | None = handler,
    **actions: Handler,
) -> ClientApp:
    app = ClientApp(mods=[peer_consensus_mod] if mods is None else mods)
    app.train()(train)
    if evaluate is not None:
        app.evaluate()(evaluate)
    for name, action in actions.items():
        app.train(name)(action)
    return app


def play(
    folder: Path, app: ClientApp, rounds: int = 1, arrays: ArrayRecord | None = None, **options: Any
) -> tuple[Result, list[RoundRecord]]:
    records: list[RoundRecord] = []
    options.setdefault("chain", MemoryChain())
    strategy = PeerConsensus(run_dir=folder / "run", on_round=records.append, **options)
    grid = InProcessGrid(app, CLIENTS)
    return strategy.start(grid, arrays or toy.initial_arrays(), rounds), records


@pytest.mark.parametrize("name", ["mape", "wer", "brier", "deviance", "cross_entropy"])
def test_a_metric_whose_direction_is_not_known_is_asked_for_before_anything(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf'metric="-{name}" if smaller is better'):
        PeerConsensus(metric=name)
    assert PeerConsensus(metric=f"-{name}").rules.metric == f"-{name}"


def test_an_app_without_evaluate_is_told_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(
        NobodyLeft, match=r"no @app.evaluate\(\).*PeerConsensusMod\(evaluate=…"
    ) as e:
        play(tmp_path, client_app(evaluate=None), fraction_evaluate=0.0)
    assert "\n" not in str(e.value)


def test_an_app_without_evaluate_takes_part_by_the_one_that_the_mod_is_given(
    tmp_path: Path,
) -> None:
    app = client_app([PeerConsensusMod(evaluate=handler)], evaluate=None)
    joining = {"membership": "open", "stake_wei": 1, "allowance_wei": 10**18}
    _, (record,) = play(tmp_path, app, fraction_evaluate=0.0, **joining)
    assert record.committed == record.voted == (0, 1, 2)
    assert not record.left_out


def test_a_forgotten_mod_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NobodyLeft, match=r"3 × KeyError.*mods=\[peer_consensus_mod, …\]") as raised:
        play(tmp_path, client_app([]))
    assert "\n" not in str(raised.value)


def test_a_float32_reply_to_a_float64_model_is_cast_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="flwr")
    mod._say_once.cache_clear()  # a process says it once, and this one has run other tests
    double = [array.astype(np.float64) for array in toy.initial_arrays().to_numpy_ndarrays()]
    result, (record,) = play(tmp_path, client_app(), arrays=ArrayRecord(double))
    assert record.committed == (0, 1, 2)
    assert {array.dtype for array in result.arrays.values()} == {"float64"}
    said = [line for line in caplog.messages if "array '0' as float32" in line]
    assert len(said) == 1


def test_a_head_of_ones_own_is_not_sent_and_cannot_be_poisoned(tmp_path: Path) -> None:
    """Clients overwrite what arrives of the head, so that no review would see what is in it."""

    def train(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        if context.node_config["partition-id"] == 1:
            weights, bias = reply.content["arrays"].to_numpy_ndarrays()
            reply.content["arrays"] = ArrayRecord([weights, bias + 1e6])
        return reply

    result, (record,) = play(tmp_path, client_app(train=train), shared="0")
    before, after = toy.initial_arrays(), result.arrays
    assert record.committed == record.voted == (0, 1, 2)
    assert np.array_equal(after["1"].numpy(), before["1"].numpy())
    assert not np.array_equal(after["0"].numpy(), before["0"].numpy())


def test_one_line_a_round_says_who_won_who_is_left_out_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 2:
            raise RuntimeError("CUDA out of\nmemory")
        return handler(message, context)

    caplog.set_level("INFO", logger="flwr")
    play(tmp_path, client_app(train=fails), rounds=2)
    lines = [line for line in caplog.messages if line.startswith("round ")]
    assert len(lines) == 2
    for line in lines:
        assert "won by member" in line
        assert "member 2 left out: RuntimeError: CUDA out of memory" in line
    folder = tmp_path / "run"
    closing = [f"everything is in {folder}", f"check every round of it with: bcfl audit {folder}"]
    assert caplog.messages[-2:] == closing
    assert caplog.messages[-4].startswith("rounds won, of 2: member ")
    assert caplog.messages[-3].startswith("gas: ")


def test_the_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert PeerConsensus().folder.path.parent == tmp_path / "bcfl-runs"
    assert PeerConsensus(run_dir="here").folder.path == tmp_path / "here"


# --- strategies within, around, and derived


class Says(FedAvg):
    """What Flower's examples have their strategies say: a config, a handler, metrics."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A config of its own, and a handler of its own."""
        config = ConfigRecord({**config, "lr": 1 / server_round})
        for message in super().configure_train(server_round, arrays, config, grid):
            message.metadata.message_type = "train.finetune"
            yield message

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A key that evaluate needs."""
        config["batches"] = 5
        return super().configure_evaluate(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Those alone whose reply says so, as Flower's Whisper example does."""
        replies = [reply for reply in replies if reply.content["state"]["trained"]]
        arrays, metrics = super().aggregate_train(server_round, replies)
        return arrays, MetricRecord({**(metrics or {}), "custom": 1.0})


def test_what_an_inner_strategy_says_is_kept(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def finetune(message: Message, context: Context) -> Message:
        seen.append(dict(message.content["config"]))
        message.metadata.message_type = "train"
        reply = handler(message, context)
        reply.content["state"] = ConfigRecord({"trained": True, "blob": b"\0"})
        return reply

    def evaluate(message: Message, context: Context) -> Message:
        assert message.content["config"]["batches"] == 5
        return handler(message, context)

    app = client_app(evaluate=evaluate, finetune=finetune)
    result, (record,) = play(tmp_path, app, inner=Says(fraction_train=0.5))
    assert result.train_metrics_clientapp[1]["custom"] == 1
    assert [config["lr"] for config in seen] == [1.0, 1.0]
    assert len(record.expected) == 2  # the half of three, but no fewer than two
    assert record.voted == record.committed == record.expected
    assert "eval_loss" in result.evaluate_metrics_clientapp[1]


def test_a_strategy_derived_from_ours_has_its_own_loop(tmp_path: Path) -> None:
    class Own(PeerConsensus):
        """As Flower's advanced-pytorch: its own start(), which does not call ours."""

        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            config["lr"] = 0.5
            return super().configure_train(server_round, arrays, config, grid)

        def start(
            self,
            grid: Grid,
            initial_arrays: ArrayRecord,
            num_rounds: int = 3,
            timeout: float | None = 3600,
            train_config: ConfigRecord | None = None,
            evaluate_config: ConfigRecord | None = None,
            evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
        ) -> Result:
            result = Result(arrays=initial_arrays)
            for number in range(1, num_rounds + 1):
                messages = self.configure_train(number, result.arrays, ConfigRecord(), grid)
                replies = grid.send_and_receive(messages, timeout=timeout)
                arrays, _ = self.aggregate_train(number, replies)
                assert arrays is not None
                result.arrays = arrays
            return result

    lrs: list[Any] = []

    def train(message: Message, context: Context) -> Message:
        lrs.append(message.content["config"]["lr"])
        return handler(message, context)

    own = Own(run_dir=tmp_path)
    result = own.start(InProcessGrid(client_app(train=train), CLIENTS), toy.initial_arrays(), 1)
    assert lrs == [0.5] * CLIENTS
    assert result.arrays != toy.initial_arrays()


def test_a_strategy_within_says_how_many_train_and_who(tmp_path: Path) -> None:
    inner = DifferentialPrivacyServerSideFixedClipping(
        FedAvg(fraction_train=0.7, min_available_nodes=CLIENTS), 0.01, 1.0, 2
    )
    _, (record,) = play(tmp_path / "wrapped", client_app(), inner=inner)
    assert len(record.expected) == 2

    class AllButTheFirst(FedAvg):
        def configure_train(self, *given: Any) -> Iterable[Message]:
            first, *_ = given[-1].get_node_ids()
            asked = super().configure_train(*given)
            return [message for message in asked if message.metadata.dst_node_id != first]

    _, (record,) = play(tmp_path / "chosen", client_app(), inner=AllButTheFirst())
    assert record.expected == (1, 2)


def test_what_an_inner_strategy_cannot_have_is_refused_by_name(tmp_path: Path) -> None:
    class OwnStart(FedAvg):
        def start(self, *args: Any, **kwargs: Any) -> Result:
            raise NotImplementedError

    class OtherModel(FedAvg):
        def configure_train(self, server_round: int, arrays: ArrayRecord, *rest: Any) -> Any:
            zeros = ArrayRecord([array + 1 for array in arrays.to_numpy_ndarrays()])
            return super().configure_train(server_round, zeros, *rest)

    with pytest.raises(ConfigurationError, match=r"OwnStart has a start\(\) of its own.*derive"):
        PeerConsensus(inner=OwnStart())
    with pytest.raises(ConfigurationError, match=r"OtherModel\.configure_train sends"):
        play(tmp_path, client_app(), inner=OtherModel())
    around = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.0, 1.0, 2)
    with pytest.raises(ConfigurationError, match=r"give \['fraction_train'\] to the inner"):
        PeerConsensus(inner=around, fraction_train=0.5)


def test_a_strategy_around_ours_is_told_to_go_inside(tmp_path: Path) -> None:
    ours = PeerConsensus(run_dir=tmp_path)
    around = DifferentialPrivacyServerSideFixedClipping(ours, 0.01, 5.0, CLIENTS)
    with pytest.raises(ConfigurationError, match=r"outside its own start\(\).*inner="):
        around.start(InProcessGrid(client_app(), CLIENTS), toy.initial_arrays(), 1)


def test_a_derived_class_that_changes_the_aggregate_is_told_to_do_it_inside(tmp_path: Path) -> None:
    class Changes(PeerConsensus):
        def aggregate_train(self, *given: Any) -> Any:
            arrays, metrics = super().aggregate_train(*given)
            return ArrayRecord([array + 1 for array in arrays.to_numpy_ndarrays()]), metrics

    grid = InProcessGrid(client_app(), CLIENTS)
    with pytest.raises(ConfigurationError, match=r"was changed after its round.*inner="):
        Changes(run_dir=tmp_path).start(grid, toy.initial_arrays(), 2)


def test_one_object_has_one_task(tmp_path: Path) -> None:
    strategy = PeerConsensus(run_dir=tmp_path / "run")
    grid = InProcessGrid(client_app(), CLIENTS)
    strategy.start(grid, toy.initial_arrays(), 0)
    with pytest.raises(ConfigurationError, match=r"has had its task, in .*resume=True"):
        strategy.start(grid, toy.initial_arrays(), 1)


def test_the_older_interface_is_told_what_to_write() -> None:
    server = Server(client_manager=SimpleClientManager(), strategy=PeerConsensus())
    with pytest.raises(ConfigurationError, match=r"@app.main\(\).*PeerConsensus\(\).start"):
        server.fit(ServerConfig().num_rounds, timeout=None)


def test_it_is_a_fedavg_with_fedavgs_attributes() -> None:
    strategy = PeerConsensus(fraction_train=0.5, weighted_by_key="n")
    assert isinstance(strategy, FedAvg)
    assert (strategy.fraction_train, strategy.weighted_by_key) == (0.5, "n")


# --- apps that nobody listed


def test_two_models_in_one_reply_are_named(tmp_path: Path) -> None:
    def train(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        reply.content["optimizer"] = ArrayRecord([np.ones(2)])
        return reply

    with pytest.raises(NobodyLeft, match=r"found arrays, optimizer\. .*context\.state"):
        play(tmp_path, client_app(train=train), max_attempts=1)


def test_a_train_function_with_a_name_alone_takes_part_where_the_strategy_names_it(
    tmp_path: Path,
) -> None:
    def finetune(message: Message, context: Context) -> Message:
        message.metadata.message_type = "train"
        reply = handler(message, context)
        reply.content["state"] = ConfigRecord({"trained": True})
        return reply

    app = ClientApp(mods=[PeerConsensusMod(evaluate=handler)])
    app.train("finetune")(finetune)
    with pytest.raises(
        NobodyLeft, match=r"function under @app\.evaluate\(\), or under @app\.train"
    ):
        play(tmp_path / "without", app, inner=Says(fraction_evaluate=0.0))
    app.evaluate()(lambda message, context: _evaluate(message, context))
    _, (record,) = play(tmp_path / "with", app, inner=Says())
    assert record.committed == record.voted == (0, 1, 2)


def _evaluate(message: Message, context: Context) -> Message:
    return handler(message, context)


def test_numbers_that_are_none_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def lists(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        reply.content["metrics"] = MetricRecord({"eval_loss": [1.0, 2.0], "num-examples": 3})
        return reply

    def nan(message: Message, context: Context) -> Message:
        reply = handler(message, context)
        reply.content["metrics"]["eval_loss"] = float("nan")
        return reply

    with pytest.raises(
        RoundVoid, match=r"found \['num-examples'\] \(lists are none: \['eval_loss'\]"
    ):
        play(tmp_path / "lists", client_app(evaluate=lists), max_attempts=1)
    caplog.set_level("WARNING", logger="flwr")
    play(tmp_path / "nan", client_app(evaluate=nan))
    assert "evaluate gave no number on any of 2 updates" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner": FedAvg}, r"^inner: expected a strategy .*FedAdam\(\); found <class"),
        ({"inner": "FedAdam"}, r"^inner: expected a strategy .*found 'FedAdam'"),
        ({"inner": FedAvg(), "combine": "sum"}, r"^combine: expected nothing beside inner=FedAvg"),
        ({"inner": FedAvg(), "server_learning_rate": 2.0}, r"^server_learning_rate: expected"),
    ],
)
def test_a_wrong_inner_strategy_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PeerConsensus(**options)


# --- time


def test_a_training_of_twenty_minutes_is_not_late_under_a_timeout_of_a_week(
    tmp_path: Path,
) -> None:
    chain = EmbeddedChain(tmp_path / "run" / "chain.jsonl")

    def slow(message: Message, context: Context) -> Message:
        with chain.connect() as connection:
            chain.wait_until(connection.now() + 20 * 60)
        return handler(message, context)

    records: list[RoundRecord] = []
    strategy = PeerConsensus(run_dir=tmp_path / "run", chain=chain, on_round=records.append)
    grid = InProcessGrid(client_app(train=slow), CLIENTS)
    strategy.start(grid, toy.initial_arrays(), 1, timeout=7 * 24 * 3600)
    assert records[0].committed == records[0].voted == (0, 1, 2)
    assert strategy.rules.commit_window_s == strategy.rules.ballot_window_s == 7 * 24 * 3600


@pytest.mark.parametrize("window", ["commit_window_s", "ballot_window_s"])
def test_a_stated_window_shorter_than_the_timeout_is_an_error(tmp_path: Path, window: str) -> None:
    strategy = PeerConsensus(run_dir=tmp_path, **{window: 600})
    with pytest.raises(
        ConfigurationError, match=rf"timeout=3600.*{window}=600.*leave {window} out"
    ):
        strategy.start(InProcessGrid(client_app(), CLIENTS), toy.initial_arrays(), timeout=3600)
    assert not strategy.folder.chain.exists()


# --- mods before ours, and what an app sees of a review


def test_a_mod_before_ours_finds_config_and_metrics_in_every_message(tmp_path: Path) -> None:
    seen: list[tuple[str, int, dict[str, Any]]] = []

    def as_in_flowers_example(message: Message, context: Context, call_next: Any) -> Message:
        round_ = int(message.content["config"]["server-round"])
        reply: Message = call_next(message, context)
        metrics = reply.content["metrics"]
        seen.append((message.metadata.message_type, round_, dict(metrics)))
        return reply

    _, (record,) = play(tmp_path, client_app([as_in_flowers_example, peer_consensus_mod]))
    assert record.voted == (0, 1, 2)
    trained = [(round_, metrics) for kind, round_, metrics in seen if kind == "train"]
    assert trained == [(1, {"train_loss": 0.0, "num-examples": toy.POINTS})] * CLIENTS


@pytest.mark.parametrize(
    ("nodes", "fraction_train", "reviews"), [(10, 1.0, 90), (20, 1.0, 380), (20, 0.25, 20)]
)
def test_the_guide_says_how_often_a_round_calls_evaluate_and_the_config_why(
    tmp_path: Path, nodes: int, fraction_train: float, reviews: int
) -> None:
    flags: list[bool] = []

    def evaluate(message: Message, context: Context) -> Message:
        flags.append("bcfl-review" in message.content["config"])
        metrics = MetricRecord({"loss": 1.0, "num-examples": 1})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    def own_evaluations(strategy: FedAvg) -> int:
        flags.clear()
        strategy.start(InProcessGrid(client_app(evaluate=evaluate), nodes), toy.initial_arrays(), 1)
        assert flags.count(True) == (0 if type(strategy) is FedAvg else reviews)
        return flags.count(False)

    sampling = {"fraction_train": fraction_train, "fraction_evaluate": 0.1}
    plain = own_evaluations(FedAvg(**sampling))
    ours = own_evaluations(PeerConsensus(run_dir=tmp_path, chain=MemoryChain(), **sampling))
    assert plain == ours == 2
    guide = Path(__file__).parents[2] / "notebooks" / "own_project.md"
    trained = f"{nodes} nodes" + (f", `fraction_train={fraction_train}`" if reviews == 20 else "")
    assert f"{trained}: {plain} → {reviews + ours}" in guide.read_text()


def test_half_train_one_fails_one_is_late_and_the_run_goes_on(tmp_path: Path) -> None:
    class Late(InProcessGrid):
        def deliver(self, message: Message, context: Context) -> Message | None:
            reply = super().deliver(message, context)
            training = message.metadata.message_type == "train"
            return None if training and context.node_config["partition-id"] == 1 else reply

    def fails(message: Message, context: Context) -> Message:
        if context.node_config["partition-id"] == 0:
            raise RuntimeError("no disk")
        return handler(message, context)

    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path / "run", on_round=records.append, fraction_train=0.7, seed=1
    )
    strategy.start(Late(client_app(train=fails), 6), toy.initial_arrays(), 1)
    assert [len(record.expected) for record in records] == [4]
    left_out = {m: why for record in records for m, why in record.left_out.items()}
    assert left_out == {0: "RuntimeError: no disk", 1: "no reply in time"}
    assert not any(record.void for record in records)
