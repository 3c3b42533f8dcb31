"""Nodes that limit, time out and forget: few queries, none of them in vain for long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Contract
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import LedgerError, NodeRefused
from tests.chain.far_along import FarAlong
from tests.chain.lying_node import RawServer, http
from tests.chain.notes import FakeTime, notes

Change = Callable[[dict[str, Any]], bytes | None]
NOTES = 6


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain(seed=12) as running:
        for _ in range(10):
            running.travel(running.now() + 12)
        yield running


@pytest.fixture(scope="module")
def noted(chain: EmbeddedChain) -> Contract:
    """A contract from block 11 on, with an event in every fourth block."""
    with chain.connect(chain.coordinator) as connection:
        address, _ = connection.deploy(notes(), 1000)
        contract = connection.contract(address, notes().abi)
        for number in range(NOTES):
            connection.transact(contract, "note", b"%d" % number)
            for _ in range(3):
                chain.travel(chain.now() + 12)
        return contract


@contextmanager
def between(chain: EmbeddedChain, change: Change) -> Iterator[tuple[Connection, FakeTime]]:
    """A connection whose requests ``change`` may answer instead of the chain."""
    session = requests.Session()
    session.trust_env = False

    def answer(body: bytes) -> bytes:
        request = json.loads(body)
        if isinstance(request, list):
            return http(b"", "501 Not Implemented")
        changed = change(request)
        return http(session.post(chain.url, data=body).content) if changed is None else changed

    time = FakeTime()
    with RawServer(answer) as server, session:
        yield Connection(server.url, sleep=time.sleep, clock=time.clock), time


def said(request: dict[str, Any], code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return http(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode())


def span(request: dict[str, Any]) -> int:
    query = request["params"][0]
    return int(query["toBlock"], 16) - int(query["fromBlock"], 16) + 1


TOO_MUCH = [
    (-32005, "query returned more than 10000 results"),  # Infura
    (-32005, "limit exceeded"),
    (-32000, "query timeout exceeded"),
    (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K range"),
    (-32614, "eth_getLogs is limited to a 10,000 range"),
    (-32600, "exceed maximum block range: 50000"),
    (-32701, "Please specify an address in your request or, to remove restrictions, order a node"),
]


@pytest.mark.parametrize(("code", "message"), TOO_MUCH)
def test_whatever_means_too_much_makes_the_next_query_smaller_at_once(
    chain: EmbeddedChain, noted: Contract, code: int, message: str
) -> None:
    asked: list[int] = []

    def limited(request: dict[str, Any]) -> bytes | None:
        if request["method"] != "eth_getLogs":
            return None
        asked.append(span(request))
        return said(request, code, message) if asked[-1] > 4 else None

    with between(chain, limited) as (connection, time):
        assert len(connection.events(noted)) == NOTES
    assert not time.naps
    assert len(asked) < 20


@pytest.mark.parametrize("trouble", ["504", "408", "hangs up in the middle of it"])
def test_what_takes_too_long_makes_the_next_query_smaller(
    chain: EmbeddedChain, noted: Contract, trouble: str
) -> None:
    def slow(request: dict[str, Any]) -> bytes | None:
        if request["method"] != "eth_getLogs" or span(request) <= 8:
            return None
        if trouble.isdigit():
            return http(b"<html>", f"{trouble} Timeout")
        return said(request, -32000, "context deadline exceeded (timed out)")

    with between(chain, slow) as (connection, time):
        assert len(connection.events(noted)) == NOTES
    assert not time.naps


@pytest.mark.parametrize(
    "words", ["Too Many Requests", "daily request count exceeded, request rate limited"]
)
def test_a_limit_of_requests_is_waited_out_and_not_taken_for_one_of_results(
    chain: EmbeddedChain, noted: Contract, words: str
) -> None:
    refusals = [True, True]
    spans: list[int] = []

    def busy(request: dict[str, Any]) -> bytes | None:
        if request["method"] != "eth_getLogs":
            return None
        spans.append(span(request))
        return said(request, -32005, words) if refusals and refusals.pop() else None

    with between(chain, busy) as (connection, time):
        assert len(connection.events(noted)) == NOTES
    assert len(time.naps) == 2
    assert len(set(spans)) == 1


def test_queries_grow_again_and_what_is_final_is_asked_once(
    chain: EmbeddedChain, noted: Contract
) -> None:
    with EmbeddedChain(seed=13) as long:
        with long.connect(long.coordinator) as own:
            address, _ = own.deploy(notes(), 9)
            contract = own.contract(address, notes().abi)
            own.transact(contract, "note", b"early")
            for _ in range(200):
                long.travel(long.now() + 12)
            own.transact(contract, "note", b"late")
        asked: list[tuple[int, int]] = []

        def limited(request: dict[str, Any]) -> bytes | None:
            if request["method"] != "eth_getLogs":
                return None
            asked.append((int(request["params"][0]["fromBlock"], 16), span(request)))
            crowded = len(asked) < 7 and asked[-1][1] > 2  # a node that was busy at first
            return said(request, -32005, "limit exceeded") if crowded else None

        with between(long, limited) as (connection, _):
            assert len(connection.events(contract)) == 2
            assert max(size for _, size in asked[7:]) > 8
            asked.clear()
            assert len(connection.events(contract)) == 2
    assert asked
    assert min(first for first, _ in asked) > 130


def test_history_that_was_pruned_before_the_contract_began_does_not_matter(
    chain: EmbeddedChain, noted: Contract
) -> None:
    """EIP-4444: geth, reth and Besu drop what is old by default."""

    def pruned(request: dict[str, Any]) -> bytes | None:
        if request["method"] != "eth_getLogs" or int(request["params"][0]["fromBlock"], 16) >= 8:
            return None
        return said(request, 4444, "pruned history unavailable")

    with between(chain, pruned) as (connection, time):
        assert len(connection.events(noted)) == NOTES
    assert not time.naps


def test_history_that_was_pruned_after_the_contract_began_is_an_error_at_once(
    chain: EmbeddedChain, noted: Contract
) -> None:
    def pruned(request: dict[str, Any]) -> bytes | None:
        if request["method"] != "eth_getLogs" or int(request["params"][0]["fromBlock"], 16) >= 15:
            return None
        return said(request, 4444, "pruned history unavailable")

    with (
        between(chain, pruned) as (connection, time),
        pytest.raises(NodeRefused, match="pruned"),
    ):
        connection.events(noted)
    assert not time.naps


def test_on_a_long_chain_the_contract_is_found_in_few_requests(
    chain: EmbeddedChain, noted: Contract
) -> None:
    far = FarAlong(chain, 21_000_000, limit=10_000)
    with Connection(far.url) as connection:
        events = connection.events(noted)
        assert events[0].block - 21_000_000 == 12
        assert len(events) == NOTES
        assert far.calls["eth_getCode"] <= 26
        assert far.calls["eth_getLogs"] <= 4
    far.close()


def test_a_block_that_stays_too_much_is_an_error_after_some_patience(
    chain: EmbeddedChain, noted: Contract
) -> None:
    def never(request: dict[str, Any]) -> bytes | None:
        refused = request["method"] == "eth_getLogs"
        return said(request, -32005, "query returned more than 10000 results") if refused else None

    with (
        between(chain, never) as (connection, time),
        pytest.raises(LedgerError, match="more than 10000 results"),
    ):
        connection.events(noted)
    assert 10 < sum(time.naps) <= 30
