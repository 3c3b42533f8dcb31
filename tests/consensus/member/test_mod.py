"""What a client believes, what it refuses, and what it says twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member import sign_once
from bcfl.consensus.member.mod import PeerConsensusMod
from bcfl.consensus.records import ReceiptOrder, ReviewOrder, ReviewReply, TrainReply
from bcfl.consensus.spec.codec import blob_size, digest_of
from bcfl.consensus.spec.domain import Ballot, Commitment, members_in
from bcfl.consensus.spec.messages import (
    ballot_receipt_message,
    commitment_message,
    receipt_message,
)
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    BcflError,
    NodeUnreachable,
    ProtocolError,
    SignedAlready,
)
from bcfl.keys.accounts import derive_account
from tests.consensus.member.world import World


@pytest.fixture(scope="module")
def chain() -> Iterator[MemoryChain]:
    with MemoryChain() as running:
        yield running


@pytest.fixture
def world(chain: MemoryChain) -> World:
    return World(chain)


@pytest.fixture
def committed(world: World) -> tuple[World, str, dict[int, bytes]]:
    world.open()
    blobs = {i: world.blob_of(world.accounts[i], 1, 0.1 * (i + 1)) for i in range(3)}
    return world, world.commit(blobs), blobs


def test_a_member_commits_to_the_largest_changes(world: World) -> None:
    world.open()
    reply = world.train(0)
    assert len(reply.blob) == blob_size(
        world.spec.n, world.rules.kept(world.spec.n, 1), world.spec.dtype
    )
    assert reply.digest == digest_of(reply.blob)


def test_a_member_asked_twice_says_the_same_twice(world: World) -> None:
    world.open()
    one = world.train(0)
    world.chain.wait_until(world.ledger.now() + 5)
    assert world.train(0) == one


def test_a_reviewer_rates_everyone_but_itself(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    ballot, rejected = world.review(0, world.review_order(transaction, blobs))
    assert {rating.member for rating in ballot.ratings} == {1, 2}
    assert not rejected


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda blob: blob[:-1], "expected bytes of digest"),
        (lambda blob: blob + b"\0", "expected bytes of digest"),
        (lambda blob: blob[:-8] + blob[-4:] + blob[-8:-4], "expected bytes of digest"),
        (lambda blob: b"", "expected bytes of digest"),
    ],
    ids=["truncated", "padded", "reordered", "empty"],
)
def test_bytes_that_are_not_those_on_chain_are_rejected(
    committed: tuple[World, str, dict[int, bytes]], bend: Callable[[bytes], bytes], reason: str
) -> None:
    world, transaction, blobs = committed
    # the last two values differ, so that exchanging them is seen
    values = np.frombuffer(blobs[1][-8:], np.float32).copy()
    values[0] += 1
    blobs[1] = bend(blobs[1][:-8] + values.tobytes())
    ballot, rejected = world.review(0, world.review_order(transaction, blobs))
    assert {rating.member for rating in ballot.ratings} == {2}
    assert members_in(ballot.missing) == (1,), "whoever delivers other bytes delivers none"
    assert reason in rejected[1]


def spoilt(world: World) -> dict[str, bytes]:
    own = world.blob_of(world.accounts[1], 1)
    nan = bytearray(own)
    nan[-4:] = np.float32(np.nan).tobytes()
    return {
        "another author": world.blob_of(world.accounts[2], 1),
        "another round": world.blob_of(world.accounts[1], 2),
        "not finite": bytes(nan),
        "too short": own[:-4],
        "garbage": b"garbage",
    }


@pytest.mark.parametrize(
    "kind", ["another author", "another round", "not finite", "too short", "garbage"]
)
def test_a_delta_that_is_on_chain_and_yet_none_is_rejected(world: World, kind: str) -> None:
    world.open()
    blobs = {
        0: world.blob_of(world.accounts[0], 1),
        1: spoilt(world)[kind],
        2: world.blob_of(world.accounts[2], 1),
    }
    ballot, rejected = world.review(0, world.review_order(world.commit(blobs), blobs))
    assert {rating.member for rating in ballot.ratings} == {2}
    assert (ballot.missing, members_in(ballot.invalid)) == (0, (1,))
    assert "expected" in rejected[1]
    assert "found" in rejected[1]


def test_a_transaction_number_that_does_not_exist_is_rejected(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    order = world.review_order(transaction, blobs)
    order.transactions[1] = "0x" + "12" * 32
    ballot, rejected = world.review(0, order)
    assert set(rejected) == set(members_in(ballot.missing)) == {1}
    assert "holds no commitment of member 1" in rejected[1]


def test_a_transaction_of_another_contract_is_rejected(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    mine, world.ledger = world.ledger, world.deploy()
    world.open()
    foreign = world.commit(blobs)
    world.ledger = mine
    order = world.review_order(transaction, blobs)
    order.transactions[1] = foreign
    _, rejected = world.review(0, order)
    assert "holds no commitment of member 1" in rejected[1]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"round": 7}, ProtocolError, "in round 1, not 7"),
        ({"rules": '{"gamma": 0.9}'}, ProtocolError, "rules"),
        ({"contract": "0x" + "11" * 20}, ArtifactError, "no contract|expected the code"),
        ({"rpc_url": "http://127.0.0.1:1"}, NodeUnreachable, "127.0.0.1:1"),
    ],
    ids=["round", "rules", "contract", "node"],
)
def test_what_the_server_says_is_held_against_the_chain(
    world: World,
    changes: dict[str, Any],
    error: type[BcflError],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.open()
    with pytest.raises(error, match=says):
        world.train(0, **changes)


def test_a_global_model_that_is_not_the_chains_is_refused(world: World) -> None:
    world.open()
    world.record["0"] = type(world.record["0"])(np.ones((6, 3), np.float32))
    with pytest.raises(ProtocolError, match="expected the global model"):
        world.train(0)


def test_a_node_stays_with_the_contract_that_it_joined(world: World) -> None:
    world.open()
    world.train(0)
    first = world.ledger.domain.contract
    world.ledger = world.deploy()
    world.open()
    with pytest.raises(ProtocolError, match=first):
        world.train(0)


def test_a_stranger_is_told_that_it_is_no_member(world: World) -> None:
    world.open()
    world.contexts[0].node_config["partition-id"] = 9
    with pytest.raises(ProtocolError, match="not a member"):
        world.train(0)


def test_a_node_without_key_and_partition_is_told_how_to_get_one(world: World) -> None:
    world.open()
    del world.contexts[0].node_config["partition-id"]
    with pytest.raises(AccountError, match="bcfl-key-file"):
        world.train(0)


def test_an_evaluate_without_metrics_is_an_error(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed

    def silent(message: Message, context: Context, call_next: Any) -> Message:
        return Message(RecordDict({"metrics": MetricRecord()}), reply_to=message)

    with pytest.raises(ProtocolError, match=r"failed on every delta of the round.*found none"):
        world.answer(0, world.review_order(transaction, blobs), [PeerConsensusMod(), silent])


def test_a_delta_on_which_evaluate_fails_is_rejected_and_the_others_are_rated(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    calls: list[int] = []

    def fragile(message: Message, context: Context, call_next: Any) -> Message:
        calls.append(1)
        if len(calls) == 1:
            raise FloatingPointError("overflow")
        return call_next(message, context)

    reply = world.answer(0, world.review_order(transaction, blobs), [PeerConsensusMod(), fragile])
    assert reply.content["bcfl"]["reasons"] == [
        "evaluate failed on it: FloatingPointError: overflow"
    ]
    ballot = Ballot.decode(1, reply.content["bcfl"]["entries"])
    assert members_in(ballot.invalid) == (1,)


def test_a_receipt_that_is_not_the_coordinators_is_refused(world: World) -> None:
    world.open()
    reply = world.train(0)
    blobs = {0: reply.blob, 1: world.blob_of(world.accounts[1], 1)}
    order: ReviewOrder = world.review_order(world.commit(blobs), blobs)
    with pytest.raises(ProtocolError, match="receipt"):
        world.answer(0, replace(order, receipt=bytes(64) + b"\x1b"))


def test_a_member_seals_to_members_and_the_coordinator_alone(world: World) -> None:
    world.open()
    known = [world.accounts[1].public_key, world.chain.coordinator.public_key]
    sealed = world.train(0, readers=known)
    assert digest_of(world.accounts[1].unseal(sealed.blob)) == sealed.digest
    stranger = derive_account(0, "member", 9)
    with pytest.raises(ProtocolError, match=f"sealed to .*{stranger.address}.*no members"):
        world.train(1, readers=[*known, stranger.public_key])
    assert "bcfl-kept" not in world.contexts[1].state, "nothing was signed"
    again = world.train(0, readers=known)
    assert again.signature == sealed.signature, "one commitment, sealed anew"


def test_whom_the_server_does_not_deliver_is_missing_by_the_chains_word(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    shown = {0: blobs[0], 2: blobs[2]}
    ballot, rejected = world.review(0, world.review_order(transaction, shown))
    assert members_in(ballot.missing) == (1,)
    assert members_in(ballot.rated) == (2,)
    assert "was not sent" in rejected[1]


@pytest.mark.parametrize("hint", [0, 1, 10**6])
def test_where_the_server_says_that_the_round_begins_hides_nobody(world: World, hint: int) -> None:
    world.open()
    blobs = {i: world.blob_of(world.accounts[i], 1, 0.1 * (i + 1)) for i in range(3)}
    own = [world.commit({member: blob}) for member, blob in blobs.items()]
    order = replace(world.review_order("", blobs), transactions=own, opening_block=hint)
    ballot, _ = world.review(0, order)
    assert members_in(ballot.rated) == (1, 2)


def test_no_ballot_is_given_before_commitments_have_ended(world: World) -> None:
    world.open()
    blobs = {i: world.blob_of(world.accounts[i], 1) for i in range(2)}
    transaction = world.commit(blobs)
    with pytest.raises(ProtocolError, match="its phase is COMMIT"):
        world.review(0, world.review_order(transaction, blobs))


def test_a_sealed_ballot_is_shown_only_once_sealing_has_ended(chain: MemoryChain) -> None:
    world = World(chain, ballots="sealed")
    world.open()
    blobs = {i: world.blob_of(world.accounts[i], 1, 0.1 * (i + 1)) for i in range(3)}
    order = world.review_order(world.commit(blobs), blobs)
    for _ in range(2):
        reply = ReviewReply.read(world.answer(0, order).content)
        assert (reply.entries, reply.salt) == (b"", b"")
        assert reply.seal
    world.chain.wait_until(world.ledger.state().seal_deadline)
    with pytest.raises(ProtocolError, match="phase is SELECT"):  # nobody's seal was relayed
        world.answer(0, order)


def test_who_has_committed_and_does_not_remember_it_commits_to_nothing_else(world: World) -> None:
    world.open()
    reply = world.train(0)
    world.commit({0: reply.blob})
    world.forget(0)
    with pytest.raises(ProtocolError, match="member 0 has committed in round 1"):
        world.train(0)


def test_a_second_run_signs_nothing_else_where_the_owner_gives_a_folder(
    world: World, tmp_path: Path
) -> None:
    world.open()
    world.contexts[0].node_config["bcfl-folder"] = str(tmp_path)
    said = world.train(0)
    world.forget(0)
    world.chain.wait_until(world.ledger.now() + 5)
    again = world.train(0)  # the same delta, of another date, which is no other commitment
    assert (again.digest, again.timestamp > said.timestamp) == (said.digest, True)
    world.forget(0)

    def train_on(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        reply = call_next(message, context)
        weights = reply.content["arrays"].to_numpy_ndarrays()
        reply.content["arrays"] = ArrayRecord([2 * each for each in weights])
        return reply

    with pytest.raises(SignedAlready, match="another Commitment for round 1"):
        world.answer(0, world.round_order(), [PeerConsensusMod(), train_on])


def test_a_second_run_signs_no_second_commitment_with_a_key_file_of_a_real_chain(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is the one of ``bcfl signer``, beside the key file."""
    key = tmp_path / "key.json"
    monkeypatch.setattr(sign_once, "DEVELOPMENT_CHAINS", ())
    wallet = world.accounts[0]
    context = world.contexts[0]
    context.node_config["bcfl-key-file"] = str(key)
    signing = sign_once.signing_once(wallet, context, 1)
    one, other = (commitment_message(world.ledger.domain, said(digest)) for digest in (1, 2))
    assert signing.sign(one) == signing.sign(one) == wallet.sign(one)
    with pytest.raises(SignedAlready):
        sign_once.signing_once(wallet, context, 1).sign(other)
    assert (tmp_path / "key.json.signed.jsonl").exists()


