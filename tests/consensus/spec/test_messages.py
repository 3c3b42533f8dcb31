"""The words that are signed, hashed by hand as EIP-712 says, and by Ethereum's own library."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from bcfl.consensus.spec.domain import Ballot, Commitment, Proposal, TypedDataDomain
from bcfl.consensus.spec.messages import (
    ballot_message,
    ballot_receipt_message,
    commitment_message,
    join_message,
    proposal_message,
    receipt_message,
    seal_message,
)

GOLDEN = Path(__file__).parent / "golden" / "typed_data.json"

DOMAIN = TypedDataDomain(31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
COMMITMENT = Commitment(7, b"\x01" * 32, b"\x02" * 32, 1_700_000_000)
BALLOT = Ballot.from_values(7, {0: 5, 3: 2**31}, missing=[1], invalid=[127])
WORD = b"\x03" * 32

MESSAGES: dict[str, dict[str, Any]] = {
    "commitment": commitment_message(DOMAIN, COMMITMENT),
    "proposal": proposal_message(DOMAIN, Proposal(7, 2**127 | 5)),
    "ballot": ballot_message(DOMAIN, BALLOT),
    "seal": seal_message(DOMAIN, 7, WORD),
    "receipt": receipt_message(DOMAIN, 7, 3, WORD),
    "ballot_receipt": ballot_receipt_message(DOMAIN, 7, 3, BALLOT.encode()),
    "join": join_message(31337, WORD),
}


def digest(message: dict[str, Any]) -> bytes:
    """What a wallet signs."""
    signable = encode_typed_data(full_message=message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def separator(contract: bool = True) -> bytes:
    fields = "string name,string version,uint256 chainId"
    fields += ",address verifyingContract" if contract else ""
    return keccak(
        keccak(text=f"EIP712Domain({fields})")
        + keccak(text="bcfl")
        + keccak(text="1")
        + word(DOMAIN.chain_id)
        + (word(int(DOMAIN.contract, 16)) if contract else b"")
    )


BY_HAND = {
    "commitment": keccak(
        text="Commitment(uint64 round,bytes32 base,bytes32 digest,uint64 timestamp)"
    )
    + word(7)
    + COMMITMENT.base
    + COMMITMENT.digest
    + word(COMMITMENT.timestamp),
    "proposal": keccak(text="Proposal(uint64 round,uint128 members)") + word(7) + word(2**127 | 5),
    "ballot": keccak(text="Ballot(uint64 round,bytes entries)") + word(7) + keccak(BALLOT.encode()),
    "seal": keccak(text="Seal(uint64 round,bytes32 seal)") + word(7) + WORD,
    "receipt": keccak(text="Receipt(uint64 round,uint8 member,bytes32 digest)")
    + word(7)
    + word(3)
    + WORD,
    "ballot_receipt": keccak(text="BallotReceipt(uint64 round,uint8 member,bytes32 ballot)")
    + word(7)
    + word(3)
    + sha256(BALLOT.encode()).digest(),
    "join": keccak(text="Join(bytes32 challenge)") + WORD,
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_digest_is_the_one_that_eip_712_defines(kind: str) -> None:
    structure = keccak(BY_HAND[kind])
    by_hand = keccak(b"\x19\x01" + separator(contract=kind != "join") + structure)
    assert digest(MESSAGES[kind]) == by_hand


def test_the_golden_digests() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert {kind: digest(message).hex() for kind, message in MESSAGES.items()} == golden


def test_no_two_messages_have_one_digest() -> None:
    """Every field counts, and so do chain and contract."""
    other_chain = TypedDataDomain(1, DOMAIN.contract)
    other_contract = TypedDataDomain(31337, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
    messages = [
        *MESSAGES.values(),
        commitment_message(DOMAIN, replace(COMMITMENT, round=8)),
        commitment_message(DOMAIN, replace(COMMITMENT, base=WORD)),
        commitment_message(DOMAIN, replace(COMMITMENT, digest=WORD)),
        commitment_message(DOMAIN, replace(COMMITMENT, timestamp=0)),
        ballot_message(DOMAIN, replace(BALLOT, round=8)),
        ballot_message(DOMAIN, Ballot.from_values(7, {0: 5})),
        ballot_message(DOMAIN, Ballot(7, ())),
        seal_message(DOMAIN, 8, WORD),
        seal_message(DOMAIN, 7, bytes(32)),
        receipt_message(DOMAIN, 8, 3, WORD),
        receipt_message(DOMAIN, 7, 4, WORD),
        receipt_message(DOMAIN, 7, 3, bytes(32)),
        join_message(1, WORD),
        join_message(31337, bytes(32)),
    ]
    for domain in (other_chain, other_contract):
        messages += [
            commitment_message(domain, COMMITMENT),
            ballot_message(domain, BALLOT),
            seal_message(domain, 7, WORD),
            receipt_message(domain, 7, 3, WORD),
        ]
    assert len({digest(message) for message in messages}) == len(messages)


@pytest.mark.parametrize("kind", MESSAGES)
def test_any_wallet_can_sign_it(kind: str) -> None:
    account = Account.from_key(b"\x05" * 32)
    signable = encode_typed_data(full_message=MESSAGES[kind])
    signature = account.sign_message(signable).signature
    assert len(signature) == 65
    assert Account.recover_message(signable, signature=signature) == account.address


def test_messages_do_not_share_what_a_caller_may_change() -> None:
    one = seal_message(DOMAIN, 7, WORD)
    one["types"]["EIP712Domain"].clear()
    assert seal_message(DOMAIN, 7, WORD) == MESSAGES["seal"]
    assert MESSAGES["seal"]["types"]["EIP712Domain"]
