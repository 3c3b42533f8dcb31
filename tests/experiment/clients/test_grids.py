"""Replies in the clients' order, bytes weighed, failures told, waits that end."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from bcfl.core.errors import EngineFailed, NobodyLeft
from bcfl.experiment.clients.grids import OrderedGrid, StoppableGrid
from bcfl.flower.grid import InProcessGrid

ARRAYS = ArrayRecord({"w": Array(np.zeros(25, np.float32))})
SIZE = sum(len(array.data) for array in ARRAYS.values())


def echo(message: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    sender = ConfigRecord({"partition-id": partition})
    return Message(RecordDict({"arrays": ARRAYS, "sender": sender}), reply_to=message)


def echo_of_some(message: Message, context: Context) -> Message:
    if context.node_config["partition-id"] in (0, 3):
        raise ValueError("no disk")
    return echo(message, context)


def messages(grid: InProcessGrid) -> list[Message]:
    return [Message(RecordDict({"arrays": ARRAYS}), node, "train") for node in grid.get_node_ids()]


def partitions(replies: list[Message]) -> list[object]:
    return [
        None if r.has_error() else r.content.config_records["sender"]["partition-id"]
        for r in replies
    ]


@pytest.mark.parametrize("seed", range(4))
def test_replies_come_in_the_clients_order(seed: int) -> None:
    inner = InProcessGrid(echo, 6, seed=seed)
    assert partitions(list(inner.send_and_receive(messages(inner)))) != list(range(6))
    ordered = OrderedGrid(inner).send_and_receive(messages(inner))
    assert partitions(list(ordered)) == list(range(6))


def test_arrays_are_weighed_once() -> None:
    inner = InProcessGrid(echo, 6)
    grid = OrderedGrid(inner)
    grid.send_and_receive(messages(inner))
    traffic = grid.take_traffic()
    assert (traffic.up, traffic.down, traffic.failures) == (6 * SIZE, 6 * SIZE, ())
    assert grid.take_traffic().up == 0


def test_failures_come_last_and_are_told() -> None:
    inner = InProcessGrid(echo_of_some, 6)
    grid = OrderedGrid(inner)
    replies = list(grid.send_and_receive(messages(inner)))
    assert partitions(replies) == [1, 2, 4, 5, None, None]
    traffic = grid.take_traffic()
    assert traffic.up == 4 * SIZE
    assert [reason.endswith("no disk") for reason in traffic.failures] == [True, True]


def test_a_round_in_which_everybody_fails_is_an_error_with_a_reason() -> None:
    def fail(message: Message, context: Context) -> Message:
        raise ValueError("no disk")

    inner = InProcessGrid(fail, 2)
    with pytest.raises(NobodyLeft, match=r"none of 2 clients replied: .*no disk"):
        OrderedGrid(inner).send_and_receive(messages(inner))


def test_nothing_sent_is_nothing_missing() -> None:
    assert not OrderedGrid(InProcessGrid(echo, 2)).send_and_receive([])


class Slow(InProcessGrid):
    """Numbers its messages, as Flower's does, and hands on one reply at a time."""

    def push_messages(self, messages):
        numbered = list(messages)
        for number, message in enumerate(numbered, 1):
            message.metadata.__dict__["_message_id"] = str(number)
        return super().push_messages(numbered)

    def pull_messages(self, message_ids):
        return super().pull_messages(sorted(message_ids)[:1])


def test_waiting_ends_when_all_replies_are_there() -> None:
    inner = Slow(echo, 3)
    replies = StoppableGrid(inner, Event()).send_and_receive(messages(inner), timeout=60)
    assert partitions(list(replies)) == [0, 1, 2]


def test_waiting_ends_at_the_timeout_with_what_is_there() -> None:
    inner = Slow(echo, 3)
    asked = messages(inner)
    del inner.contexts[asked[2].metadata.dst_node_id]
    replies = StoppableGrid(inner, Event()).send_and_receive(asked, timeout=0.5)
    assert partitions(list(replies)) == [0, 1]


def test_waiting_ends_when_the_engine_is_gone() -> None:
    inner = InProcessGrid(echo, 3)
    asked = messages(inner)
    inner.contexts.clear()
    stopped = Event()
    stopped.set()
    with pytest.raises(EngineFailed):
        StoppableGrid(inner, stopped).send_and_receive(asked)
