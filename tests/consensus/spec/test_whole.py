"""Whole updates: their bytes, and boosters put together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedXgbBagging
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from bcfl.consensus.spec import whole
from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.update import Updates, updates_of
from bcfl.consensus.spec.whole import bagged, decode_whole, encode_whole
from bcfl.core.errors import CodecError, ConfigurationError, ModelError, NobodyLeft
from bcfl.core.model import Arrays
from tests.consensus.spec.boosters import as_array, booster, leaves_of
from tests.consensus.spec.deltas import HEADING

GOLDEN = Path(__file__).parent / "golden" / "whole.hex"
EMPTY = {"0": np.zeros(0, np.uint8)}
MODEL = {"0": as_array(booster(0.5, 0.25)), "note": np.float64(1).reshape(())}

dtypes = st.sampled_from([np.uint8, np.int64, np.float16, np.float64, np.bool_])
any_arrays = st.dictionaries(
    st.text(max_size=3),
    dtypes.flatmap(lambda d: of_numpy.arrays(d, of_numpy.array_shapes(min_dims=0, min_side=0))),
    max_size=3,
)


def same(one: Arrays, other: Arrays) -> bool:
    def told(arrays: Arrays) -> list[Any]:
        return [(k, a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()]

    return told(one) == told(other)


@given(any_arrays)
def test_decoding_inverts_encoding(arrays: Arrays) -> None:
    blob = encode_whole(arrays, HEADING)
    assert same(decode_whole(blob, HEADING), arrays)
    assert encode_whole(decode_whole(blob, HEADING), HEADING) == blob


def test_the_golden_bytes() -> None:
    assert encode_whole(MODEL, HEADING).hex() == GOLDEN.read_text().replace("\n", "")


@pytest.mark.parametrize(
    "heading",
    [
        replace(HEADING, author=bytes(20)),
        replace(HEADING, round=HEADING.round + 1),
        replace(HEADING, base=bytes(32)),
    ],
)
def test_a_copied_update_is_never_the_copyists(heading: Heading) -> None:
    with pytest.raises(CodecError, match=r"expected .* found"):
        decode_whole(encode_whole(MODEL, HEADING), heading)


@given(st.data())
def test_other_bytes_are_refused_and_never_crash(data: st.DataObject) -> None:
    blob = bytearray(encode_whole(EMPTY, HEADING))
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(CodecError):
        decode_whole(bytes(blob[:cut]), HEADING)
    with pytest.raises(CodecError):
        decode_whole(bytes(blob) + b"\0", HEADING)
    blob[data.draw(st.integers(0, 61))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CodecError):
        decode_whole(bytes(blob), HEADING)


def test_no_more_bytes_than_anybody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    blob = encode_whole(MODEL, HEADING)
    monkeypatch.setattr(whole, "MOST_BYTES", len(blob) - 1)
    with pytest.raises(ModelError, match="at most"):
        encode_whole(MODEL, HEADING)
    with pytest.raises(CodecError, match=f"found {len(blob)}"):
        decode_whole(blob, HEADING)


# --- bagging


def flowers(base: Arrays, replies: list[Arrays]) -> bytes:
    """The same by Flower's own strategy."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
    strategy = FedXgbBagging()
    strategy.current_bst = base["0"].tobytes()
    messages = [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord([reply["0"]]),
                    "metrics": MetricRecord({"num-examples": 1}),
                }
            ),
            reply_to=Message(RecordDict(), member, "train"),
        )
        for member, reply in enumerate(replies)
    ]
    arrays, _ = strategy.aggregate_train(1, messages)
    assert arrays is not None
    return arrays["0"].numpy().tobytes()


@pytest.mark.parametrize("base", [EMPTY, {"0": as_array(booster(0.5, -0.25))}])
def test_bagging_is_flowers_to_the_byte(base: Arrays) -> None:
    replies = [{"0": as_array(booster(leaf))} for leaf in (0.125, 1.5, -2.0)]
    assert bagged(base, replies)["0"].tobytes() == flowers(base, replies)


def test_all_trees_of_longer_replies_count() -> None:
    base = {"0": as_array(booster(1, 2, 3, 4, rounds=2, groups=2))}
    reply = {"0": as_array(booster(5, 6, 7, 8, 9, 10, rounds=3, groups=2))}
    joined = bagged(base, [reply, reply])["0"]
    assert leaves_of(joined) == [1, 2, 3, 4, *range(5, 11), *range(5, 11)]
    model = json.loads(joined.tobytes())["learner"]["gradient_booster"]["model"]
    assert model["iteration_indptr"] == list(range(0, 17, 2))
    assert model["tree_info"] == [0, 1] * 8


