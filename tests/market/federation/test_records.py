"""What server and nodes say to each other: read as it was sent, and nothing else."""

from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, RecordDict

from bcfl.core.errors import ProtocolError
from bcfl.market.federation.records import (
    MARKET_KEY,
    Contribution,
    Introduction,
    Order,
    TurnReply,
)
from bcfl.market.roles.turn import Turn

ADDRESS = "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
ORDER = Order("http://127.0.0.1:8545", 1, ADDRESS, 0)
RECORDS = [
    ORDER,
    ORDER.to("contribute", 3),
    Introduction(ADDRESS, -1),
    Contribution(bytes(32)),
    TurnReply(),
    TurnReply(["sealed its report"], ["not here yet"], [7, 9]),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.kind)
def test_a_record_is_read_as_it_was_sent(record: Order | Introduction | Contribution) -> None:
    assert type(record).read(record.content()) == record


@pytest.mark.parametrize(
    ("record", "change", "said"),
    [
        (ORDER, {"action": "resell"}, "order.action"),
        (ORDER, {"task": -1}, "order.task"),
        (ORDER, {"chain_id": True}, "order.chain_id"),
        (ORDER, {"store": "x" * 2_001}, "order.store"),
        (ORDER, {"password": "x"}, "order.password"),
        (ORDER, {"kind": "turn"}, "'order' record; found 'turn'"),
        (Introduction(ADDRESS, 0), {"address": "0x12"}, "introduction: expected an address"),
        (Contribution(bytes(32)), {"submission": "00" * 32}, "contribution.submission"),
        (Contribution(bytes(32)), {"submission": bytes(31)}, "contribution.submission"),
        (TurnReply(), {"wakes": [0.5]}, "turn.wakes.0"),
        (TurnReply(), {"wakes": [1] * 1_001}, "turn.wakes"),
        (TurnReply(), {"troubles": 7}, "turn.troubles"),
    ],
)
def test_anything_else_is_refused_by_name(
    record: Order | Introduction | Contribution | TurnReply, change: dict[str, object], said: str
) -> None:
    content = record.content()
    for name, value in change.items():
        content.config_records[MARKET_KEY][name] = value  # type: ignore[assignment]
    with pytest.raises(ProtocolError, match=said):
        type(record).read(content)


def test_a_message_of_another_app_is_told_from_ours() -> None:
    other = RecordDict({"config": ConfigRecord({"lr": 0.1})})
    with pytest.raises(ProtocolError, match="Which strategy does the server run"):
        Order.read(other)
    with pytest.raises(ProtocolError, match="not one of market_app's"):
        TurnReply.read(other)


def test_a_reply_of_a_node_with_much_to_say_can_be_read() -> None:
    turn = Turn(actions=("x" * 9_999,) * 2_000, wake=5)
    reply = TurnReply.of(turn, Turn())
    assert TurnReply.read(reply.content()) == reply
    assert (len(reply.actions), reply.wakes) == (1_000, [5])