def said(digest: int) -> Commitment:
    return Commitment(1, bytes(32), bytes([digest]) * 32, 1)


def test_what_was_signed_and_its_receipts_are_kept_for_an_audit(
    world: World, tmp_path: Path
) -> None:
    world.open()
    world.contexts[0].node_config["bcfl-folder"] = str(tmp_path)
    coordinator, domain = world.chain.coordinator, world.ledger.domain
    trained = world.train(0)
    blobs = {0: trained.blob} | {i: world.blob_of(world.accounts[i], 1) for i in (1, 2)}
    receipt = coordinator.sign(receipt_message(domain, 1, 0, trained.digest))
    order = replace(world.review_order(world.commit(blobs), blobs), receipt=receipt)
    reviewed = ReviewReply.read(world.answer(0, order).content)
    owed = ballot_receipt_message(domain, 1, 0, reviewed.entries)
    with pytest.raises(ProtocolError, match="not one for this member's ballot"):
        world.answer(0, ReceiptOrder(domain.contract, 1, world.accounts[1].sign(owed)))
    world.answer(0, ReceiptOrder(domain.contract, 1, coordinator.sign(owed)))
    kept = json.loads((tmp_path / domain.contract / "round-1.json").read_text())
    assert [entry["kind"] for entry in kept] == [
        "commitment",
        "receipt",
        "ballot",
        "ballot receipt",
    ]
    assert kept[0]["digest"] == kept[1]["digest"] == trained.digest.hex()
    assert kept[3]["ballot"] == hashlib.sha256(bytes.fromhex(kept[2]["entries"])).hexdigest()
    assert {entry["member"] for entry in kept} == {0}


