"""A ``web3.Web3`` of the user's own, with any provider and any middleware, instead of a URL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from web3 import HTTPProvider, Web3
from web3.middleware import Web3Middleware
from web3.providers import BaseProvider
from web3.providers.eth_tester import EthereumTesterProvider

from bcfl.chain import EmbeddedChain, RpcChain
from bcfl.chain.node_chain import NodeChain
from bcfl.core.errors import (
    AccountError,
    ConfigurationError,
    ContractReverted,
    NodeRefused,
    NodeUnreachable,
    ReplyMalformed,
    TransactionUnknown,
)
from bcfl.keys import derive_account
from tests.chain.notes import notes

PASSWORD = "correct horse"
PAYER = derive_account(11, "payer", 0)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    PAYER.create_key_file(tmp_path / "key.json", PASSWORD)
    return tmp_path / "key.json"


def deploy_and_read(chain: NodeChain) -> None:
    with chain, chain.connect(chain.coordinator) as connection:
        address, sent = connection.deploy(notes(), 2)
        contract, _ = connection.attach(address, notes())
        assert connection.call(contract, "owner") == PAYER.address
        noted = connection.transact(contract, "note", b"hello")
        assert connection.call(contract, "count") == 1
        (log,) = connection.events(contract)
        assert (log.name, dict(log.arguments)) == ("Noted", {"number": 1, "text": b"hello"})
        assert (log.transaction, log.block) == (noted.hash, noted.block)
        assert connection.events_of(contract, noted.hash) == [log]
        assert connection.receipt(sent.hash).contract == address
        connection.transact(contract, "note", b"again")
        with pytest.raises(ContractReverted, match="refused note: notes: full"):
            connection.transact(contract, "note", b"more")
        with pytest.raises(ContractReverted, match="refused refuse: notes: never"):
            connection.call(contract, "refuse")
        with pytest.raises(TransactionUnknown):
            connection.receipt("0x" + "1" * 64)
        assert connection.now() >= log.timestamp > 0
        assert connection.balance(PAYER.address) > 0


class Forwarding(BaseProvider):
    """A provider without a URL, such as one over a pipe."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def make_request(self, method: Any, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return requests.post(self._url, json=body, timeout=10).json()


def counting(seen: Counter[str]) -> type[Web3Middleware]:
    class Counting(Web3Middleware):
        def request_processor(self, method: Any, params: Any) -> Any:
            seen[method] += 1
            return method, params

    return Counting


@pytest.mark.parametrize("provider", [HTTPProvider, Forwarding])
def test_a_contract_is_deployed_and_read_by_its_middlewares(
    provider: Callable[[str], BaseProvider], key_file: Path
) -> None:
    with EmbeddedChain(seed=3) as embedded:
        embedded.fund(PAYER.address, 10**20)
        seen: Counter[str] = Counter()
        own = Web3(provider(embedded.url))
        own.middleware_onion.add(counting(seen))
        deploy_and_read(RpcChain(own, key_file, PASSWORD))
        assert min(seen[x] for x in ("eth_call", "eth_sendRawTransaction", "eth_getLogs")) > 0


def test_eth_testers_provider_will_do() -> None:
    own = Web3(EthereumTesterProvider())
    own.eth.send_transaction(
        {"from": own.eth.accounts[0], "to": PAYER.address, "value": Web3.to_wei(1, "ether")}
    )
    deploy_and_read(NodeChain(own, PAYER))


def test_where_other_processes_find_the_node_is_asked_of_its_provider() -> None:
    assert NodeChain(Web3(HTTPProvider("http://node:1")), PAYER).url == "http://node:1"
    with pytest.raises(ConfigurationError, match="this Web3 has none"):
        _ = NodeChain(Web3(Forwarding("http://node:1")), PAYER).url


class Says(BaseProvider):
    def __init__(self, said: Any) -> None:
        super().__init__()
        self._said = said

    def make_request(self, method: Any, params: Any) -> Any:
        if isinstance(self._said, Exception):
            raise self._said
        return {"jsonrpc": "2.0", "id": 1, **self._said}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (requests.ConnectionError("https://me:secret@node"), NodeUnreachable),
        (ConnectionRefusedError(), NodeUnreachable),
        (KeyError("result"), ReplyMalformed),
        ({"error": {"code": -32000, "message": "no"}}, NodeRefused),
        ({"error": "no"}, (NodeRefused, ReplyMalformed)),
        ({"result": []}, ReplyMalformed),
        ({"result": "0x1g"}, ReplyMalformed),
        ({}, ReplyMalformed),
    ],
)
def test_its_troubles_have_our_names(said: Any, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        NodeChain(Web3(Says(said)), PAYER).start()
    assert "secret" not in str(caught.value)


def test_an_account_that_cannot_pay_is_named() -> None:
    with (
        EmbeddedChain(seed=3) as embedded,
        NodeChain(Web3(HTTPProvider(embedded.url)), PAYER) as chain,
        pytest.raises(AccountError, match=f"{PAYER.address} cannot pay"),
    ):
        chain.fund(chain.coordinator.address, 1)
