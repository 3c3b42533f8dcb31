"""Whether a member signed what is said to be its own. S2 (claim 3), S3 (claim 1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from eth_utils.crypto import keccak

from bcfl.audit.evidence import Evidence, Signed, round_of
from bcfl.consensus.contract.events import Sealed
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    TypedDataDomain,
)
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)
from bcfl.keys.accounts import signed_by

_MEMORY = 2**14  # the journal repeats the chain: each signature is looked at once


@lru_cache(_MEMORY)
def signed_commitment(
    domain: TypedDataDomain, commitment: Commitment, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of this commitment."""
    return signed_by(commitment_message(domain, commitment), signature, address)


@lru_cache(_MEMORY)
def signed_proposal(
    domain: TypedDataDomain, proposal: Proposal, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of this proposal."""
    return signed_by(proposal_message(domain, proposal), signature, address)


@lru_cache(_MEMORY)
def signed_seal(
    domain: TypedDataDomain, round_: int, seal: bytes, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of this seal."""
    return signed_by(seal_message(domain, round_, seal), signature, address)


@lru_cache(_MEMORY)
def signed_ballot(
    domain: TypedDataDomain, round_: int, entries: bytes, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of these entries, be they a ballot or not."""
    message = ballot_message(domain, Ballot(round_, ()))
    words = {**message, "message": {"round": round_, "entries": entries}}
    return signed_by(words, signature, address)


def has_signed(signed: Signed, members: Sequence[str], evidence: Evidence) -> bool:
    """Whether its member, of these members by index, has signed it.

    Nobody signs what opens a seal: of a sealed ballot there has to be its salt.
    """
    domain, number = evidence.terms.domain, round_of(signed)
    if signed.member >= len(members):
        return False
    address = members[signed.member]
    match signed:
        case SignedCommitment():
            return signed_commitment(domain, signed.commitment, signed.signature, address)
        case SignedProposal():
            return signed_proposal(domain, signed.proposal, signed.signature, address)
        case SignedSeal():
            return signed_seal(domain, number, signed.seal, signed.signature, address)
        case SignedBallot():
            if evidence.terms.sealed:
                return bool(signed.salt)
            entries = signed.ballot.encode()
            return signed_ballot(domain, number, entries, signed.signature, address)


def opens(ballot: SignedBallot, sealed: Sealed | None) -> bool:
    """Whether a ballot is what its member has sealed."""
    words = ballot.ballot.encode() + ballot.salt
    return sealed is not None and bytes(keccak(words)) == sealed.seal