def test_a_commitment_that_was_not_relayed_is_sent_by_its_author_when_it_hears_of_the_round_again(
    world: World,
) -> None:
    world.open()
    world.chain.fund(world.accounts[0].address, 10**18)
    first = world.train(0)
    assert not world.ledger.state().committed
    world.contexts[0].node_config["bcfl-direct-fallback"] = True
    again = TrainReply.read(world.answer(0, world.round_order()).content)
    assert again.digest == first.digest
    assert again.transaction
    assert world.ledger.state().committed == 1


def test_whom_the_round_does_not_wait_for_commits_by_itself_at_once(world: World) -> None:
    world.ledger.open_round(world.ledger.state().model, 0b110)
    world.chain.fund(world.accounts[0].address, 10**18)
    world.contexts[0].node_config["bcfl-direct-fallback"] = True
    world.contexts[1].node_config["bcfl-direct-fallback"] = True
    assert world.train(0).transaction
    assert not world.train(1).transaction  # the server has time to relay it
    assert world.ledger.state().committed == 1


def test_a_ballot_that_was_not_relayed_is_sent_by_its_author_when_it_is_asked_again(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    world.chain.fund(world.accounts[1].address, 10**18)
    world.contexts[1].node_config["bcfl-direct-fallback"] = True
    order = world.review_order(transaction, blobs)
    world.review(1, order)
    assert not world.ledger.state().voted
    world.review(1, order)
    assert world.ledger.state().voted == 2
