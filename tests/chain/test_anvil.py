"""A real node, ours or somebody else's: the same code as on the embedded chain, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.chain.anvil import AnvilChain
from bcfl.chain.anvil_program import default_cache, find_anvil
from bcfl.chain.chain import wait_for_time
from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.node_chain import RpcChain
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    LedgerError,
    NodeRefused,
    NodeUnreachable,
)
from bcfl.keys.accounts import Account, derive_account
from tests.chain.notes import FakeTime, notes

MEMBER = derive_account(1, "member", 0)
PASSWORD = "anvil's own"


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return find_anvil(default_cache())
    except LedgerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def chain(program: Path) -> Iterator[AnvilChain]:
    with AnvilChain() as running:
        yield running


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "coordinator.json"
    derive_account(0, "coordinator", 0).create_key_file(path, PASSWORD)
    return path


def story(connection: Connection) -> list[tuple[object, ...]]:
    """What happens on a fresh contract, without what differs between chains."""
    address, deployed = connection.deploy(notes(), 3)
    contract = connection.contract(address, notes().abi)
    sent = connection.transact(contract, "note", b"one")
    connection.transact(contract, "note_twice", b"two")
    with pytest.raises(ContractReverted) as full:
        connection.transact(contract, "note", b"three")
    with pytest.raises(ContractReverted) as small:
        connection.transact(contract, "small", 256)
    events = connection.events(contract, from_block=deployed.block)
    assert events[0] == connection.events_of(contract, sent.hash)[0]
    assert [log.timestamp for log in events] == sorted(log.timestamp for log in events)
    connection.attach(address, notes())
    return [
        (deployed.gas, sent.gas, full.value.reason, small.value.reason),
        (connection.call(contract, "count"), connection.call(contract, "owner")),
        *[(log.name, dict(log.arguments), log.log_index) for log in events],
    ]


def test_anvil_and_the_embedded_chain_tell_the_same_story(chain: AnvilChain):
    with EmbeddedChain() as embedded, embedded.connect(embedded.coordinator) as ours:
        expected = story(ours)
    with chain.connect(chain.coordinator) as real:
        assert story(real) == expected


def test_the_node_has_no_keys_to_borrow(chain: AnvilChain):
    connection = chain.connect()
    assert connection.request("eth_accounts") == []
    with pytest.raises(NodeRefused):
        connection.request(
            "eth_sendTransaction", {"from": chain.coordinator.address, "to": MEMBER.address}
        )


def test_an_unfunded_account_is_told_and_can_be_funded(chain: AnvilChain):
    poor = chain.connect(MEMBER)
    with pytest.raises(AccountError, match="has 0 wei and needs"):
        poor.transfer(chain.coordinator.address, 1)
    chain.fund(MEMBER.address, 10**18)
    poor.transfer(chain.coordinator.address, 1)


def test_threads_share_an_account(chain: AnvilChain):
    connection = chain.connect(chain.coordinator)
    address, _ = connection.deploy(notes(), 1000)
    contract = connection.contract(address, notes().abi)
    failures: list[LedgerError] = []

    def work(own: Connection) -> None:
        try:
            for _ in range(5):
                own.transact(contract, "note", b"x")
        except LedgerError as error:
            failures.append(error)

    connections = [connection] * 4 + [chain.connect(chain.coordinator) for _ in range(4)]
    threads = [threading.Thread(target=work, args=(own,)) for own in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert connection.call(contract, "count") == 40


def test_a_chain_with_state_is_there_again_after_a_restart(program: Path, tmp_path: Path):
    chain = AnvilChain(tmp_path / "run" / "anvil.json", seed=2)
    with chain:
        url = chain.url
        connection = chain.connect(chain.coordinator)
        address, _ = connection.deploy(notes(), 10)
        contract = connection.contract(address, notes().abi)
        sent = connection.transact(contract, "note", b"before")
        before = connection.events(contract)
    with pytest.raises(LedgerError, match="not running"):
        _ = chain.url
    # a client that asks in between waits, and goes on with the same connection
    time = FakeTime(meanwhile=chain.start)
    waiting = Connection(url, chain.coordinator, sleep=time.sleep, clock=time.clock)
    try:
        assert waiting.events(contract) == before
        assert waiting.receipt(sent.hash).block == sent.block
        waiting.transact(contract, "note", b"after")
        assert connection.call(contract, "count") == 2
    finally:
        chain.stop()
    assert len(time.naps) == 1


#: Returns the hash of the block whose number follows the first byte, as a contract sees it.
BLOCK_HASH = "0x60{:02x}4060005260206000f3"


def test_a_contract_sees_the_same_hashes_after_a_restart(program: Path, tmp_path: Path):
    """foundry-rs/foundry#15167: after loading a state, keccak256("1") for block 1, and so on."""
    chain = AnvilChain(tmp_path / "anvil.json", seed=3)
    with chain:
        connection = chain.connect(chain.coordinator)
        address, _ = connection.deploy(notes(), 10)
        connection.transact(connection.contract(address, notes().abi), "note", b"before")
        head = connection.block_number()
    with chain:
        connection = chain.connect(chain.coordinator)
        assert connection.block_number() == head
        connection.transact(connection.contract(address, notes().abi), "note", b"after")
        for number in range(head + 1):
            block = connection.request("eth_getBlockByNumber", hex(number), False)
            call = {"data": BLOCK_HASH.format(number)}
            assert connection.request("eth_call", call, "latest") == block["hash"]


