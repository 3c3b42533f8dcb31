"""What a client believes, what it refuses, and what it says twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.member.mod import PeerConsensusMod
from bcfl.consensus.records import ReviewOrder
from bcfl.consensus.spec.codec import blob_size, digest_of
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    BcflError,
    MetricError,
    NodeUnreachable,
    ProtocolError,
)
from bcfl.keys.accounts import derive_account
from tests.consensus.member.world import World


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as running:
        yield running


@pytest.fixture
def world(chain: EmbeddedChain) -> World:
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
        world.spec.n, world.rules.kept(world.spec.n), world.spec.dtype
    )
    assert reply.digest == digest_of(reply.blob)


def test_a_member_asked_twice_says_the_same_twice(world: World) -> None:
    world.open()
    one = world.train(0)
    world.chain.travel(world.ledger.now() + 5)
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
    assert "expected" in rejected[1]
    assert "found" in rejected[1]


def test_a_transaction_number_that_does_not_exist_is_rejected(
    committed: tuple[World, str, dict[int, bytes]],
) -> None:
    world, transaction, blobs = committed
    order = world.review_order(transaction, blobs)
    order.transactions[1] = "0x" + "12" * 32
    _, rejected = world.review(0, order)
    assert set(rejected) == {1}
    assert "no transaction" in rejected[1]


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

    with pytest.raises(MetricError, match="found none"):
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
    assert reply.content["bcfl"]["reasons"] == ["evaluate failed on it: overflow"]


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