def _spoilt(change: Callable[[dict[str, Any]], object]) -> Any:
    model = booster(1, 2)
    change(model["learner"]["gradient_booster"]["model"])
    return as_array(model)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0, np.uint8),
        np.arange(9, dtype=np.uint8),
        np.frombuffer(json.dumps(booster(1)).encode("utf-16"), np.uint8),
        np.frombuffer(b"[" * 100_000, np.uint8),
        as_array([]),
        as_array({"learner": []}),
        _spoilt(lambda model: model.pop("tree_info")),
        _spoilt(lambda model: model.update(tree_info=[0])),
        _spoilt(lambda model: model.update(tree_info={})),
        _spoilt(lambda model: model.update(trees=[1, 2])),
        _spoilt(lambda model: model.update(trees={}, tree_info=[], iteration_indptr=[0])),
        _spoilt(lambda model: model.update(iteration_indptr=[])),
        _spoilt(lambda model: model.update(iteration_indptr=[0, 2, 1, 2])),
        _spoilt(lambda model: model.update(iteration_indptr=[0, 1])),
        _spoilt(lambda model: model.update(iteration_indptr=[0, 1, 2.0])),
        _spoilt(lambda model: model.update(gbtree_model_param=[])),
    ],
)
@pytest.mark.parametrize("base", [EMPTY, {"0": as_array(booster(1))}])
def test_what_no_booster_could_be_joined_with_is_none_alone(base: Arrays, array: Any) -> None:
    """Else it would pass every review of the first round, and stop the task after it."""
    with pytest.raises(ModelError, match=r"joins boosters.*save_raw\('json'\)"):
        bagged(base, [{"0": array}])


def test_two_arrays_are_no_booster() -> None:
    two = {"0": as_array(booster(1)), "1": as_array(booster(1))}
    for base, reply in ((EMPTY, two), (two, {"0": two["0"]})):
        with pytest.raises(ModelError, match="joins boosters"):
            bagged(base, [reply])


# --- as updates of a task


def kinds() -> list[tuple[Updates[Any], Arrays, Arrays]]:
    """Each kind of update, a model, and what a training made of it."""
    floats = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(3)}
    moved = {"w": floats["w"] + np.float32(0.5), "steps": np.array(9)}
    trees = {"0": as_array(booster(1.0))}
    return [
        (updates_of(Rules(), floats), floats, moved),
        (updates_of(Rules(update="whole"), EMPTY), EMPTY, {"x": np.array([True])}),
        (updates_of(Rules(update="whole", combine="bagging"), EMPTY), trees, trees),
    ]


@pytest.mark.parametrize("number", range(3))
def test_what_one_alone_makes_is_what_is_rated(number: int) -> None:
    kind, base, trained = kinds()[number]
    update = kind.of(kind.conform(trained, base), base, HEADING.round)
    blob = kind.encode(update, HEADING)
    assert len(blob) <= kind.most_bytes(HEADING.round)
    again = kind.decode(blob, HEADING)
    assert kind.encode(again, HEADING) == blob
    limited = kind.limited({4: again})
    assert same(kind.candidates(base)(limited[4]), kind.combined(base, [limited]))
    assert kind.size_bytes(99) in (99, base[next(iter(base))].nbytes + 8)
    with pytest.raises(NobodyLeft):
        kind.combined(base, [{}])


def test_the_best_is_the_first() -> None:
    kind = updates_of(Rules(update="whole"), EMPTY)
    assert isinstance(kind.of(MODEL, EMPTY, 1), dict)
    assert kind.combined(EMPTY, [{5: MODEL, 2: EMPTY}]) is MODEL


def test_trees_are_added_in_the_order_of_the_members() -> None:
    kind = updates_of(Rules(update="whole", combine="bagging"), EMPTY)
    replies = {5: {"0": as_array(booster(5))}, 2: {"0": as_array(booster(2))}}
    assert leaves_of(kind.combined(EMPTY, [replies])["0"]) == [2, 5]
    assert kind.replies(EMPTY)(replies[5]) is replies[5]


def test_whole_models_make_no_sets() -> None:
    kind = updates_of(Rules(update="whole"), EMPTY)
    for ask in (lambda: kind.sets(EMPTY, {}), lambda: kind.model(np.zeros(1), EMPTY)):
        with pytest.raises(ConfigurationError, match="made of deltas"):
            ask()


def test_a_delta_is_a_delta() -> None:
    kind, base, trained = kinds()[0]
    assert isinstance(kind.of(kind.conform(trained, base), base, 1), Delta)
    assert kind.untrained == ["steps (int64)"]