def test_what_was_mined_is_on_disk_before_it_is_said(program: Path, tmp_path: Path):
    """``kill -9`` of the node leaves all that was told of."""
    chain = AnvilChain(tmp_path / "anvil.json", seed=4)
    chain.start()
    connection = chain.connect(chain.coordinator)
    address, _ = connection.deploy(notes(), 10)
    sent = connection.transact(connection.contract(address, notes().abi), "note", b"kept")
    assert chain._process is not None
    os.killpg(chain._process._process.pid, signal.SIGKILL)
    chain._process._process.wait()
    again = AnvilChain(tmp_path / "anvil.json", seed=4)
    with again:
        assert again.connect().receipt(sent.hash).block == sent.block
    chain.stop()


def test_waiting_is_in_real_time_and_makes_the_blocks_that_nobody_else_does(program: Path):
    time = FakeTime()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        connection.request("evm_increaseTime", round(seconds))

    chain = AnvilChain(sleep=sleep, clock=time.clock)
    with chain:
        connection = chain.connect()
        time.now = float(connection.now())
        deadline = connection.now() + 5
        chain.wait_until(deadline)
        assert connection.now() > deadline
        assert 5 <= sum(time.naps) <= 8
        naps = len(time.naps)
        chain.wait_until(deadline)
        assert len(time.naps) == naps


ORPHANAGE = """
import sys
from bcfl.chain.anvil import AnvilChain
chain = AnvilChain()
chain.start()
print(chain.url, flush=True)
sys.stdin.read()
"""


def test_the_node_ends_with_its_parent_however_that_ends(program: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANAGE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        connection = Connection(parent.stdout.readline().strip(), retry_s=0.0)
        assert connection.chain_id == 31337
        parent.send_signal(signal.SIGKILL)
    pause = threading.Event()
    for _ in range(500):
        try:
            connection.now()
        except NodeUnreachable:
            return
        pause.wait(0.02)
    pytest.fail("anvil outlived its parent by 10 s")


def _script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_without_anvil_and_npm_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LedgerError, match=r"needs the program anvil .* or npm"):
        AnvilChain(cache=tmp_path / "cache").start()


def test_npm_is_asked_once_and_its_trouble_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tools, cache = tmp_path / "bin", tmp_path / "cache"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(tools / name) if name == "npm" else None)
    _script(tools, "npm", "echo no network >&2; exit 1")
    with pytest.raises(LedgerError, match=r"anvil@1.7.1` failed: no network"):
        find_anvil(cache)
    _script(tools, "npm", "exit 0")
    with pytest.raises(LedgerError, match="no binary for this machine"):
        find_anvil(cache)
    binary = cache / "node_modules/@foundry-rs/anvil-here/bin/anvil"
    _script(tools, "npm", f"mkdir -p {binary.parent}; touch {binary}")
    assert find_anvil(cache) == binary
    _script(tools, "npm", "exit 1")
    assert find_anvil(cache) == binary


def test_an_anvil_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _script(tmp_path, "anvil", "echo I would rather not; exit 3")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LedgerError, match="does not start: I would rather not"):
        AnvilChain().start()


def test_a_node_of_somebody_elses_is_used_with_a_key_file(chain: AnvilChain, key_file: Path):
    rpc = RpcChain(chain.url, key_file, PASSWORD)
    with rpc:
        assert rpc.coordinator == Account.from_key_file(key_file, PASSWORD)
        rpc.fund(MEMBER.address, 5)
        connection = rpc.connect(rpc.coordinator)
        story(connection)
    assert connection.now() > 0  # leaving it does not stop it


def test_a_quiet_node_is_nudged_with_a_transaction_to_oneself(chain: AnvilChain, key_file: Path):
    time = FakeTime()
    rpc = RpcChain(chain.url, key_file, PASSWORD, sleep=time.sleep, clock=time.clock)
    connection = rpc.connect()
    connection.request("evm_increaseTime", 100)
    deadline, block = connection.now() + 50, connection.block_number()
    time.now = deadline + 20.0
    rpc.wait_until(deadline)
    assert connection.now() > deadline
    assert connection.block_number() == block + 1


def test_a_wrong_url_or_key_is_found_out_at_once(chain: AnvilChain, key_file: Path):
    time = FakeTime()
    rpc = RpcChain("http://127.0.0.1:1", key_file, PASSWORD, sleep=time.sleep, clock=time.clock)
    with pytest.raises(NodeUnreachable, match=r"http://127\.0\.0\.1:1"):
        rpc.start()
    assert sum(time.naps) <= 3
    with pytest.raises(AccountError, match="wrong password"):
        RpcChain(chain.url, key_file, "wrong")
    with pytest.raises(AccountError, match="cannot read"):
        RpcChain(chain.url, key_file / "nowhere", PASSWORD)


def test_waiting_leaves_a_chain_alone_that_has_blocks_of_its_own():
    time = FakeTime()
    time.now = 1000.0
    nudges: list[float] = []
    wait_for_time(
        lambda: 12 * int(time.now / 12),  # a block every 12 s
        1030,
        nudge=lambda: nudges.append(time.now),
        grace_s=15.0,
        sleep=time.sleep,
        clock=time.clock,
    )
    assert time.now == pytest.approx(1032, abs=1)
    assert not nudges
