"""ModelFusion: nodes sell models and judge those of others, whatever becomes of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.serverapp.strategy import Result

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.core.model import Arrays
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.market.market_simulation import FusionEvaluation
from bcfl.flower.grid import InProcessGrid
from bcfl.flower.handlers import to_arrays
from bcfl.flower.identity import signer_from
from bcfl.keys.sealing import seal_share, secret_commitment
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.federation.client_app import market_app
from bcfl.market.federation.record import MarketRecord
from bcfl.market.federation.records import MARKET_KEY, Contribution, Order, TurnReply
from bcfl.market.fusion.fused_arrays import fused_from_arrays
from bcfl.market.models.architectures import mlp
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.roles.description import Description
from bcfl.market.roles.history import read_history, state_of
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.terms import Conditions, MarketPhase, deposit
from bcfl.market.verification_set import VerificationSet
from bcfl.store.local import LocalStore
from bcfl.strategies import ModelFusion

pytestmark = pytest.mark.usefixtures("fused_once")

NODES = 4
Deliver = Callable[[Message, Context], Message | None]


@pytest.fixture(scope="module")
def images() -> Images:
    return load_digits(1 / 3)


class Market:
    """Four nodes with a quarter of the digits each, and what was told of the rounds."""

    def __init__(
        self, images: Images, folder: Path, chain: EmbeddedChain | None = None, **options: object
    ) -> None:
        self.images = images
        self.records: list[MarketRecord] = []
        self.chain = chain or EmbeddedChain(folder / "chain.jsonl")
        self.grid = InProcessGrid(market_app(self.train), NODES)
        known = {"seats": 3, "quorum": 2, "mafr": 0.6} | options
        self.strategy = ModelFusion(
            verification=VerificationSet(images.test_images, images.test_labels, 10),
            chain=self.chain,
            run_dir=folder,
            on_round=self.records.append,
            min_available_nodes=NODES,
            **known,  # type: ignore[arg-type]
        )

    def train(self, context: Context, description: Description) -> TrainedModel:
        partition = int(context.node_config["partition-id"])
        rows = slice(partition, None, NODES)
        return train_contributor(
            mlp(description.input_shape, description.classes),
            self.images.train_images[rows],
            self.images.train_labels[rows],
            ContributorTraining(epochs=5),
            seed=partition,
        )

    def deliver(self, change: Callable[[int, str, Deliver], Deliver]) -> None:
        """Put something between the server and a node: (partition, order) decide."""
        usual = self.grid.deliver

        def deliver(message: Message, context: Context) -> Message | None:
            order = Order.read(message.content).action
            partition = int(context.node_config["partition-id"])
            return change(partition, order, usual)(message, context)

        self.grid.deliver = deliver  # type: ignore[method-assign]

    @contextmanager
    def seen_by(self, context: Context, order: Order) -> Iterator[MarketLedger]:
        """The market, as the node's account sees it."""
        with self.chain.connect(signer_from(context, order.seed)) as connection:
            yield MarketLedger.attach(connection, order.market, self.chain.wait_until)

    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]

    def conditions(self) -> Conditions:
        with self.chain, self.chain.connect() as connection:
            market = MarketLedger.attach(connection, self.strategy.market.ledger.address)
            task = market.task(1)
        assert task is not None
        return task.conditions

    def left(self) -> int:
        """Wei on the contract in the end."""
        with self.chain, self.chain.connect() as connection:
            return connection.balance(self.strategy.market.ledger.address)


Sold = tuple[Market, Result, list[Arrays]]


def lost(message: Message, context: Context) -> None:
    """A message that never arrives."""


