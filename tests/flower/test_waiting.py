"""Waiting for nodes, and reading what they answer."""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict

from bcfl.core.errors import ProtocolError
from bcfl.flower.grid import InProcessGrid
from bcfl.flower.waiting import read_replies, wait_for_nodes
from tests import toy


class SlowGrid(InProcessGrid):
    """Its nodes come one by one, the next whenever somebody looks."""

    looks = 0

    def get_node_ids(self) -> Sequence[int]:
        self.looks += 1
        return list(self.contexts)[: self.looks]


def test_nodes_are_waited_for_until_no_more_come() -> None:
    grid = SlowGrid(toy.client_app(), 4)
    assert wait_for_nodes(grid, 2) == list(grid.contexts)


def answer(node: int, content: RecordDict | Error) -> Message:
    asked = Message(RecordDict(), node, MessageType.EVALUATE)
    return Message(content, reply_to=asked)


def number_in(content: RecordDict) -> int:
    if "number" not in content:
        raise ProtocolError("expected a number; found none")
    return int(content.config_records["number"]["number"])  # type: ignore[call-overload]


def test_replies_are_read_in_the_order_in_which_nodes_were_asked() -> None:
    InProcessGrid(toy.client_app(), 1)  # messages carry who sends them
    numbers = [answer(n, RecordDict({"number": ConfigRecord({"number": n})})) for n in (1, 9, 3)]
    others = [answer(4, RecordDict()), answer(5, Error(7, "out of memory")), answer(6, Error(7))]
    answers, failures = read_replies([*numbers, *others], [3, 6, 5, 4, 2, 1], number_in)
    assert list(answers.items()) == [(3, 3), (1, 1)]
    assert list(failures.items()) == [
        (6, "error 7"),
        (5, "out of memory"),
        (4, "expected a number; found none"),
        (2, "no reply in time"),
    ]
