"""The nodes of a Flower federation by their accounts' addresses, and what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from logging import WARNING
from typing import TypeVar

from flwr.app import Message, MessageType
from flwr.common.logger import log
from flwr.serverapp import Grid

from bcfl.core.errors import NobodyLeft, ProtocolError
from bcfl.flower.waiting import read_replies, wait_for_nodes
from bcfl.market.federation.records import Contribution, Introduction, Order, TurnReply

_Reply = TypeVar("_Reply", Introduction, Contribution, TurnReply)


class Federation:
    """The nodes of one market.

    Parameters
    ----------
    timeout_s : float
        How long to wait for a reply. Who does not answer is left to the contract's deadlines.
    """

    def __init__(self, grid: Grid, timeout_s: float) -> None:
        self._grid = grid
        self._timeout_s = timeout_s
        self._nodes: dict[str, int] = {}
        self.failures: dict[str, str] = {}  #: by address: why the newest order came to nothing

    @property
    def addresses(self) -> list[str]:
        """Of all nodes that were met, in the order of partitions, then addresses."""
        return list(self._nodes)

    def meet(self, least: int, order: Order) -> None:
        """Wait for that many nodes, and ask each who it is.

        Raises
        ------
        NobodyLeft
            No node answers, or fewer than ``least`` have an account of their own.
        """
        nodes = wait_for_nodes(self._grid, least)
        replies, failures = self._send(nodes, order.to("meet"), Introduction)
        for node, reason in failures.items():
            log(WARNING, "node %s is left out: %s", node, reason)
        met = sorted((reply.partition, reply.address, node) for node, reply in replies.items())
        self._nodes = {address: node for _, address, node in met}
        if len(self._nodes) < least:
            why = next(iter(failures.values()), "two nodes have the same account")
            raise NobodyLeft(f"expected {least} nodes with accounts of their own; {why}")

    def train_message(self, address: str, order: Order) -> Message:
        """The message that asks this node for a model."""
        return Message(order.content(), self._nodes[address], MessageType.TRAIN)

    def contribution(self, address: str, replies: Iterable[Message]) -> Contribution:
        """The node's reply to ``train_message``; raises ProtocolError where there is none."""
        node = self._nodes[address]
        read, failures = read_replies(replies, [node], Contribution.read)
        if node in failures:
            raise ProtocolError(failures[node])
        return read[node]

    def order(self, addresses: Iterable[str], order: Order) -> dict[str, TurnReply]:
        """Send ``order`` to these nodes; what each answered, by address."""
        names = {self._nodes[each]: each for each in addresses if each in self._nodes}
        replies, failures = self._send(list(names), order, TurnReply)
        self.failures = {names[node]: reason for node, reason in failures.items()}
        return {names[node]: reply for node, reply in replies.items()}

    def _send(
        self, nodes: list[int], order: Order, kind: type[_Reply]
    ) -> tuple[dict[int, _Reply], dict[int, str]]:
        if not nodes:
            return {}, {}
        content = order.content()
        messages = [Message(content, node, MessageType.EVALUATE) for node in nodes]
        replies = self._grid.send_and_receive(messages, timeout=self._timeout_s)
        return read_replies(replies, nodes, kind.read)
