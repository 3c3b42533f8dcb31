"""A chain that has been there for long: the embedded one, with the numbers of its blocks raised."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import requests

from bcfl.chain.embedded.chain import EmbeddedChain
from tests.chain.lying_node import RawServer, http

_BLOCK_AT = {
    "eth_call": 1, "eth_getTransactionCount": 1, "eth_getBalance": 1, "eth_getCode": 1,
    "eth_estimateGas": 1, "eth_getBlockByNumber": 0,
}  # fmt: skip
_NUMBERS = ("number", "blockNumber")


class FarAlong:
    """A hosted node of a long chain, which limits queries and counts what it is asked.

    Parameters
    ----------
    chain : EmbeddedChain
        Its block 0 is block ``before`` here.
    before : int
    limit : int
        The most blocks of one query for logs.
    """

    def __init__(self, chain: EmbeddedChain, before: int, limit: int) -> None:
        self._chain, self._before, self._limit = chain, before, limit
        self.requests = 0
        self.calls: Counter[str] = Counter()
        self._session = requests.Session()
        self._session.trust_env = False
        self._server = RawServer(self._answer)
        self.url = self._server.url

    def close(self) -> None:
        self._server.__exit__()
        self._session.close()

    def _answer(self, body: bytes) -> bytes:
        self.requests += 1
        asked = json.loads(body)
        many = asked if isinstance(asked, list) else [asked]
        replies = [{"jsonrpc": "2.0", "id": each["id"], **self._reply(each)} for each in many]
        return http(json.dumps(replies if isinstance(asked, list) else replies[0]).encode())

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], list(request["params"])
        self.calls[method] += 1
        at = _BLOCK_AT.get(method)
        if at is not None and len(params) > at and params[at].startswith("0x"):
            number = int(params[at], 16) - self._before
            if number < 0:
                return {"result": "0x" if method == "eth_getCode" else None}
            params[at] = hex(number)
        if method == "eth_getLogs":
            query = dict(params[0])
            ends = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            if ends[1] - ends[0] >= self._limit:
                return {"error": {"code": -32602, "message": "block range is limited to 10,000"}}
            if ends[1] < self._before:
                return {"result": []}
            query["fromBlock"], query["toBlock"] = (hex(max(n - self._before, 0)) for n in ends)
            params = [query]
        said = self._session.post(self._chain.url, json={**request, "params": params}).json()
        return {key: self._raised(said[key]) for key in ("result", "error") if key in said}

    def _raised(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._raised(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: hex(int(each, 16) + self._before)
            if name in _NUMBERS and isinstance(each, str)
            else self._raised(each)
            for name, each in value.items()
        }
