"""Fees that rise, nonces that lag, transactions of a process that is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.node import transaction_number
from bcfl.core.errors import TransactionLost
from tests.chain.lying_node import RawServer, http
from tests.chain.notes import FakeTime, notes

GWEI = 10**9


class Pool:
    """A node with a pool as geth's: what is offered below the base fee waits, and may be replaced.

    One nonce stands for one transaction; its place is taken by one that offers a tenth more.
    """

    def __init__(self, chain: EmbeddedChain) -> None:
        self.chain = chain
        self.base_fee: int | None = None  # None: the chain's own
        self.pending: dict[int, tuple[int, str, str]] = {}  # by nonce: fee, number, signed bytes
        self.sent: list[tuple[int, int]] = []
        self.stale_nonces = 0  # how many answers still lag
        self.time = FakeTime()
        self._session = requests.Session()
        self._session.trust_env = False
        self._server = RawServer(self._answer)

    def connect(self, **options: Any) -> Connection:
        return Connection(
            self._server.url,
            self.chain.coordinator,
            sleep=self.time.sleep,
            clock=self.time.clock,
            **options,
        )

    def close(self) -> None:
        self._server.__exit__()
        self._session.close()

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = self._session.post(self.chain.url, json=request).json()
        return reply

    def _answer(self, body: bytes) -> bytes:
        request = json.loads(body)
        said = {"jsonrpc": "2.0", "id": request["id"]}
        return http(json.dumps(self._reply(request) or said | self._forward(request)).encode())

    def _reply(self, request: dict[str, Any]) -> dict[str, Any] | None:
        method, params, said = request["method"], request["params"], {"id": request["id"]}
        numbers = [number for _, number, _ in self.pending.values()]
        if method == "eth_sendRawTransaction":
            return self._take(params[0], said)
        if method == "eth_getTransactionCount" and params[1] == "pending":
            if self.stale_nonces:
                self.stale_nonces -= 1
                return said | {"result": "0x0"}
            return said | {"result": hex(max(self.pending) + 1)} if self.pending else None
        if method == "eth_getTransactionByHash" and params[0] in numbers:
            return said | {"result": {"hash": params[0], "blockNumber": None}}
        if method == "eth_getBlockByNumber" and self.base_fee is not None:
            reply = self._forward(request)
            reply["result"]["baseFeePerGas"] = hex(self.base_fee)
            return reply
        return None

    def _take(self, raw: str, said: dict[str, Any]) -> dict[str, Any] | None:
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        nonce, fee = fields["nonce"], fields["maxFeePerGas"]
        self.sent.append((nonce, fee))
        if self.base_fee is None:
            return None
        number = transaction_number(bytes(HexBytes(raw)))
        if nonce in self.pending and fee * 10 < self.pending[nonce][0] * 11:
            words = "replacement transaction underpriced"
            return said | {"error": {"code": -32000, "message": words}}
        self.pending[nonce] = fee, number, raw
        for next_nonce in sorted(self.pending):  # in the nonces' order, each behind the one before
            if self.pending[next_nonce][0] < self.base_fee:
                break
            mined = self.pending.pop(next_nonce)
            request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction"}
            self._forward({**request, "params": [mined[2]]})
        return said | {"result": number}


@pytest.fixture
def pool() -> Iterator[Pool]:
    with EmbeddedChain(seed=21) as chain:
        pool = Pool(chain)
        yield pool
        pool.close()


def test_a_pending_transaction_gets_a_higher_fee_with_the_same_nonce(pool: Pool) -> None:
    with pool.connect() as connection:
        address, _ = connection.deploy(notes(), 9)
        contract = connection.contract(address, notes().abi)
        offered = pool.sent[-1][1]

        def spike() -> None:  # after the price was asked, before the transaction is there
            pool.base_fee = 3 * offered

        connection.signer = Surprised(pool.chain.coordinator, spike)  # type: ignore[assignment]
        connection.transact(contract, "note", b"x")
        assert connection.call(contract, "count") == 1
    nonces = [nonce for nonce, _ in pool.sent]
    assert nonces == [0, 1, 1]
    assert pool.sent[2][1] >= pool.base_fee
    assert sum(pool.time.naps) < 60


class Surprised:
    """An account between whose pricing and signing something happens, once."""

    def __init__(self, account: Any, surprise: Any) -> None:
        self._account, self._surprise = account, surprise
        self.address = account.address

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        surprise, self._surprise = self._surprise, lambda: None
        surprise()
        signed: bytes = self._account.sign_transaction(fields)
        return signed


def test_no_more_is_offered_than_the_owner_allows(pool: Pool) -> None:
    with pool.connect(max_fee_gwei=5.0) as connection:
        address, _ = connection.deploy(notes(), 9)
        contract = connection.contract(address, notes().abi)
        pool.base_fee = 40 * GWEI
        with pytest.raises(TransactionLost):
            connection.transact(contract, "note", b"x")
    assert max(fee for _, fee in pool.sent) <= 5 * GWEI


def test_a_new_process_replaces_what_the_one_before_left_pending(pool: Pool) -> None:
    """Each resume used to queue another transaction behind the one that is stuck."""
    with pool.connect(mining_s=8.0, max_fee_gwei=3.0) as first:
        address, _ = first.deploy(notes(), 9)
        contract = first.contract(address, notes().abi)
        pool.base_fee = 4 * GWEI
        with pytest.raises(TransactionLost):
            first.transact(contract, "note", b"left behind")
    assert list(pool.pending) == [1]
    with pool.connect() as second:  # which may offer more
        second.transact(second.contract(address, notes().abi), "note", b"anew")
        assert second.call(contract, "count") == 1
    assert {nonce for nonce, _ in pool.sent} == {0, 1}
    assert not pool.pending


def test_a_nonce_count_that_lags_for_long_ends_nothing(pool: Pool) -> None:
    """The count may be older than the receipt: tradingstrategy-ai/web3-ethereum-defi#153."""
    with pool.connect() as connection:
        address, _ = connection.deploy(notes(), 9)
        contract = connection.contract(address, notes().abi)
        pool.stale_nonces = 10**6
        for _ in range(3):
            connection.transact(contract, "note", b"x")
        assert connection.call(contract, "count") == 3
    assert [nonce for nonce, _ in pool.sent] == [0, 1, 2, 3]
