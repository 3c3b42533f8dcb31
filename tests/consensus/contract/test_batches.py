"""Batches: what is packed comes out again, and what the contract counts is what readers read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.chain.contract import Log
from bcfl.consensus.contract.batches import (
    MAX_BYTES,
    ballots_in,
    commitments_in,
    fit,
    pack_ballots,
    pack_commitments,
    transactions_of,
)
from bcfl.consensus.contract.calldata import Call, decode_call
from bcfl.consensus.contract.events import BallotCast, Committed, Refused
from bcfl.consensus.contract.words import events_in
from bcfl.consensus.spec.domain import MAX_BALLOT_BYTES
from bcfl.core.errors import ReplyMalformed
from tests.contracts.peer_consensus_task import Task

MEMBERS = st.integers(0, 255)
WORDS = st.integers(0, 2**256 - 1)
COMMITMENTS = st.tuples(
    MEMBERS, st.integers(0, 2**40 - 1), st.binary(min_size=32, max_size=32), WORDS, WORDS
)
BALLOTS = st.tuples(MEMBERS, WORDS, WORDS, st.binary(max_size=MAX_BALLOT_BYTES))


@given(st.lists(COMMITMENTS, max_size=5))
def test_commitments_come_out_as_they_went_in(
    rows: list[tuple[int, int, bytes, int, int]],
) -> None:
    batch, signatures = pack_commitments(rows)
    assert [(*e, *s) for e, s in zip(commitments_in(batch), signatures, strict=True)] == rows


@given(st.lists(BALLOTS, max_size=70))
def test_ballots_come_out_as_they_went_in(rows: list[tuple[int, int, int, bytes]]) -> None:
    batches = [*transactions_of(rows)]
    assert [row for each in batches for row in each] == rows
    for each, after in zip(batches, [*batches[1:], []], strict=True):
        assert fit([entries for *_, entries in each])
        if after:
            assert not fit([entries for *_, entries in (*each, after[0])])
        batch, proofs = pack_ballots(each)
        assert len(batch) <= MAX_BYTES
        found = zip(ballots_in(batch), proofs, strict=True)
        assert [(member, *proof, said) for (member, said), proof in found] == [*each]


def test_a_timestamp_too_long_for_a_batch_stays_in_the_future() -> None:
    batch, _ = pack_commitments([(1, 2**64 - 1, bytes(32), 0, 0)])
    assert [*commitments_in(batch)] == [(1, 2**40 - 1, bytes(32))]


@given(st.binary(max_size=120))
def test_what_is_no_batch_is_said_to_be_none(data: bytes) -> None:
    for read in (commitments_in, ballots_in):
        try:
            rows = [*read(data)]
        except ValueError:
            continue
        written = (
            pack_commitments((*row, 0, 0) for row in rows)  # type: ignore[misc]
            if read is commitments_in
            else pack_ballots((row[0], 0, 0, row[1]) for row in rows)  # type: ignore[misc]
        )
        assert written[0] == data


def log(name: str, counted: int, batch: bytes) -> Log:
    return Log(name, {"round": 7, "counted": counted, "batch": batch}, "0x1", 2, 3, 4)


def test_a_batch_on_chain_is_an_event_for_each_that_counts() -> None:
    commitments, _ = pack_commitments([(5, 99, bytes(32), 0, 0), (6, 98, 32 * b"\1", 0, 0)])
    at = "0x1", 2, 3, 4, 7
    found = events_in(log("CommitmentsRelayed", 0b10, commitments), 9)
    assert found == [Committed(*at, 6, 32 * b"\1", 98)]
    ballots, _ = pack_ballots([(5, 0, 0, b"abc"), (6, 0, 0, b""), (7, 0, 0, b"d")])
    found = events_in(log("BallotsRelayed", 0b101, ballots), 9)
    assert found == [BallotCast(*at, 5, b"abc"), BallotCast(*at, 7, b"d")]


@pytest.mark.parametrize(
    ("name", "counted", "batch"),
    [
        ("CommitmentsRelayed", 1, bytes(37)),
        ("CommitmentsRelayed", 0b10, bytes(38)),
        ("BallotsRelayed", 1, b"\0\0\4abc"),
        ("BallotsRelayed", 1, b"\0\0"),
        ("BallotsRelayed", 1, b""),
    ],
)
def test_a_batch_that_no_contract_logs_is_not_believed(
    name: str, counted: int, batch: bytes
) -> None:
    with pytest.raises(ReplyMalformed, match=name):
        events_in(log(name, counted, batch), 9)


def test_nobody_beyond_the_seats_is_believed_to_have_said_anything() -> None:
    """A node can tell of members whose bit no memory holds."""
    commitments, _ = pack_commitments([(128, 99, bytes(32), 0, 0)])
    alone = {"round": 7, "member": 2**200, "entries": b""}
    refused = replace(log("Refused", 0, b""), arguments={"round": 7, "member": 2**200, "reason": 1})
    for lie in (
        log("CommitmentsRelayed", 1, commitments),
        replace(log("BallotCast", 0, b""), arguments=alone),
    ):
        with pytest.raises(ReplyMalformed, match="members are below 128"):
            events_in(lie, 9)
    assert events_in(refused, 9) == [Refused("0x1", 2, 3, 4, 7, 2**200, 1)]


def test_a_call_with_no_batch_reads_as_none() -> None:
    task = Task(2)
    for name in ("commit", "cast_ballots"):
        data = task.data(name, 1, bytes(2), [(0, 0)])
        assert decode_call(task.address, data) == Call(task.address)
