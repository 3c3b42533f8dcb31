"""What an app, whoever wrote it, gets from a signer: this round's word, once."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.signer.messages import KINDS, MemberMessage
from bcfl.consensus.signer.record import SigningRecord, record_path
from bcfl.consensus.spec import messages
from bcfl.consensus.spec.domain import Ballot, Commitment, SignedCommitment, TypedDataDomain
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    join_message,
    receipt_message,
)
from bcfl.core.errors import (
    AccountError,
    BcflError,
    BeyondAllowance,
    LedgerError,
    NodeUnreachable,
    NotAReader,
    RoundNotOpen,
    SignedAlready,
    SignerRefused,
    SignerUnreachable,
)
from bcfl.keys.accounts import derive_account
from bcfl.keys.sealing import seal_for
from bcfl.keys.signer import Reader
from bcfl.keys.signer_client import RemoteSigner
from bcfl.keys.signer_wire import MAX_LINE_BYTES, read_reply
from tests.consensus.signer.conftest import STAKE, Task

FEE = {"type": 2, "gas": 200_000, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1}


def fields(task: Task, data: bytes = b"", **changes: Any) -> dict[str, Any]:
    chain_id = task.server.domain.chain_id
    return FEE | {
        "chainId": chain_id, "to": task.contract, "data": data, "value": 0, "nonce": 0
    } | changes  # fmt: skip


def test_a_member_signs_through_it_as_with_its_key(task: Task):
    task.open()
    signer, message = task.signer(), task.commitment()
    assert signer.address == task.account.address
    assert signer.sign(message) == task.account.sign(message) == signer.sign(message)
    assert isinstance(signer, Reader)
    sealed = seal_for(b"a delta", [signer.public_key, task.other.public_key])
    assert signer.unseal(sealed) == b"a delta"
    with pytest.raises(NotAReader):
        signer.unseal(seal_for(b"a delta", [task.other.public_key]))


def test_a_second_commitment_is_refused_whatever_happens_in_between(task: Task):
    task.open()
    message, other = task.commitment(1), task.commitment(2)
    signer, running = task.start()
    signature = signer.sign(message)
    running.close()
    again = task.signer()
    with pytest.raises(SignedAlready, match=f"round 1.*{'01' * 32}"):
        again.sign(other)
    assert again.sign(message) == signature


def test_the_same_delta_is_dated_anew_where_the_chain_forgot_the_opening(task: Task):
    """A dropped ``open_round`` is sent again, and the round then opens later than before."""
    task.open()
    first = task.commitment(1)
    signer, running = task.start()
    signer.sign(first)
    task.chain.wait_until(task.server.now() + 10)
    later = task.commitment(1)
    assert later["message"]["timestamp"] > first["message"]["timestamp"]
    assert signer.sign(later) == task.account.sign(later)
    running.close()
    again = task.signer()
    said = task.member_signer.said("Commitment", 1)
    assert said is not None
    assert said["timestamp"] == later["message"]["timestamp"]
    with pytest.raises(SignedAlready):
        again.sign(task.commitment(2))
    with pytest.raises(RoundNotOpen, match="a timestamp of round 1"):
        again.sign(task.commitment(1, timestamp=task.server.state().commit_deadline + 1))


def test_of_two_commitments_at_once_exactly_one_is_signed(task: Task):
    task.open()
    signer = task.signer()

    def ask(digest: int) -> bool:
        try:
            return bool(signer.sign(task.commitment(digest, timestamp=task.server.now())))
        except SignedAlready:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 1


def test_no_round_is_used_up_before_the_chain_has_it(task: Task):
    signer = task.signer()
    with pytest.raises(RoundNotOpen):
        signer.sign(task.commitment(round=1))
    task.open()
    for changes in ({"round": 2}, {"round": 2**63}, {"base": b"b" * 32}, {"timestamp": 2**60}):
        with pytest.raises(RoundNotOpen):
            signer.sign(task.commitment(9, **changes))
    with pytest.raises(RoundNotOpen, match="phase is COMMIT"):
        signer.sign(ballot_message(task.server.domain, Ballot.from_values(1, {})))
    assert signer.sign(task.commitment(1))


def test_nothing_else_is_signed(task: Task):
    task.open()
    signer, domain, good = task.signer(), task.server.domain, task.commitment()
    said = Commitment(1, bytes(32), bytes(32), task.server.now())
    stranger = derive_account(0, "coordinator", 0).address
    for bad in (
        receipt_message(domain, 1, 0, bytes(32)),
        commitment_message(TypedDataDomain(1, domain.contract), said),
        commitment_message(TypedDataDomain(domain.chain_id, stranger), said),
        join_message(1, bytes(32)),
        good | {"primaryType": "Permit"},
        good | {"types": {**good["types"], "Commitment": good["types"]["Commitment"][:2]}},
        good | {"message": {**good["message"], "round": -1}},
        good | {"message": {**good["message"], "round": True}},
        good | {"message": {**good["message"], "spender": stranger}},
        good | {"domain": {**good["domain"], "name": "USD Coin"}},
        {"digest": bytes(32)},
        {},
    ):
        with pytest.raises(SignerRefused):
            signer.sign(bad)
    assert signer.sign(join_message(domain.chain_id, bytes(32)))
    assert signer.sign(good)


def test_every_message_of_the_protocol_is_a_members_or_the_coordinators():
    builders = {
        n
        for n, f in vars(messages).items()
        if isfunction(f) and n.endswith("_message") and n[0] != "_"
    }
    members = {f"{kind.lower()}_message" for kind in KINDS}
    assert members < builders
    assert all("receipt" in name for name in builders - members)


def test_a_signer_without_a_contract_settles_on_its_first_task_for_good(task: Task):
    task.open()
    signer, running = task.start(contract=None)
    chain_id = task.server.domain.chain_id
    assert signer.sign(join_message(chain_id, bytes(32)))
    stranger = derive_account(0, "coordinator", 0).address
    said = Commitment(1, bytes(32), bytes(32), task.server.now())
    with pytest.raises(LedgerError, match="no contract"):
        signer.sign(commitment_message(TypedDataDomain(chain_id, stranger), said))
    assert signer.sign(task.commitment())
    running.close()
    again, running = task.start(contract=None)
    assert again.identity.contract == task.contract
    running.close()
    with pytest.raises(BcflError, match="expected --contract"):
        task.signer(contract=None, max_stake_wei=1)


def test_it_pays_no_more_than_its_owner_allowed(stake_task: Task):
    task = stake_task
    contract = task.chain.connect().contract(task.contract, _abi())
    join, leave = contract.encode("join", []), contract.encode("leave", [])
    signer, running = task.start()
    with pytest.raises(BeyondAllowance, match="--max-stake-wei"):
        signer.sign_transaction(fields(task, join, value=STAKE))
    running.close()
    signer = task.signer(max_stake_wei=STAKE, max_gas_wei=10**15)
    for bad in (
        fields(task, join, value=2 * STAKE),
        fields(task, join, value=1),
        fields(task, join, value=STAKE, maxFeePerGas=10**10),
        fields(task, leave),
        fields(task, b""),
        fields(task, join + bytes(32), value=STAKE),
        fields(task, join, value=STAKE, to=task.other.address),
        fields(task, join, value=STAKE, chainId=1),
        fields(task, join, value=STAKE, nonce=5),
        fields(task, join, value=STAKE, maxPriorityFeePerGas=2 * 10**9),
        fields(task, contract.encode("commit_direct", [1, bytes(32), 5])),
    ):
        with pytest.raises(SignerRefused):
            signer.sign_transaction(bad)
    with pytest.raises(SignerRefused):
        signer.sign_transaction(fields(task, to=b""))
    with task.chain.connect(signer) as connection:
        ledger = Ledger.attach(connection, task.contract)
        ledger.join()
        assert ledger.members() == (task.account.address,)
        with task.chain.connect(task.account) as own:
            Ledger.attach(own, task.contract).leave()
        with pytest.raises(BeyondAllowance, match="deposited before"):
            ledger.join()


def test_a_direct_commitment_is_the_one_that_was_signed(task: Task):
    task.open()
    signer = task.signer(direct=True)
    message, other = task.commitment(1), task.commitment(2)
    signature = signer.sign(message)
    with task.chain.connect(signer) as connection:
        ledger = Ledger.attach(connection, task.contract)
        with pytest.raises(SignedAlready):
            ledger.commit_direct(SignedCommitment(0, _said(other), signature))
        ledger.commit_direct(SignedCommitment(0, _said(message), signature))
    assert task.server.state().committed == 1


def test_a_direct_commitment_counts_as_a_signed_one(task: Task):
    task.open()
    signer = task.signer(direct=True)
    with task.chain.connect(signer) as connection:
        sent = SignedCommitment(0, _said(task.commitment(1)), bytes(64) + b"\x1b")
        Ledger.attach(connection, task.contract).commit_direct(sent)
    with pytest.raises(SignedAlready):
        signer.sign(task.commitment(2))


def test_gas_has_a_limit_over_all_transactions(task: Task):
    task.open()
    signer = task.signer(direct=True, max_total_gas_wei=1)
    with task.chain.connect(signer) as connection:
        sent = SignedCommitment(0, _said(task.commitment(1)), bytes(64) + b"\x1b")
        with pytest.raises(BeyondAllowance, match="all transactions"):
            Ledger.attach(connection, task.contract).commit_direct(sent)


def test_socket_and_record_are_their_owners_only(task: Task):
    task.signer()
    for path in (task.folder / "s.sock", record_path(task.key)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_signer_does_not_start(task: Task):
    task.signer()
    with pytest.raises(AccountError, match="another signer holds"):
        SigningRecord(record_path(task.key), task.account.address)


def test_a_record_of_another_account_or_a_damaged_one_is_refused(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    SigningRecord(path, "0xA").close()
    with pytest.raises(AccountError, match="record of"):
        SigningRecord(path, "0xB")
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(AccountError, match="damaged"):
        SigningRecord(path, "0xA")


def test_a_disk_that_takes_nothing_ends_all_signing(tmp_path: Path, monkeypatch):
    message = _message(1)
    with SigningRecord(tmp_path / "r.jsonl", "0xA") as record:
        monkeypatch.setattr("bcfl.files.os.fsync", _full)
        with pytest.raises(SignerRefused, match="cannot write"):
            record.claim(message)
        monkeypatch.undo()
        with pytest.raises(SignerRefused, match="start the signer anew"):
            record.claim(message)


def test_what_was_given_away_is_remembered_after_a_kill(tmp_path: Path):
    """A process claims round after round, says so, and is killed in the midst of it."""
    path, known = tmp_path / "r.jsonl", 0
    for kill_after in range(1, 12):
        with subprocess.Popen(
            [sys.executable, "-c", _CLAIMS, str(path), str(known)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                known = int(process.stdout.readline())
            process.kill()
            for line in process.stdout:  # what it had said when it died
                if line.endswith(b"\n"):
                    known = int(line)
        with SigningRecord(path, "0xA") as record:
            for round_ in range(1, known + 1):
                with pytest.raises(SignedAlready):
                    record.claim(_message(round_, digest=2))


def test_junk_on_the_socket_is_refused_by_name(task: Task):
    signer = task.signer()
    for junk in (
        b"\n",
        b"\xff\xfe\n",
        b"[" * 1000 + b"\n",
        b'{"version":2,"op":"identify"}\n',
        b'{"version":1,"op":"sign_digest","digest":"0x00"}\n',
        b'{"version":1,"op":"identify","more":1}\n',
        b'{"version":1,"op":"unseal","slot":"0x00"}\n',
        b"x" * (MAX_LINE_BYTES + 1),
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(task.folder / "s.sock"))
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            reply = read_reply(connection.makefile("rb").readline())
        assert getattr(reply, "error", "") in ("SignerRefused", "SealError")
    assert signer.address == task.account.address


def test_without_its_node_nothing_new_is_signed(task: Task, monkeypatch):
    task.open()
    signer, first = task.signer(), task.commitment()
    signature = signer.sign(first)

    def gone(*_: Any) -> None:
        raise NodeUnreachable("gone")

    monkeypatch.setattr("bcfl.consensus.signer.task.FullTask.expect_open", gone)
    assert signer.sign(first) == signature
    with pytest.raises(NodeUnreachable):
        signer.sign(task.commitment(2, round=2))


def test_a_signer_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SignerUnreachable, match="bcfl signer"):
        RemoteSigner(f"unix:{tmp_path / 'no.sock'}").sign({})
    for wrong in ("10.0.0.1:80", "relative.sock", "127.0.0.1:99999"):
        with pytest.raises(AccountError, match=r"127\.0\.0\.1:PORT"):
            RemoteSigner(wrong)


def _abi() -> Any:
    from bcfl.contracts import artifact

    return artifact("PeerConsensus").abi


def _said(message: dict[str, Any]) -> Commitment:
    return Commitment(**message["message"])


def _message(round_: int, digest: int = 1) -> MemberMessage:
    said = Commitment(round_, bytes(32), bytes([digest]) * 32, 5)
    return MemberMessage("Commitment", commitment_message(TypedDataDomain(1, "0xC"), said))


def _full(_: int) -> None:
    raise OSError(28, "no space left on device")


_CLAIMS = """
import sys
from pathlib import Path
from bcfl.consensus.signer.messages import MemberMessage
from bcfl.consensus.signer.record import SigningRecord
from bcfl.consensus.spec.domain import Commitment, TypedDataDomain
from bcfl.consensus.spec.messages import commitment_message
with SigningRecord(Path(sys.argv[1]), "0xA") as record:
    round_ = int(sys.argv[2])
    while True:
        round_ += 1
        said = Commitment(round_, bytes(32), bytes([1]) * 32, 5)
        domain = TypedDataDomain(1, "0xC")
        record.claim(MemberMessage("Commitment", commitment_message(domain, said)))
        print(round_, flush=True)
"""
