"""What was sent to the contract reads as what was signed; anything else reads as nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.batches import pack_ballots, pack_commitments
from bcfl.consensus.contract.calldata import (
    Call,
    Deployment,
    PeerCalldata,
    SentBallot,
    SentCommitment,
    SentSeal,
    decode_call,
    decode_deployment,
)
from bcfl.consensus.contract.words import compact, evidence
from bcfl.consensus.spec.domain import Commitment, SignedCommitment, TypedDataDomain
from bcfl.consensus.spec.messages import commitment_message
from bcfl.contracts import artifact
from bcfl.core.errors import ReplyMalformed
from bcfl.keys.accounts import derive_account

SENDER = derive_account(0, "member", 0).address
CONTRACT = derive_account(0, "member", 1).address
COMMITMENT = Commitment(7, 32 * b"\1", 32 * b"\2", 99)
SIGNATURE = derive_account(0, "member", 2).sign(
    commitment_message(TypedDataDomain(1, CONTRACT), COMMITMENT)
)


def sent(function: str, *arguments: Any) -> Call:
    """The call that a transaction with these arguments decodes to."""
    contract = Connection("http://127.0.0.1:1").contract(CONTRACT, artifact("PeerConsensus").abi)
    return decode_call(SENDER, contract.encode(function, arguments))


def test_relayed_words_carry_their_signatures() -> None:
    words = compact(SIGNATURE)
    assert sent("commit", 7, *pack_commitments([(3, 99, 32 * b"\2", *words)])) == Call(
        SENDER, "commit", 7, commitments=(SentCommitment(3, 32 * b"\2", 99, SIGNATURE),)
    )
    assert sent("seal", 7, [(3, 32 * b"\4", *words)]) == Call(
        SENDER, "seal", 7, seals=(SentSeal(3, 32 * b"\4", SIGNATURE),)
    )
    (ballot,) = sent("cast_ballots", 7, *pack_ballots([(3, *words, b"12345")])).ballots
    assert ballot == SentBallot(3, b"12345", SIGNATURE, SIGNATURE[:32])


def test_direct_words_are_their_senders() -> None:
    (commitment,) = sent("commit_direct", 7, 32 * b"\2", 99).commitments
    assert commitment == SentCommitment(None, 32 * b"\2", 99, b"")
    assert sent("seal_direct", 7, 32 * b"\4").seals == (SentSeal(None, 32 * b"\4", b""),)
    (ballot,) = sent("cast_ballot_direct", 7, b"12345", 32 * b"\5").ballots
    assert ballot == SentBallot(None, b"12345", b"", 32 * b"\5")


def test_a_proof_of_equivocation_carries_both_commitments() -> None:
    half = evidence(SignedCommitment(3, COMMITMENT, SIGNATURE))
    call = sent("prove_equivocation", 3, 7, half, half)
    claim = SentCommitment(3, COMMITMENT.digest, 99, SIGNATURE, COMMITMENT.base)
    assert call == Call(SENDER, "prove_equivocation", 7, commitments=(claim, claim))


def test_a_deployment_of_the_shipped_code_names_its_terms() -> None:
    compiled = artifact("PeerConsensus")
    types = [
        "address[]",
        "bytes32",
        "bytes32",
        "uint256",
        "uint256",
        "uint256",
        "uint256",
        "bool",
        "uint256",
    ]
    terms = ([SENDER, CONTRACT], 32 * b"\1", 32 * b"\2", 500_000, 2, 600, 601, True, 0)
    data = compiled.bytecode + encode(types, terms)
    assert decode_deployment(SENDER, data).deployment == Deployment((SENDER, CONTRACT), *terms[1:])
    assert decode_deployment(SENDER, b"\0" + data) == Call(SENDER)
    assert decode_deployment(SENDER, compiled.bytecode) == Call(SENDER)


@given(st.binary(max_size=300), st.sampled_from(["commit", "seal", "cast_ballots", "select"]))
def test_what_is_no_call_of_the_contract_reads_as_none(data: bytes, function: str) -> None:
    arguments = {"select": (), "seal": (7, [])}.get(function, (7, b"", []))
    contract = Connection("http://127.0.0.1:1").contract(CONTRACT, artifact("PeerConsensus").abi)
    selector = contract.encode(function, arguments)[:4]
    assert decode_call(SENDER, data).sender == SENDER
    assert decode_call(SENDER, selector + data).function in ("", function)


class Node:
    """Answers every request alike."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def request_many(self, method: str, rows: Sequence[Any]) -> list[Any]:
        return [self._answer for _ in rows]


NUMBER = "0x" + 32 * "ab"
WHOLE = {"hash": NUMBER, "from": SENDER, "to": CONTRACT, "input": "0x", "value": "0x0"}


def looked_up(answer: Any) -> Call | None:
    calldata = PeerCalldata(Node(answer), CONTRACT)  # type: ignore[arg-type]
    return calldata.calls([NUMBER])[NUMBER]


def test_a_call_of_another_contract_is_not_read() -> None:
    assert looked_up({**WHOLE, "to": SENDER}) == Call(SENDER)


def test_a_transaction_that_is_not_there() -> None:
    assert looked_up(None) is None


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {**WHOLE, "hash": "0x" + 32 * "cd"},
        {**WHOLE, "from": "0x12"},
        {**WHOLE, "input": "0x1"},
        {**WHOLE, "input": None},
        {**WHOLE, "value": "much"},
        {"hash": NUMBER, "from": SENDER, "input": "0x"},
    ],
)
def test_an_answer_that_is_none(answer: Any) -> None:
    with pytest.raises(ReplyMalformed, match="0x"):
        looked_up(answer)
