"""The embedded chain a function call away, for tests that play hundreds of rounds.

Bytes go in and come out as over HTTP; what five members ask of the same block is executed once,
and gas is estimated at one go. ``tests/chain``, the runs and the cluster play over real sockets.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from bcfl.chain.embedded.evm import Evm
from bcfl.chain.json_rpc import JsonRpc
from bcfl.chain.provider import refusal
from bcfl.core.errors import NodeUnreachable

__all__ = ["without_http"]

_OF_A_BLOCK: Final = (
    *("eth_call", "eth_getCode", "eth_chainId", "eth_getLogs", "eth_getBlockByNumber"),
    *("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getTransactionCount"),
)


class _Near:
    """In the place of ``LoopbackServer``: listens nowhere."""

    ports: Final = itertools.count(1)
    open: Final[dict[str, _Near]] = {}

    def __init__(self, answer: Any, port: int = 0) -> None:
        self._answer = answer
        self.port = port or next(self.ports)
        self.url = f"http://127.0.0.1:{self.port}"
        self._known: dict[bytes, bytes] = {}
        self._head = b""
        self.open[self.url] = self

    def close(self) -> None:
        del self.open[self.url]

    def request(self, method: str, params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode()
        if self._head != (head := self._answer.__self__._running().head.hash):
            self._known.clear()
            self._head = head
        reply = self._known.get(body) or self._answer(body)
        if method in _OF_A_BLOCK:
            self._known[body] = reply
        said = json.loads(reply)
        if "error" in said:
            raise refusal(method, said["error"])
        return said["result"]


def _request(self: JsonRpc, method: str, params: Any) -> Any:
    if (near := _Near.open.get(self.url)) is None:
        raise NodeUnreachable(f"no Ethereum node answers at {self.url}")
    return near.request(method, params)


def _estimate(self: Evm, sender: bytes, to: bytes, value: int, data: bytes) -> int:
    header, most = self._chain.header, self._chain.header.gas_limit
    left = self._execute(header, sender, to, value, data, most).get_gas_remaining()
    return min(int(most), 2 * (int(most) - int(left)))


@contextmanager
def without_http() -> Iterator[None]:
    """Chains that are started meanwhile answer at once; no other node does."""
    with (
        patch("bcfl.chain.embedded.chain.LoopbackServer", _Near),
        patch.object(JsonRpc, "request", _request),
        patch.object(Evm, "estimate", _estimate),
    ):
        yield