@pytest.fixture(scope="module")
def sold(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Sold:
    """A market that was left to run, and the fused model after each sale."""
    market = Market(images, tmp_path_factory.mktemp("sold"))
    evaluate = FusionEvaluation(images)
    models: list[Arrays] = []

    def watch(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        models.append(to_arrays(arrays))
        return evaluate(server_round, arrays)

    return market, market.strategy.start(market.grid, num_rounds=9, evaluate_fn=watch), models


def test_every_node_sells_a_model_and_they_become_one(images: Images, sold: Sold) -> None:
    market, result, _ = sold
    assert market.outcomes() == ["paid"] * NODES  # one round a node, whatever was asked for
    assert [record.fused for record in market.records] == [1, 2, 3, 4]
    accuracies = [m["accuracy"] for m in result.evaluate_metrics_serverapp.values()]
    assert len(accuracies) == NODES
    assert accuracies[-1] > max(0.9, accuracies[0])
    fused = fused_from_arrays(to_arrays(result.arrays))
    right = fused.logits(images.test_images).argmax(1) == images.test_labels
    assert right.mean() == pytest.approx(accuracies[-1])
    for index, record in enumerate(market.records):
        assert record.contributor == index
        assert index not in record.fitness  # nobody judges its own
        assert len(set(record.fitness.values())) == 1  # honest verifiers find the same
        names = {
            "submitted", "drawn", "granted", "shared", "sealed", "reported", "disclosed",
        }  # fmt: skip
        assert set(record.gas) == names
        assert sum(record.gas.values()) < 900_000
    assert market.left() == 0


def test_the_same_seed_fuses_the_same_model(images: Images, sold: Sold, tmp_path: Path) -> None:
    market = Market(images, tmp_path)
    found = to_arrays(market.strategy.start(market.grid, num_rounds=2).arrays)
    before = sold[2][-3]  # of the four: after the second sale
    assert list(found) == list(before)
    assert all(np.array_equal(found[key], before[key]) for key in found)


def test_nodes_that_vanish_cost_their_own_money_alone(images: Images, tmp_path: Path) -> None:
    market = Market(images, tmp_path, seats=2, redraws=1)

    def change(partition: int, order: str, usual: Deliver) -> Deliver:
        if (partition, order) == (0, "contribute"):
            return lost
        return lost if partition == 3 and order in ("turn", "contribute") else usual

    market.deliver(change)
    market.strategy.start(market.grid, num_rounds=4)
    first, second, third, fourth = market.outcomes()
    assert first == fourth == "no reply in time"
    assert (second, third) == ("paid", "paid")
    assert all(3 not in record.fitness for record in market.records)
    # who was drawn and did not come has lost its bond, which is burnt; nothing is stuck
    assert market.left() == 0


def test_a_node_whose_training_fails_is_passed_over(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market(images, tmp_path)

    def train(context: Context, description: Description) -> TrainedModel:
        if context.node_config["partition-id"] == 0:
            raise RuntimeError("no disk space left")
        return Market.train(market, context, description)

    market.grid._client_app = market_app(train)
    market.strategy.start(market.grid, num_rounds=2)
    assert "no disk space left" in market.records[0].outcome
    assert market.outcomes()[1] == "paid"


def test_a_stranger_cannot_open_what_is_for_members_only(images: Images, tmp_path: Path) -> None:
    market = Market(images, tmp_path, members_only=True)
    market.strategy.start(market.grid, num_rounds=2)
    assert market.outcomes() == ["paid", "paid"]
    blobs = [path.read_bytes() for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) > 6
    assert not any(b"BCFM" in blob for blob in blobs)  # a model's magic: none lies open
    assert len(seal_share(bytes(32), market.chain.coordinator.public_key)) == 94


def edited(usual: Deliver, edit: Callable[[ConfigRecord], None]) -> Deliver:
    """A node whose answers were changed."""

    def deliver(message: Message, context: Context) -> Message | None:
        reply = usual(message, context)
        assert reply is not None
        if reply.has_content():
            edit(reply.content.config_records[MARKET_KEY])
        return reply

    return deliver


def test_a_node_that_answers_nonsense_holds_up_no_round(images: Images, tmp_path: Path) -> None:
    market = Market(images, tmp_path, seats=2)

    def talk(reply: ConfigRecord) -> None:
        reply["kind"], reply["wakes"] = "turn", [0.5, 0.25]
        reply["troubles"] = 7

    def change(partition: int, order: str, usual: Deliver) -> Deliver:
        if (partition, order) == (0, "turn"):
            return edited(lambda m, c: Message(m.content, reply_to=m), talk)
        return usual

    market.deliver(change)
    market.strategy.start(market.grid, num_rounds=3)
    assert market.outcomes() == ["void", "paid", "paid"]
    assert market.left() == 0


def test_a_node_that_names_what_it_has_not_submitted_is_passed_over(
    images: Images, tmp_path: Path
) -> None:
    market = Market(images, tmp_path, seats=2)
    sold: list[bytes] = []

    def change(partition: int, order: str, usual: Deliver) -> Deliver:
        if order != "contribute":
            return usual
        if partition == 0:
            return edited(usual, lambda reply: sold.append(bytes(reply["submission"])))
        names: dict[int, bytes | str] = {1: sold[0], 2: "no digest", 3: bytes(32)}
        return edited(usual, lambda reply: reply.update({"submission": names[partition]}))

    market.deliver(change)
    market.strategy.start(market.grid, num_rounds=4)
    assert market.outcomes()[0] == "paid"
    of_another, no_digest, of_nobody = market.outcomes()[1:]
    assert "expected a submission of its own to this task" in of_another
    assert "submission: Input should be a valid bytes" in no_digest
    assert "expected a submission of its own to this task" in of_nobody


def test_an_offer_that_nobody_can_read_ends_no_run(images: Images, tmp_path: Path) -> None:
    market = Market(images, tmp_path, seats=2)

    def submit(message: Message, context: Context) -> Message:
        order = Order.read(message.content)
        submission = LocalStore(order.store).put(b"no offer")
        with market.seen_by(context, order) as ledger:
            ledger.leave(order.task)
            ledger.submit(order.task, submission, secret_commitment(bytes(32)), most_wei=10**18)
        return Message(Contribution(submission).content(), reply_to=message)

    def share(message: Message, context: Context) -> Message:
        order = Order.read(message.content)
        with market.seen_by(context, order) as ledger:
            for pending in read_history(ledger).pending():
                match state_of(ledger, pending).phase:
                    case MarketPhase.DRAW:
                        ledger.draw(pending.digest)
                    case MarketPhase.SHARE:
                        ledger.share(pending.digest, bytes([1]) * 32)
        return Message(TurnReply().content(), reply_to=message)

    def change(partition: int, order: str, usual: Deliver) -> Deliver:
        hostile = {"contribute": submit, "turn": share} if partition == 0 else {}
        return hostile.get(order, usual)

    market.deliver(change)
    market.strategy.start(market.grid, num_rounds=1)
    assert market.outcomes() == ["junk"]
    assert set(market.records[0].reasons.values()) == {"unopenable"}
    assert market.records[0].bytes_up == 0


def test_a_run_in_real_time_does_not_wait_for_the_task_to_close(
    images: Images, tmp_path: Path
) -> None:
    class RealTime(EmbeddedChain):
        time_is_virtual = False

    market = Market(images, tmp_path, chain=RealTime())
    market.deliver(lambda partition, order, usual: lost if order == "contribute" else usual)
    market.strategy.start(market.grid, num_rounds=1)
    assert market.outcomes() == ["no reply in time"]
    assert market.left() == deposit(market.strategy.rules, market.conditions())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seats": 4, "quorum": 2}, "needs 5 nodes; found 4"),
        ({"mafr": 1.0}, r"mafr: expected in \[0, 1\)"),
        ({"quorum": 4}, "quorum lies in"),
        ({"allowance_wei": -1}, "allowance_wei: expected at least 0"),
    ],
)
def test_what_cannot_be_is_said(
    images: Images, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    def play() -> None:
        market = Market(images, tmp_path, **options)
        market.strategy.start(market.grid)

    with pytest.raises(ConfigurationError, match=said):
        play()


def test_nodes_with_another_app_are_told_apart(images: Images, tmp_path: Path) -> None:
    market = Market(images, tmp_path)
    market.grid._client_app = lambda message, context: Message(
        message.content.__class__(), reply_to=message
    )
    with pytest.raises(NobodyLeft, match="Its app is not one of market_app's"):
        market.strategy.start(market.grid)
