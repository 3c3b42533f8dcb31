"""The chain in this process: deterministic, on disk before it is seen, the same after any death."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bcfl.chain.connection import Connection, Contract
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    JournalDamaged,
    LedgerError,
    NodeRefused,
)
from bcfl.keys.accounts import derive_account
from tests.chain.notes import notes

MEMBER = derive_account(1, "member", 0)


def contract_on(chain: EmbeddedChain, limit: int = 100) -> tuple[Connection, Contract]:
    connection = chain.connect(chain.coordinator)
    address, _ = connection.deploy(notes(), limit)
    return connection, connection.contract(address, notes().abi)


def blocks_of(chain: EmbeddedChain) -> list[object]:
    connection = chain.connect()
    count = connection.block_number() + 1
    return [connection.request("eth_getBlockByNumber", hex(n), True) for n in range(count)]


def play(chain: EmbeddedChain, calls: int = 3) -> None:
    connection, contract = contract_on(chain)
    for number in range(calls):
        connection.transact(contract, "note", b"%d" % number)
    chain.fund(MEMBER.address, 10**18)
    chain.wait_until(connection.now() + 1000)
    connection.transact(contract, "note", b"late")


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as running:
        yield running


def test_the_same_seed_and_calls_give_the_same_chain():
    chains = []
    for seed in (3, 3, 4):
        with EmbeddedChain(seed=seed) as chain:
            play(chain)
            chains.append(blocks_of(chain))
    assert chains[0] == chains[1] != chains[2]


def test_time_is_virtual(chain: EmbeddedChain):
    connection = chain.connect(chain.coordinator)
    assert connection.now() == 1_767_225_600  # 2026-01-01T00:00:00Z
    _, contract = contract_on(chain)
    assert connection.now() == 1_767_225_601
    chain.wait_until(1_800_000_000)
    assert connection.now() == chain.now() == connection.call(contract, "time") == 1_800_000_001
    chain.wait_until(1_800_000_000)  # has passed already: nothing happens
    assert connection.now() == 1_800_000_001
    with pytest.raises(LedgerError, match="has passed"):
        chain.travel(1_800_000_001)


def test_a_call_sees_the_state_of_the_block_it_asks_for(chain: EmbeddedChain):
    connection, contract = contract_on(chain)
    first = connection.block_number()
    connection.transact(contract, "note", b"x")

    def called(function: str, *arguments: bytes) -> list[str]:
        data = "0x" + contract.encode(function, arguments).hex()
        fields = {"to": contract.address, "data": data}
        return [connection.request("eth_call", fields, hex(first + later)) for later in (0, 1)]

    assert called("note", b"changes nothing") == ["0x", "0x"]
    assert [int(count, 16) for count in called("count")] == [0, 1]


def test_nobody_may_borrow_the_nodes_keys(chain: EmbeddedChain):
    connection = chain.connect()
    sent = {"from": chain.coordinator.address, "to": MEMBER.address, "value": "0x1"}
    for method in ("eth_sendTransaction", "eth_signTransaction", "eth_sign", "eth_accounts"):
        with pytest.raises(NodeRefused, match="holds no keys"):
            connection.request(method, sent)
    assert connection.balance(MEMBER.address) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"method": 3}',
        b'{"method": "eth_call", "params": {"a": 1}}',
        b'{"method": "eth_call", "params": []}',
        b'{"method": "eth_call", "params": [{"to": "0x1"}]}',
        b'{"method": "eth_getBalance", "params": ["0xzz"]}',
        b'{"method": "eth_getBlockByNumber", "params": [[]]}',
        b'{"method": "eth_sendRawTransaction", "params": ["0x02c0"]}',
        b'{"method": "eth_sendRawTransaction", "params": ["0x7f"]}',
        b'{"method": "eth_getLogs", "params": [{"fromBlock": "0xffffff"}]}',
    ],
)
def test_nonsense_gets_an_error_and_the_server_lives(chain: EmbeddedChain, body: bytes):
    reply = requests.post(chain.url, data=body, timeout=10).json()
    assert reply["error"]["code"] < 0
    assert "result" not in reply
    assert chain.connect().block_number() == 0


def test_a_request_without_end_is_not_read(chain: EmbeddedChain):
    for length in ("99999999999", "-1", "x"):
        headers = {"Content-Length": length}
        assert requests.post(chain.url, headers=headers, timeout=10).status_code in (400, 413)


def test_a_batch_is_answered_in_order(chain: EmbeddedChain):
    asked = [{"id": n, "method": "eth_blockNumber", "params": []} for n in (5, 3)]
    replies = requests.post(chain.url, json=asked, timeout=10).json()
    assert [(reply["id"], reply["result"]) for reply in replies] == [(5, "0x0"), (3, "0x0")]


def test_a_transaction_for_another_chain_is_refused(chain: EmbeddedChain):
    fields = {"to": MEMBER.address, "value": 1, "gas": 21_000, "nonce": 0, "type": 2}
    fields |= {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1, "data": b""}
    connection = chain.connect()
    signed = chain.coordinator.sign_transaction({**fields, "chainId": 1})
    with pytest.raises(NodeRefused, match="chain id"):
        connection.request("eth_sendRawTransaction", "0x" + signed.hex())
    here = {**fields, "chainId": connection.chain_id}
    raw = "0x" + chain.coordinator.sign_transaction(here).hex()
    connection.request("eth_sendRawTransaction", raw)
    with pytest.raises(NodeRefused, match="already known"):
        connection.request("eth_sendRawTransaction", raw)
    for nonce, words in ((0, "too low"), (7, "too high")):
        signed = chain.coordinator.sign_transaction({**here, "nonce": nonce, "value": 2})
        with pytest.raises(NodeRefused, match=words):
            connection.request("eth_sendRawTransaction", "0x" + signed.hex())
    assert connection.balance(MEMBER.address) == 1


def test_a_journal_gives_the_identical_chain_and_goes_on(tmp_path: Path):
    journal = tmp_path / "run" / "chain.jsonl"
    with EmbeddedChain(journal) as chain:
        play(chain)
        before = blocks_of(chain)
    with EmbeddedChain(journal) as chain:
        assert blocks_of(chain) == before
        chain.fund(MEMBER.address, 1)
    with EmbeddedChain(journal) as chain:
        assert blocks_of(chain)[:-1] == before
        assert chain.connect().balance(MEMBER.address) == 10**18 + 1


def test_a_chain_without_journal_survives_a_stop_at_the_same_url():
    chain = EmbeddedChain()
    with chain:
        play(chain)
        before, url = blocks_of(chain), chain.url
    with pytest.raises(LedgerError, match="not running"):
        _ = chain.url
    with chain:
        assert (blocks_of(chain), chain.url) == (before, url)


def test_a_replayed_chain_can_be_read_and_not_written(tmp_path: Path):
    journal = tmp_path / "chain.jsonl"
    with EmbeddedChain(journal) as chain:
        play(chain)
        before = blocks_of(chain)
    torn = journal.read_bytes() + b'{"block": 99, "tim'
    journal.write_bytes(torn)
    with EmbeddedChain.replay(journal) as chain:
        assert blocks_of(chain) == before
        with pytest.raises(AccountError, match="can only be read"):
            _ = chain.coordinator
        with pytest.raises(LedgerError, match="takes no transactions"):
            chain.travel(chain.now() + 5)
        with pytest.raises(LedgerError, match="takes no transactions"):
            chain.connect(derive_account(0, "coordinator", 0)).transfer(MEMBER.address, 1)
    assert journal.read_bytes() == torn


def test_a_torn_last_line_is_as_if_it_had_never_been(tmp_path: Path):
    journal = tmp_path / "chain.jsonl"
    with EmbeddedChain(journal) as chain:
        connection, contract = contract_on(chain)
        before = blocks_of(chain)
        connection.transact(contract, "note", b"torn")
    whole = journal.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for cut in (last + 1, last + 20, (last + len(whole)) // 2, len(whole) - 2, len(whole) - 1):
        journal.write_bytes(whole[:cut])
        with EmbeddedChain(journal) as chain:
            assert blocks_of(chain) == before
            connection = chain.connect(chain.coordinator)
            connection.transact(connection.contract(contract.address, notes().abi), "note", b"torn")
        assert journal.read_bytes() == whole


def test_a_torn_first_line_begins_anew(tmp_path: Path):
    journal = tmp_path / "chain.jsonl"
    journal.write_bytes(b'{"chain": "bc')
    with EmbeddedChain(journal) as chain:
        play(chain)
    with EmbeddedChain(journal) as chain:
        assert chain.connect().block_number() > 3


def _edited(lines: list[bytes], line: int, **changes: object) -> list[bytes]:
    entry = json.loads(lines[line - 1]) | changes
    return [*lines[: line - 1], json.dumps(entry).encode(), *lines[line:]]


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: lines[:3] + lines[4:], 4),
        (lambda lines: [*lines[:3], b"{", *lines[4:]], 4),
        (lambda lines: [*lines[:3], b"[]", *lines[4:]], 4),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: _edited(lines, 3, timestamp=1_767_999_999), 3),
        (lambda lines: _edited(lines, 3, timestamp=5), 3),
        (lambda lines: _edited(lines, 3, transaction=None), 3),
        (lambda lines: _edited(lines, 3, transaction="0x02c0"), 3),
        (lambda lines: _edited(lines, 3, transaction=7), 3),
        (lambda lines: _edited(lines, 3, hash="0x" + 64 * "0"), 3),
        (lambda lines: _edited(lines, 3, block=9), 3),
        (lambda lines: _edited(lines, 1, chain="another"), 1),
        (lambda lines: _edited(lines, 1, timestamp=3), 1),
        (lambda lines: _edited(lines, 1, balances=[]), 1),
        (lambda lines: lines[1:], 1),
    ],
)
def test_a_damaged_journal_names_the_line(tmp_path: Path, damage, line: int):
    journal = tmp_path / "chain.jsonl"
    with EmbeddedChain(journal) as chain:
        play(chain)
    journal.write_bytes(b"\n".join(damage(journal.read_bytes().splitlines())) + b"\n")
    with pytest.raises(JournalDamaged, match=rf"line {line}\b"):
        EmbeddedChain.replay(journal)
    with pytest.raises(JournalDamaged, match=rf"line {line}\b"):
        EmbeddedChain(journal).start()


def test_another_seeds_journal_is_refused(tmp_path: Path):
    with EmbeddedChain(tmp_path / "j", seed=1):
        pass
    with pytest.raises(JournalDamaged, match="expected the genesis of seed 2"):
        EmbeddedChain(tmp_path / "j", seed=2).start()
    with pytest.raises(JournalDamaged, match="cannot read"):
        EmbeddedChain.replay(tmp_path / "nowhere")


def test_a_journal_belongs_to_one_chain_at_a_time(tmp_path: Path):
    with (
        EmbeddedChain(tmp_path / "j"),
        pytest.raises(LedgerError, match="open in another process"),
    ):
        EmbeddedChain(tmp_path / "j").start()
    with EmbeddedChain(tmp_path / "j") as chain:
        assert chain.connect().block_number() == 0


def test_what_keeps_a_chain_from_starting_is_said(tmp_path: Path, chain: EmbeddedChain):
    port = int(chain.url.rsplit(":", 1)[1])
    taken = EmbeddedChain(tmp_path / "j", port=port)
    with pytest.raises(LedgerError, match=r"cannot start .*in use"):
        taken.start()
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"cannot start .*file"):
        EmbeddedChain(tmp_path / "file" / "j").start()
    with EmbeddedChain(tmp_path / "j"):  # the failed start let go of it
        pass


def test_a_block_that_cannot_be_written_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chain = EmbeddedChain(tmp_path / "j")
    with chain:
        connection, contract = contract_on(chain)

        def full(entry: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(chain._journal, "append", full)
        for attempt in (
            lambda: connection.transact(contract, "note", b"x"),
            connection.block_number,
            lambda: connection.events(contract),
        ):
            with pytest.raises(NodeRefused, match="No space left"):
                attempt()
    monkeypatch.undo()
    with chain:
        assert connection.events(contract) == []
        connection.transact(contract, "note", b"x")


def test_threads_share_an_account(chain: EmbeddedChain):
    connection, contract = contract_on(chain)
    others = [chain.connect(chain.coordinator) for _ in range(4)]
    failures: list[LedgerError] = []

    def work(own: Connection) -> None:
        try:
            for _ in range(5):
                own.transact(contract, "note", b"x")
        except LedgerError as error:
            failures.append(error)

    # eight threads, four of which have a connection of their own
    threads = [threading.Thread(target=work, args=(c,)) for c in [connection] * 4 + others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    logs = connection.events(contract, ["Noted"])
    assert [log.arguments["number"] for log in logs] == list(range(1, 41))
    assert len({log.transaction for log in logs}) == 40


WRITER = """
import sys
from pathlib import Path
from bcfl.chain.embedded.chain import EmbeddedChain
from tests.chain.embedded.test_chain import contract_on
with EmbeddedChain(Path(sys.argv[1])) as chain:
    connection, contract = contract_on(chain, 10_000)
    print(contract.address, flush=True)
    while True:
        print(connection.transact(contract, "note", b"x").hash, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 12])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, acknowledged: int):
    journal = tmp_path / "chain.jsonl"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(journal)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer, writer.stdout:
        address = writer.stdout.readline().strip()
        numbers = [writer.stdout.readline().strip() for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        numbers += [line.strip() for line in writer.stdout if len(line) == 67]
    assert numbers[-1].startswith("0x")
    with EmbeddedChain(journal) as chain:
        connection = chain.connect(chain.coordinator)
        for number in numbers:
            assert connection.receipt(number).succeeded
        contract = connection.contract(address, notes().abi)
        count = connection.call(contract, "count")
        # at most one transaction was mined and on disk, but not yet acknowledged
        assert count - len(numbers) in (0, 1)
        connection.transact(contract, "note", b"on")
        assert connection.call(contract, "count") == count + 1


def test_a_revert_costs_nothing_and_says_why(chain: EmbeddedChain):
    connection, contract = contract_on(chain, limit=1)
    connection.transact(contract, "note", b"x")
    before = connection.block_number()
    with pytest.raises(ContractReverted, match="notes: full") as caught:
        connection.transact(contract, "note", b"x")
    assert (caught.value.reason, caught.value.call) == ("notes: full", "note")
    assert connection.block_number() == before
