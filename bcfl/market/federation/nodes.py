"""The server's side of a market among Flower nodes: whom it met, and whose turn it is.

Counterpart of ``client_app``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from logging import INFO, WARNING

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid

from bcfl.core.errors import AccountError, NobodyLeft, ProtocolError
from bcfl.keys.accounts import checksummed
from bcfl.market.federation.client_app import MARKET_KEY

__all__ = ["Federation", "MarketOrder", "read_replies", "troubles", "wakes"]

_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class MarketOrder:
    """What every order to a node says beside the order itself.

    ``store`` and ``folder`` are for simulations, where all nodes are on this machine; a node's
    own configuration goes before them.
    """

    rpc_url: str
    chain_id: int
    market: str
    seed: int
    store: str
    folder: str

    def content(self, order: str, task: int = 0) -> RecordDict:
        """The message's content."""
        record = ConfigRecord(
            {
                "order": order,
                "task": task,
                "rpc-url": self.rpc_url,
                "chain-id": self.chain_id,
                "market": self.market,
                "seed": self.seed,
                "store": self.store,
                "folder": self.folder,
            }
        )
        return RecordDict({MARKET_KEY: record})


class Federation:
    """The nodes of one market, by their accounts' addresses.

    Parameters
    ----------
    grid : Grid
    timeout_s : float
        How long to wait for a reply. Who does not answer is left to the contract's deadlines.
    """

    def __init__(self, grid: Grid, timeout_s: float) -> None:
        self._grid = grid
        self._timeout_s = timeout_s
        self._nodes: dict[str, int] = {}
        self.failures: dict[str, str] = {}  #: by address: why the newest order came to nothing

    def meet(self, least: int, order: MarketOrder) -> list[str]:
        """Wait for that many nodes; their addresses, in the order of partitions, then addresses.

        Raises
        ------
        NobodyLeft
            No node answers, or fewer than ``least`` have an account of their own.
        """
        seen = -1
        while (found := len(list(self._grid.get_node_ids()))) < least or found != seen:
            if found < least and found != seen:
                log(INFO, "%s of at least %s nodes are connected", found, least)
            seen = found
            time.sleep(_LOOK_AGAIN_S)
        nodes = list(self._grid.get_node_ids())
        replies, failures = self._send(nodes, order.content("meet"), MessageType.EVALUATE)
        for node, reason in failures.items():
            log(WARNING, "node %s did not answer: %s", node, reason)
        met = []
        for node, reply in replies.items():
            try:
                met.append((_number(reply, "partition"), _address(reply), node))
            except (ProtocolError, AccountError) as error:
                failures[node] = str(error)
                log(WARNING, "node %s is left out: %s", node, error)
        met.sort()
        self._nodes = {address: node for _, address, node in met}
        if len(self._nodes) < least:
            why = next(iter(failures.values()), "two nodes have the same account")
            raise NobodyLeft(f"expected {least} nodes with accounts of their own; {why}")
        return list(self._nodes)

    def node_of(self, address: str) -> int:
        """Flower's id of the node that has this account."""
        return self._nodes[address]

    def contribute(self, address: str, task: int, order: MarketOrder) -> Message:
        """The message that asks this node for a model."""
        return Message(order.content("contribute", task), self._nodes[address], MessageType.TRAIN)

    def order(self, addresses: Iterable[str], order: RecordDict) -> dict[str, ConfigRecord]:
        """Send ``order`` to these nodes; what each answered, by address."""
        names = {self._nodes[each]: each for each in addresses if each in self._nodes}
        replies, failures = self._send(list(names), order, MessageType.EVALUATE)
        self.failures = {names[node]: reason for node, reason in failures.items()}
        return {names[node]: reply for node, reply in replies.items()}

    def _send(
        self, nodes: list[int], content: RecordDict, kind: str
    ) -> tuple[dict[int, ConfigRecord], dict[int, str]]:
        if not nodes:
            return {}, {}
        messages = [Message(content, node, kind) for node in nodes]
        replies = self._grid.send_and_receive(messages, timeout=self._timeout_s)
        return read_replies(replies, nodes)


def read_replies(
    replies: Iterable[Message], nodes: Iterable[int]
) -> tuple[dict[int, ConfigRecord], dict[int, str]]:
    """What nodes answered, in the order of ``nodes``, and why others did not."""
    read: dict[int, ConfigRecord] = {}
    failures = dict.fromkeys(nodes, "no reply in time")
    for reply in replies:
        node = reply.metadata.src_node_id
        if node not in failures:
            continue
        if reply.has_error():
            failures[node] = reply.error.reason or f"error {reply.error.code}"
        elif MARKET_KEY not in reply.content.config_records:
            failures[node] = "its app is not one of market_app's"
        else:
            read[node] = reply.content.config_records[MARKET_KEY]
    return (
        {node: read[node] for node in failures if node in read},
        {node: why for node, why in failures.items() if node not in read},
    )


def wakes(replies: Mapping[str, ConfigRecord]) -> list[int]:
    """The chain times at which nodes have something to do again."""
    found = [reply.get("wakes", []) for reply in replies.values()]
    return [
        time
        for times in found
        if isinstance(times, list)
        for time in times
        if isinstance(time, int)
    ]


def troubles(replies: Mapping[str, ConfigRecord]) -> dict[str, list[str]]:
    """What nodes could not do, by address."""
    found = {who: reply.get("troubles") for who, reply in replies.items()}
    return {
        who: [str(line) for line in lines]
        for who, lines in found.items()
        if isinstance(lines, list)
    }


def _address(reply: ConfigRecord) -> str:
    return checksummed(str(reply.get("address", "")))


def _number(reply: ConfigRecord, name: str) -> int:
    value = reply.get(name)
    if not isinstance(value, int):
        raise ProtocolError(f"a node's reply has no whole number {name}; found {value!r:.40}")
    return value
