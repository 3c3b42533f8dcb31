"""Hostile weather between everybody and a chain, in time that passes faster than ours.

Pauses are short, and patience is as long as ever, so that a busy machine is not taken for a node
that stays behind.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import requests

from bcfl.chain.chain import Chain
from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.keys.accounts import Account
from bcfl.keys.signer import Wallet
from tests.chain.lying_node import RawServer, http

#: Seconds of the weather that pass in one of ours.
SPEED: Final = 25.0
PRUNED_BELOW: Final = 10
_STATE = {
    "eth_call": 1, "eth_getTransactionCount": 1, "eth_getBalance": 1, "eth_getCode": 1,
    "eth_estimateGas": 1, "eth_getBlockByNumber": 0,
}  # fmt: skip
_BY_HASH = ("eth_getTransactionReceipt", "eth_getTransactionByHash")
_TROUBLES = ("429", "502", "504", "dropped", "answer lost", "limit exceeded")
_REFUSALS = (
    (-32005, "query returned more than 10000 results"),
    (-32602, "query exceeds max block range"),
    (-32000, "block range is too large"),
    (-32000, "query timeout exceeded"),
)


def clock() -> float:
    """Seconds of the weather."""
    return time.monotonic() * SPEED


def sleep(seconds: float) -> None:
    """Let so many seconds of the weather pass."""
    time.sleep(seconds / SPEED)


class Weather:
    """A hosted node: for each reader, replicas that lag, fail, limit and forget.

    Parameters
    ----------
    chain : EmbeddedChain
    seed : int
        Of what goes wrong.
    lag_s : float
        How long at most a replica learns of a block after the others; differs by reader.
    trouble : float
        The share of requests that fail in passing.
    """

    def __init__(
        self, chain: EmbeddedChain, seed: int, *, lag_s: float = 5.0, trouble: float = 0.08
    ) -> None:
        self.chain = chain
        self.chance = random.Random(seed)
        self.lag_s = lag_s
        self.trouble = trouble
        self.log_limit = self.chance.choice([1, 3, 10, 100])
        self.refusal = self.chance.choice(_REFUSALS)
        self.pruned = False
        self.seen: Counter[str] = Counter()
        self._made: list[float] = []  # when each block was, by number
        self._lock = threading.Lock()
        self.frozen: dict[str, int] = {}  # the block at which a reader's node stays
        self._servers: dict[str, RawServer] = {}
        self._session = requests.Session()
        self._session.trust_env = False

    def url(self, reader: str) -> str:
        """Where this reader asks."""
        if reader not in self._servers:
            lag = self.chance.uniform(0.2, 1.0) * self.lag_s
            self._servers[reader] = RawServer(lambda body: self._answer(reader, body, lag))
        return self._servers[reader].url

    def close(self) -> None:
        for server in self._servers.values():
            server.__exit__()
        self._session.close()

    def _answer(self, reader: str, body: bytes, lag: float) -> bytes | None:
        request = json.loads(body)
        if isinstance(request, list):
            return self._answer_each(reader, request, lag)
        with self._lock:
            bad = self.chance.random() < self.trouble
            trouble = self.chance.choice(_TROUBLES) if bad else ""
            behind = self.chance.choice((0.0, lag, lag * self.chance.random()))
            self._look()
            head = sum(made + behind <= clock() for made in self._made) - 1
            head = min(head, self.frozen.get(reader, head))
        self.seen[trouble] += 1
        if trouble.isdigit():
            return http(b"<html>", f"{trouble} Trouble")
        if trouble == "dropped":
            return None
        if trouble == "limit exceeded":
            return self._said(request, error=(-32005, "daily request count exceeded, rate limited"))
        reply = self._reply(request, max(head, 0))
        with self._lock:
            self._look()
        return None if trouble == "answer lost" else reply

    def _answer_each(self, reader: str, batch: list[Any], lag: float) -> bytes | None:
        """Half of all batches are refused; the others' requests go to a replica each."""
        with self._lock:
            refused = self.chance.random() < 0.5
        self.seen["batch refused" if refused else "batch"] += 1
        if refused:
            return http(b"", "501 Not Implemented")
        replies = [self._answer(reader, json.dumps(each).encode(), lag) for each in batch]
        bodies = [reply.partition(b"\r\n\r\n")[2] for reply in replies if reply is not None]
        said = [body for body in bodies if body.startswith(b"{")]
        return http(b"[" + b",".join(said) + b"]")

    def _look(self) -> None:
        evm = self.chain._evm
        if evm is not None and not self._made:  # what was there before is known to all
            self._made = [-1000.0] * len(evm.blocks)
        for _ in range(len(self._made), len(evm.blocks) if evm is not None else 0):
            self._made.append(clock())

    def _reply(self, request: dict[str, Any], head: int) -> bytes:
        method, params = request["method"], list(request["params"])
        if (at := _STATE.get(method)) is not None and len(params) > at:
            if params[at] in ("latest", "pending"):
                params[at] = hex(head)
            number = int(params[at], 16)
            if number > head:
                self.seen["too early"] += 1
                if method == "eth_getBlockByNumber":
                    return self._said(request, result=None)
                return self._said(request, error=(-32000, "header not found"))
            if self.pruned and method == "eth_getBlockByNumber" and number < PRUNED_BELOW:
                return self._said(request, error=(4444, "pruned history unavailable"))
        if method == "eth_getLogs":
            query = params[0]
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            if self.pruned and first < PRUNED_BELOW:
                return self._said(request, error=(4444, "pruned history unavailable"))
            if last - first >= self.log_limit:
                self.seen["too much"] += 1
                return self._said(request, error=self.refusal)
            if last > head:
                if self.chance.random() < 0.5:
                    words = "block range extends beyond current head block"
                    return self._said(request, error=(-32602, words))
                if head < first:
                    return self._said(request, result=[])
                params[0] = {**query, "toBlock": hex(head)}
        reply = self._session.post(
            self.chain.url, json={**request, "params": params}, timeout=30
        ).json()
        found = reply.get("result") if method in _BY_HASH else None
        if found and int(found["blockNumber"], 16) > head:
            if self.chance.random() < 0.2:
                return self._said(request, error=(-32000, "indexing is in progress"))
            reply["result"] = None
        return http(json.dumps(reply).encode())

    def _said(
        self, request: dict[str, Any], *, result: Any = None, error: tuple[int, str] | None = None
    ) -> bytes:
        said = (
            {"result": result}
            if error is None
            else {"error": {"code": error[0], "message": error[1]}}
        )
        return http(json.dumps({"jsonrpc": "2.0", "id": request["id"], **said}).encode())


class WeatheredChain(Chain):
    """The embedded chain as everybody sees it through the weather."""

    def __init__(self, inner: EmbeddedChain, weather: Weather) -> None:
        self.inner = inner
        self.weather = weather

    @property
    def url(self) -> str:
        return self.weather.url("server")

    @property
    def coordinator(self) -> Account:
        return self.inner.coordinator

    def start(self) -> None:
        self.inner.start()

    def stop(self) -> None:
        self.inner.stop()

    def wait_until(self, timestamp: int) -> None:
        self.inner.wait_until(timestamp)

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        return super().connect(signer, **({"sleep": sleep} | options))


def hurried(make: Callable[..., Connection]) -> Callable[..., Connection]:
    """Connections that pause in the weather's time."""
    return lambda *places, **options: make(*places, **({"sleep": sleep} | options))
