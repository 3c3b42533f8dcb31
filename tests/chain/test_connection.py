"""Calls, transactions and events over a node that works, one that loses things, one that lies."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Contract
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.embedded.loopback_server import LoopbackServer
from bcfl.chain.node import transaction_number
from bcfl.contracts import Artifact
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    ContractReverted,
    LedgerError,
    NodeUnreachable,
    ReplyMalformed,
    TransactionLost,
    TransactionUnknown,
)
from bcfl.keys.accounts import derive_account
from tests.chain.lying_node import mutate
from tests.chain.notes import FakeTime, notes

STRANGER = derive_account(9, "stranger", 0)
Change = Callable[[str, bytes, bytes], bytes | None]


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain(seed=5) as running:
        yield running


@pytest.fixture
def connection(chain: EmbeddedChain) -> Iterator[Connection]:
    with chain.connect(chain.coordinator) as connected:
        yield connected


@pytest.fixture
def contract(connection: Connection) -> Contract:
    address, _ = connection.deploy(notes(), 1000)
    return connection.contract(address, notes().abi)


@contextmanager
def between(chain: EmbeddedChain, change: Change, **options: object) -> Iterator[Connection]:
    """A connection whose replies pass through ``change`` (method, request, reply)."""

    def answer(body: bytes) -> bytes:
        method = json.loads(body)["method"]
        forwarded = change(method, body, b"")
        if forwarded is not None and forwarded != b"":
            return forwarded
        reply = session.post(chain.url, data=body).content
        changed = change(method, body, reply)
        return reply if changed is None else changed

    time = FakeTime()
    defaults = {"retry_s": 5.0, "mining_s": 60.0, "sleep": time.sleep, "clock": time.clock}
    with requests.Session() as session:
        server = LoopbackServer(answer)
        with Connection(server.url, chain.coordinator, **(defaults | options)) as connected:
            yield connected
        server.close()


def test_a_view_is_decoded(chain: EmbeddedChain, connection: Connection, contract: Contract):
    assert connection.call(contract, "owner") == chain.coordinator.address
    assert connection.call(contract, "count") == 0
    with pytest.raises(ContractReverted, match="refused refuse: notes: never"):
        connection.call(contract, "refuse")
    # no account is needed to read
    assert chain.connect().call(contract, "count") == 0


def test_a_transaction_is_mined_when_it_returns(connection: Connection, contract: Contract):
    sent = connection.transact(contract, "note", b"hello")
    assert connection.call(contract, "count") == 1
    receipt = connection.receipt(sent.hash.upper().replace("0X", "0x"))
    assert (receipt.number, receipt.block, receipt.gas) == (sent.hash, sent.block, sent.gas)
    (log,) = connection.events_of(contract, sent.hash)
    assert (log.name, dict(log.arguments)) == ("Noted", {"number": 1, "text": b"hello"})
    assert (log.transaction, log.block, log.timestamp) == (sent.hash, sent.block, connection.now())


def test_a_revert_has_the_contracts_reason(chain: EmbeddedChain, connection: Connection):
    with pytest.raises(ContractReverted, match="refused deploy: notes: no room"):
        connection.deploy(notes(), 0)
    address, _ = connection.deploy(notes(), 1)
    contract = connection.contract(address, notes().abi)
    with pytest.raises(ContractReverted, match="notes: too little"):
        connection.transact(contract, "pay", value=5)
    with pytest.raises(ContractReverted, match="no reason given"):
        connection.transact(contract, "small", 256)
    connection.transact(contract, "pay", value=6)
    assert chain.connect().balance(address) == 6


def test_a_revert_that_only_mining_shows_has_its_reason_too(chain: EmbeddedChain):
    with chain.connect(chain.coordinator) as own:
        address, _ = own.deploy(notes(), 1)
        contract = own.contract(address, notes().abi)
        estimate = {"result": "0x186a0"}

        def hopeful(method: str, body: bytes, reply: bytes) -> bytes | None:
            if method != "eth_estimateGas":
                return None
            return json.dumps({"id": json.loads(body)["id"], **estimate}).encode()

        own.transact(contract, "note", b"the only one")
        with between(chain, hopeful) as other:
            with pytest.raises(ContractReverted, match="notes: full"):
                other.transact(contract, "note", b"x")
            estimate["result"] = "0x5300"  # 21,248: not even enough to begin
            with pytest.raises(LedgerError):
                other.transact(contract, "note", b"x" * 64)
        reverted = own.request("eth_getBlockByNumber", "latest", False)["transactions"][0]
        with pytest.raises(TransactionUnknown, match="reverted"):
            own.receipt(reverted)


def test_an_account_that_cannot_pay_is_named_with_what_it_has_and_needs(chain: EmbeddedChain):
    with chain.connect(STRANGER) as poor:
        for attempt in (
            lambda: poor.deploy(notes(), 1),
            lambda: poor.transfer(STRANGER.address, 1),
        ):
            with pytest.raises(
                AccountError,
                match=rf"{STRANGER.address} cannot pay .* has 0 wei and needs up to \d",
            ):
                attempt()
    with pytest.raises(AccountError, match="only reads"):
        chain.connect().transfer(STRANGER.address, 1)
    with pytest.raises(AccountError, match="only reads"):
        _ = chain.connect().address
    with pytest.raises(AccountError, match="expected an address"):
        chain.connect().balance("0x123")


@pytest.mark.parametrize("number", ["", "0x", "0x12", "z" * 66, "0x" + "g" * 64, "0x" + "1" * 64])
def test_a_transaction_that_does_not_exist_is_unknown(connection: Connection, number: str):
    with pytest.raises(TransactionUnknown):
        connection.receipt(number)


def test_only_the_contracts_own_events_count(connection: Connection, contract: Contract):
    other, _ = connection.deploy(notes(), 10)
    another = connection.contract(other, notes().abi)
    sent = connection.transact(another, "note", b"elsewhere")
    assert connection.events_of(contract, sent.hash) == []
    assert len(connection.events_of(another, sent.hash)) == 1
    assert connection.events(contract) == []


def test_events_come_in_order_by_name_and_from_a_block(connection: Connection, contract: Contract):
    connection.transact(contract, "note", b"0")
    second = connection.transact(contract, "note_twice", b"1")
    everything = connection.events(contract)
    assert [(log.name, log.log_index) for log in everything] == [
        ("Noted", 0),
        ("Noted", 0),
        ("Noted", 1),
        ("Emptied", 2),
    ]
    assert connection.events(contract, from_block=second.block) == everything[1:]
    assert connection.events(contract, ["Emptied"]) == everything[3:]
    assert connection.events(contract, from_block=second.block + 1000) == []


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_a_node_that_limits_queries_is_asked_for_less(
    chain: EmbeddedChain, connection: Connection, contract: Contract, limit: int
):
    for number in range(5):
        connection.transact(contract, "note", b"%d" % number)

    def limited(method: str, body: bytes, reply: bytes) -> bytes | None:
        if method != "eth_getLogs":
            return None
        query = json.loads(body)["params"][0]
        if int(query["toBlock"], 16) - int(query["fromBlock"], 16) < limit:
            return None
        error = {"code": -32602, "message": "query exceeds max block range"}
        return json.dumps({"id": json.loads(body)["id"], "error": error}).encode()

    with between(chain, limited) as other:
        assert other.events(contract) == connection.events(contract)
    with between(chain, lambda *_: None, max_reply_bytes=2000) as other:
        assert other.events(contract) == connection.events(contract)


def test_another_contract_at_the_address_is_noticed(connection: Connection, contract: Contract):
    found, artifact = connection.attach(contract.address, notes())
    assert (found.address, artifact) == (contract.address, notes())
    code = notes().runtime_code
    for wrong in (code[:-1] + b"\0", code[:-1], b"\0" + code):
        artifact = Artifact("Notes", notes().abi, notes().bytecode, wrong)
        with pytest.raises(ArtifactError, match="bytes of other code"):
            connection.attach(contract.address, artifact)
    for address in (STRANGER.address, "0x" + "00" * 20):
        with pytest.raises(ArtifactError, match=r"expected Notes at .* found no contract"):
            connection.attach(address, notes())
        with pytest.raises(ArtifactError, match="no contract at"):
            connection.call(connection.contract(address, notes().abi), "count")


def test_the_answer_to_a_send_may_be_lost(
    chain: EmbeddedChain, connection: Connection, contract: Contract
):
    lost = []

    def lossy(method: str, body: bytes, reply: bytes) -> bytes | None:
        if method == "eth_sendRawTransaction" and reply and len(lost) < 2:
            lost.append(body)  # the node has it by now
            return b"<html>bad gateway</html>"
        return None

    with between(chain, lossy) as other:
        sent = other.transact(contract, "note", b"once")
    assert len(lost) == 2
    assert len({json.loads(body)["params"][0] for body in lost}) == 1
    assert connection.call(contract, "count") == 1
    assert connection.receipt(sent.hash).succeeded


def test_a_dropped_transaction_is_sent_again_and_mined_once(
    chain: EmbeddedChain, connection: Connection, contract: Contract
):
    dropped = []

    def dropping(method: str, body: bytes, reply: bytes) -> bytes | None:
        if method == "eth_sendRawTransaction" and not reply and len(dropped) < 3:
            raw = json.loads(body)["params"][0]
            dropped.append(raw)
            said = transaction_number(bytes.fromhex(raw[2:]))  # the node says yes, and forgets
            return json.dumps({"id": json.loads(body)["id"], "result": said}).encode()
        return None

    with between(chain, dropping) as other:
        sent = other.transact(contract, "note", b"again")
    assert len(set(dropped)) == 1
    assert len(dropped) == 3
    assert connection.call(contract, "count") == 1
    assert connection.receipt(sent.hash).succeeded


def test_a_receipt_that_never_comes_is_a_lost_transaction(
    chain: EmbeddedChain, connection: Connection, contract: Contract
):
    def forgetful(method: str, body: bytes, reply: bytes) -> bytes | None:
        if method == "eth_getTransactionReceipt":
            return json.dumps({"id": json.loads(body)["id"], "result": None}).encode()
        return None

    with between(chain, forgetful) as other, pytest.raises(TransactionLost, match="look it up"):
        other.transact(contract, "note", b"x")
    assert connection.call(contract, "count") == 1


def test_only_what_is_confirmed_counts(chain: EmbeddedChain, contract: Contract):
    blocks: list[int] = []

    def meanwhile() -> None:
        blocks.append(chain.now())
        chain.travel(chain.now() + 12)

    time = FakeTime(meanwhile)
    with chain.connect(
        chain.coordinator, confirmations=3, sleep=time.sleep, clock=time.clock
    ) as careful:
        sent = careful.transact(contract, "note", b"deep")
        assert len(blocks) == 3
        assert careful.block_number() == sent.block + 3
        assert [log.transaction for log in careful.events(contract)] == [sent.hash]
        with chain.connect(chain.coordinator) as hasty:
            assert hasty.confirmations == 0
            fresh = hasty.transact(contract, "note", b"fresh")
            assert len(hasty.events(contract)) == 2
        assert len(careful.events(contract)) == 1
        with pytest.raises(TransactionUnknown, match="expected 3 blocks on top"):
            careful.receipt(fresh.hash)
        for _ in range(3):
            meanwhile()
        assert careful.receipt(fresh.hash).succeeded
        assert len(careful.events(contract)) == 2


def test_a_receipt_of_a_block_that_was_replaced_does_not_count(
    chain: EmbeddedChain, contract: Contract
):
    replaced = 2

    def reorganised(method: str, body: bytes, reply: bytes) -> bytes | None:
        nonlocal replaced
        if method == "eth_getTransactionReceipt" and reply and replaced:
            replaced -= 1
            answer = json.loads(reply)
            answer["result"]["blockHash"] = "0x" + "11" * 32
            chain.travel(chain.now() + 12)
            return json.dumps(answer).encode()
        return None

    with between(chain, reorganised, confirmations=1) as other:
        sent = other.transact(contract, "note", b"x")
        assert replaced == 0
        assert other.receipt(sent.hash).block == sent.block


def test_other_chains_than_those_for_development_need_two_confirmations(chain: EmbeddedChain):
    def mainnet(method: str, body: bytes, reply: bytes) -> bytes | None:
        said = {"id": json.loads(body)["id"], "result": "0x1"}
        return json.dumps(said).encode() if method == "eth_chainId" else None

    with between(chain, mainnet) as other:
        assert other.confirmations == 2


def test_a_node_that_restarts_is_waited_for(contract: Contract):
    own = EmbeddedChain(seed=6)
    own.start()
    time = FakeTime(meanwhile=own.start)
    with own.connect(own.coordinator, sleep=time.sleep, clock=time.clock) as connection:
        address, _ = connection.deploy(notes(), 10)
        there = connection.contract(address, notes().abi)
        for attempt in (
            lambda: connection.transact(there, "note", b"x"),
            connection.now,
            lambda: connection.call(there, "count"),
            lambda: connection.events(there),
        ):
            own.stop()
            attempt()
        own.stop()
        assert len(time.naps) == 4
        still = FakeTime()
        connection._rpc.sleep, connection._rpc.clock = still.sleep, still.clock
        with pytest.raises(NodeUnreachable, match="no Ethereum node answers at"):
            connection.now()


def test_a_node_that_lies_about_numbers_is_not_believed(chain: EmbeddedChain, contract: Contract):
    lies = {
        "eth_chainId": ["0x", "1", 1, None, "0x1_0", "0x" + "f" * 17, []],
        "eth_getBlockByNumber": [None, {}, {"number": "0x1"}, "0x1"],
        "eth_getCode": [None, "0xf", "xx", 5],
        "eth_call": [None, "0x01", "0x" + "ff" * 31, {}],
    }
    asks: dict[str, Callable[[Connection], object]] = {
        "eth_chainId": lambda c: c.chain_id,
        "eth_getBlockByNumber": lambda c: c.now(),
        "eth_getCode": lambda c: c.code(contract.address),
        "eth_call": lambda c: c.call(c.contract(contract.address, notes().abi), "owner"),
    }
    for method, values in lies.items():
        for value in values:

            def lying(asked: str, body: bytes, reply: bytes, v=value, m=method) -> bytes | None:
                said = {"id": json.loads(body)["id"], "result": v}
                return json.dumps(said).encode() if asked == m else None

            with between(chain, lying) as other, pytest.raises(ReplyMalformed):
                asks[method](other)


#: In the suite some hundreds; `make fuzz` sets BCFL_FUZZ.
MUTATED_REPLIES = 10_000 if os.environ.get("BCFL_FUZZ") else 480

ASKS: dict[str, Callable[[Connection, Contract, str], object]] = {
    "chain_id": lambda c, k, t: c.chain_id,
    "now": lambda c, k, t: c.now(),
    "call": lambda c, k, t: c.call(c.contract(k.address, notes().abi), "owner"),
    "code": lambda c, k, t: c.attach(k.address, notes()),
    "receipt": lambda c, k, t: c.receipt(t),
    "events_of": lambda c, k, t: c.events_of(k, t),
    "events": lambda c, k, t: c.events(k),
    "transact": lambda c, k, t: c.transact(c.contract(k.address, notes().abi), "note", b"x"),
}


@pytest.fixture(scope="module")
def noted(chain: EmbeddedChain) -> tuple[Contract, str]:
    with chain.connect(chain.coordinator) as connection:
        address, _ = connection.deploy(notes(), 10**9)
        contract = connection.contract(address, notes().abi)
        return contract, connection.transact(contract, "note_twice", b"x").hash


@pytest.mark.parametrize("ask", ASKS)
def test_mutated_replies_give_an_answer_or_one_of_our_errors(
    chain: EmbeddedChain, noted: tuple[Contract, str], ask: str
):
    chance = random.Random(ask)
    seen: Counter[str] = Counter()

    def lying(method: str, body: bytes, reply: bytes) -> bytes | None:
        # a transaction takes eight replies or more: fewer of them may lie, or none gets far
        if not reply or chance.random() < (0.8 if ask == "transact" else 0.3):
            return None
        seen["mutated"] += 1
        return mutate(reply, chance)

    with between(chain, lying) as proxy:
        while seen["mutated"] < MUTATED_REPLIES // len(ASKS):
            time = FakeTime()
            options = {"retry_s": 0.0, "mining_s": 1.0, "sleep": time.sleep, "clock": time.clock}
            with Connection(proxy.url, chain.coordinator, **options) as other:
                try:
                    ASKS[ask](other, *noted)
                    seen["answered"] += 1
                except LedgerError as error:
                    seen[type(error).__name__] += 1
    refused = seen.total() - seen["mutated"] - seen["answered"]
    assert seen["answered"] > 5
    assert refused > seen["mutated"] // 4
    assert seen["ReplyMalformed"] > 5
