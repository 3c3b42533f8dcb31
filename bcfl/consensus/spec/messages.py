"""EIP-712 typed data: the exact words that members and the coordinator sign.

Each function returns the ``full_message`` that any Ethereum wallet signs; the contract
hashes the same fields. Bound to chain id and contract by the domain, and to the round by
the fields, so that nothing signed here is worth anything in another task or round.
PROTOCOL, System A, S2 (claim 3).
"""

from __future__ import annotations

import hashlib
from typing import Any

from bcfl.consensus.spec.domain import Ballot, Commitment, Proposal, TypedDataDomain

_DOMAIN_FIELDS = [
    ("string", "name"),
    ("string", "version"),
    ("uint256", "chainId"),
    ("address", "verifyingContract"),
]


def commitment_message(domain: TypedDataDomain, commitment: Commitment) -> dict[str, Any]:
    """``Commitment(uint64 round,bytes32 base,bytes32 digest,uint64 timestamp)``."""
    return _message(
        domain,
        "Commitment",
        [("uint64", "round"), ("bytes32", "base"), ("bytes32", "digest"), ("uint64", "timestamp")],
        {
            "round": commitment.round,
            "base": commitment.base,
            "digest": commitment.digest,
            "timestamp": commitment.timestamp,
        },
    )


def proposal_message(domain: TypedDataDomain, proposal: Proposal) -> dict[str, Any]:
    """``Proposal(uint64 round,uint128 members)``; a bit field."""
    return _message(
        domain,
        "Proposal",
        [("uint64", "round"), ("uint128", "members")],
        {"round": proposal.round, "members": proposal.members},
    )


def ballot_message(domain: TypedDataDomain, ballot: Ballot) -> dict[str, Any]:
    """``Ballot(uint64 round,bytes entries)``; the bytes, sets included, of ``Ballot.encode``."""
    return _message(
        domain,
        "Ballot",
        [("uint64", "round"), ("bytes", "entries")],
        {"round": ballot.round, "entries": ballot.encode()},
    )


def seal_message(domain: TypedDataDomain, round: int, seal: bytes) -> dict[str, Any]:
    """``Seal(uint64 round,bytes32 seal)``; seal = keccak256(entries ‖ salt)."""
    return _message(
        domain, "Seal", [("uint64", "round"), ("bytes32", "seal")], {"round": round, "seal": seal}
    )


def receipt_message(
    domain: TypedDataDomain, round: int, member: int, digest: bytes
) -> dict[str, Any]:
    """``Receipt(uint64 round,uint8 member,bytes32 digest)``: the coordinator has it in hand.

    Signed by the coordinator and kept by the member: together with a chain on which the
    commitment is missing, it proves that the server left it out.
    """
    return _message(
        domain,
        "Receipt",
        [("uint64", "round"), ("uint8", "member"), ("bytes32", "digest")],
        {"round": round, "member": member, "digest": digest},
    )


def ballot_receipt_message(
    domain: TypedDataDomain, round: int, member: int, signed: bytes
) -> dict[str, Any]:
    """``BallotReceipt(uint64 round,uint8 member,bytes32 ballot)``: the coordinator has a ballot.

    Signed by the coordinator and kept by the member: together with a chain on which the ballot
    is missing, it proves that the server did not relay it.

    Parameters
    ----------
    signed : bytes
        What the member signed: ``Ballot.encode``; where ballots are sealed, the seal; of a
        proposal, ``Proposal.encode``. Its SHA-256 is what the receipt names.
    """
    return _message(
        domain,
        "BallotReceipt",
        [("uint64", "round"), ("uint8", "member"), ("bytes32", "ballot")],
        {"round": round, "member": member, "ballot": hashlib.sha256(signed).digest()},
    )


def join_message(chain_id: int, challenge: bytes) -> dict[str, Any]:
    """``Join(bytes32 challenge)``: proves an address before there is a contract to name."""
    return {
        "types": {
            "EIP712Domain": _typed(_DOMAIN_FIELDS[:3]),
            "Join": _typed([("bytes32", "challenge")]),
        },
        "primaryType": "Join",
        "domain": {"name": "bcfl", "version": "1", "chainId": chain_id},
        "message": {"challenge": challenge},
    }


def _message(
    domain: TypedDataDomain, name: str, fields: list[tuple[str, str]], values: dict[str, Any]
) -> dict[str, Any]:
    return {
        "types": {
            "EIP712Domain": _typed(_DOMAIN_FIELDS),
            name: _typed(fields),
        },
        "primaryType": name,
        "domain": {
            "name": "bcfl",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        "message": values,
    }


def _typed(fields: list[tuple[str, str]]) -> list[dict[str, str]]:
    # Made anew for each message: whoever changes one changes no other.
    return [{"name": name, "type": kind} for kind, name in fields]
