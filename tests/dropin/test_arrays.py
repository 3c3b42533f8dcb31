"""Arrays of every kind through a whole round: as under FedAvg, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray
from torch import nn

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ModelError
from bcfl.flower.grid import InProcessGrid

CLIENTS = 3
Named = dict[str, NDArray[Any]]
Train = Callable[[Named, int], Named]

_READ_ONLY = np.zeros((2, 3), np.float32)
_READ_ONLY.flags.writeable = False
#: One model of them all.
KINDS: Named = {
    "float16": np.zeros((2, 3), np.float16),
    "float32": np.zeros((2, 3), np.float32),
    "float64": np.zeros((2, 3), np.float64),
    "scalar": np.zeros((), np.float32),
    "without entries": np.zeros((0, 3), np.float32),
    "by column": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "a view with strides": np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::2].T,
    "read-only": _READ_ONLY,
    "big-endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "": np.zeros(2, np.float32),
    "layers.0/weight é 名 🙂\n*?[1]": np.zeros(2, np.float32),
}
#: FedAvg makes float64 of these; here they stay as they are.
WHOLE_NUMBERS: Named = {
    "layers.1.num_batches_tracked": np.array(7, np.int64),
    "mask": np.array([True, False]),
    "bytes": np.arange(3, dtype=np.uint8),
}


def one_more(arrays: Named, partition: int) -> Named:
    """Every client comes to the same, so that it does not matter who wins."""
    return {name: array + np.ones((), array.dtype) for name, array in arrays.items()}


def client_app(train: Train, mods: list[Any]) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def handle(message: Message, context: Context) -> Message:
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        trained = train(arrays, int(context.node_config["partition-id"]))
        metrics = MetricRecord({"num-examples": 1})
        return Message(
            RecordDict({"arrays": record_of(trained), "metrics": metrics}), reply_to=message
        )

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        metrics = MetricRecord({"loss": 1.0, "num-examples": 1})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def record_of(arrays: Named) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def adopted(
    folder: Path, arrays: Named, train: Train = one_more, clients: int = CLIENTS, **options: Any
) -> tuple[Named, RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder, chain=MemoryChain(), on_round=records.append, max_attempts=1, **options
    )
    grid = InProcessGrid(client_app(train, [peer_consensus_mod]), clients)
    result = strategy.start(grid, record_of(arrays), num_rounds=1)
    return {name: array.numpy() for name, array in result.arrays.items()}, records[0]


def plain(arrays: Named, train: Train = one_more) -> Named:
    grid = InProcessGrid(client_app(train, []), CLIENTS)
    result = FedAvg().start(grid, record_of(arrays), num_rounds=1)
    return {name: array.numpy() for name, array in result.arrays.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Named, Named]:
    """After a round of FedAvg, and of ours."""
    arrays = KINDS | WHOLE_NUMBERS
    return plain(arrays), adopted(tmp_path_factory.mktemp("kinds"), arrays)[0]


def test_names_stay_in_their_order(models: tuple[Named, Named]) -> None:
    assert [*models[1]] == [*models[0]] == [*KINDS, *WHOLE_NUMBERS]


@pytest.mark.parametrize("name", KINDS)
def test_an_array_comes_to_what_fedavg_makes_of_it(name: str, models: tuple[Named, Named]) -> None:
    expected, found = (model[name] for model in models)
    assert (found.dtype, found.shape) == (KINDS[name].dtype.newbyteorder("="), KINDS[name].shape)
    assert np.allclose(found, expected, rtol=1e-3)
    assert np.array_equal(found, KINDS[name] + 1)


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
def test_whole_numbers_stay_as_they_are(name: str, models: tuple[Named, Named]) -> None:
    found = models[1][name]
    assert (found.dtype, found.shape) == (WHOLE_NUMBERS[name].dtype, WHOLE_NUMBERS[name].shape)
    assert np.array_equal(found, WHOLE_NUMBERS[name])


@pytest.mark.parametrize("name", ["float16", "float64", "scalar"])
def test_a_model_may_be_one_array(tmp_path: Path, name: str) -> None:
    found, record = adopted(tmp_path, {name: KINDS[name]})
    assert record.voted == (0, 1, 2)
    assert found[name].dtype == KINDS[name].dtype
    assert np.array_equal(found[name], KINDS[name] + 1)


@pytest.mark.parametrize("gamma", [1, 0.25])
def test_what_is_one_tensor_under_two_names_stays_one(tmp_path: Path, gamma: float) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 3)
            self.head = nn.Linear(3, 4, bias=False)
            self.head.weight = self.embedding.weight

    torch.manual_seed(0)
    first = Tied().state_dict()

    def train(arrays: Named, partition: int) -> Named:
        model = Tied()
        model.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        words = torch.arange(4)
        logits = model.head(model.embedding(words))
        nn.functional.cross_entropy(logits, words.roll(partition + 1)).backward()
        optimizer.step()
        return {name: value.numpy() for name, value in model.state_dict().items()}

    arrays = {name: value.numpy().copy() for name, value in first.items()}
    assert [*arrays] == ["embedding.weight", "head.weight"]
    found, record = adopted(tmp_path, arrays, train, gamma=gamma, warmup_rounds=0)
    assert record.voted == (0, 1, 2)
    assert np.array_equal(found["embedding.weight"], found["head.weight"])
    assert not np.array_equal(found["head.weight"], arrays["head.weight"])


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("complex64", "complex64"),
        ("longdouble", np.dtype("longdouble").name),
        ("V2", "void16"),  # what NumPy saves bfloat16 as; Flower's ArrayRecord takes no torch one
        ("U3", "str96"),
    ],
)
def test_what_no_delta_can_carry_is_refused_before_the_first_round(
    tmp_path: Path, dtype: str, name: str
) -> None:
    arrays = {"w": np.zeros(2, np.float32), "odd": np.zeros(2, dtype)}
    with pytest.raises(ModelError, match=rf"array 'odd' is {name}; expected one of .*Cast it"):
        adopted(tmp_path, arrays)


#: What each client makes of (w, v); by name, and for those that are left out, the reason.
REPLIES: dict[str, tuple[Callable[[Named], Named], str]] = {
    "as asked": (lambda a: a, ""),
    "in another order": (lambda a: {"v": a["v"], "w": a["w"]}, ""),
    "the other end first": (lambda a: {**a, "w": a["w"].astype(">f4")}, ""),
    "in more bits": (lambda a: {**a, "w": a["w"].astype(np.float64)}, ""),
    "whole numbers": (lambda a: {**a, "w": a["w"].astype(np.int64)}, ""),
    "not a number": (lambda a: {**a, "w": a["w"] * np.nan}, "entry 0 of array 'w' is nan"),
    "infinity": (lambda a: {**a, "v": a["v"] + np.inf}, "entry 0 of array 'v' is inf"),
    "too large": (lambda a: {**a, "w": a["w"] + np.float64(1e300)}, "array 'w' is inf"),
    "an array more": (lambda a: {**a, "x": a["w"]}, "missing: none; not of the model: 'x'"),
    "one fewer": (lambda a: {"w": a["w"]}, "missing: 'v'; not of the model: none"),
    "none": (lambda a: {}, "missing: 'v', 'w'; not of the model: none"),
    "by number": (lambda a: {"0": a["w"], "1": a["v"]}, "missing: 'v', 'w'; not of the model: '0'"),
    "longer": (lambda a: {**a, "w": np.ones(9, np.float32)}, "found 'w' of shape (9,), float32"),
    "by rows": (lambda a: {**a, "w": a["w"][:, None]}, "found 'w' of shape (3, 1), float32"),
    "complex": (lambda a: {**a, "w": a["w"] * 1j}, "array 'w' is complex64; expected real"),
}  # fmt: skip


def test_who_replies_otherwise_is_left_out_by_name_and_the_others_go_on(tmp_path: Path) -> None:
    """Where FedAvg's model is not a number, or its round is lost, or its names are others."""

    def train(arrays: Named, partition: int) -> Named:
        bend, _ = [*REPLIES.values()][partition]
        return bend(one_more(arrays, partition))

    arrays = {"w": np.zeros(3, np.float32), "v": np.zeros(2, np.float32)}
    found, record = adopted(tmp_path, arrays, train, len(REPLIES))
    reasons = [reason for _, reason in REPLIES.values()]
    assert record.committed == tuple(i for i, reason in enumerate(reasons) if not reason)
    assert record.left_out.keys() == {i for i, reason in enumerate(reasons) if reason}
    for member, said in record.left_out.items():
        assert reasons[member] in said
    assert {name: array.tolist() for name, array in found.items()} == {"w": [1] * 3, "v": [1] * 2}


def test_a_model_whose_shapes_change_from_round_to_round_is_told_of_whole_updates(
    tmp_path: Path,
) -> None:
    def grow(arrays: Named, partition: int) -> Named:
        return {"w": np.append(arrays["w"], np.float32(1))}

    first = {"w": np.zeros(3, np.float32)}
    with pytest.raises(Exception, match=r"found 'w' of shape \(4,\).*update='whole' takes models"):
        adopted(tmp_path / "delta", first, grow)
    found, _ = adopted(tmp_path / "whole", first, grow, update="whole")
    assert found["w"].tolist() == [0, 0, 0, 1]
