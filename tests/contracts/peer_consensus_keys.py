"""Members with keys, and what they sign, in the shape that the contract takes.

Signatures come from `eth_account` and `bcfl.consensus.spec.messages`, so that every accepted one
shows that Python and Vyper mean the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from bcfl.consensus.spec.domain import Ballot, Commitment, Proposal, TypedDataDomain
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)

Words = tuple[Any, ...]


def account(index: int) -> LocalAccount:
    """The same account for the same index, always."""
    key: LocalAccount = Account.from_key(keccak(text=f"bcfl test account {index}"))
    return key


def compact(signature: bytes) -> tuple[int, int]:
    """r ‖ s ‖ v as the two words r and vs of EIP-2098."""
    r, s, v = signature[:32], signature[32:64], signature[64]
    return int.from_bytes(r, "big"), int.from_bytes(s, "big") | (v - 27) << 255


@dataclass(frozen=True)
class Signing:
    """What members sign for one contract."""

    domain: TypedDataDomain

    def _sign(self, signer: LocalAccount, message: dict[str, Any]) -> tuple[int, int]:
        signed = signer.sign_message(encode_typed_data(full_message=message))
        return compact(bytes(signed.signature))

    def commitment(self, member: int, signer: LocalAccount, commitment: Commitment) -> Words:
        """A `SignedCommitment`."""
        r, vs = self._sign(signer, commitment_message(self.domain, commitment))
        return member, commitment.timestamp, commitment.digest, r, vs

    def evidence(self, signer: LocalAccount, commitment: Commitment) -> Words:
        """An `Evidence`."""
        r, vs = self._sign(signer, commitment_message(self.domain, commitment))
        return commitment.base, commitment.digest, commitment.timestamp, r, vs

    def proposal(self, member: int, signer: LocalAccount, proposal: Proposal) -> Words:
        """A `SignedProposal`."""
        r, vs = self._sign(signer, proposal_message(self.domain, proposal))
        return member, proposal.members, r, vs

    def members(self, member: int, signer: LocalAccount, round_: int, members: int) -> Words:
        """A `SignedProposal` of whatever word; what is none has the signature of another."""
        message = proposal_message(self.domain, Proposal(round_, 1))
        message["message"]["members"] = members % 2**128
        r, vs = self._sign(signer, message)
        return member, members, r, vs

    def seal(self, member: int, signer: LocalAccount, round_: int, seal: bytes) -> Words:
        """A `SignedSeal`."""
        r, vs = self._sign(signer, seal_message(self.domain, round_, seal))
        return member, seal, r, vs

    def ballot(self, member: int, signer: LocalAccount, ballot: Ballot) -> Words:
        """A `CastBallot` where ballots are open."""
        r, vs = self._sign(signer, ballot_message(self.domain, ballot))
        return member, r, vs, ballot.encode()

    def entries(self, member: int, signer: LocalAccount, round_: int, entries: bytes) -> Words:
        """A `CastBallot` of bytes that need be no ballot."""
        message = ballot_message(self.domain, Ballot(round_, ()))
        message["message"]["entries"] = entries
        r, vs = self._sign(signer, message)
        return member, r, vs, entries


def salt(member: int, seed: str = "salt") -> bytes:
    """A salt of that member: it ends in the index."""
    return keccak(text=f"{seed} {member}")[:31] + bytes([member])


def seal_of(entries: bytes, salt: bytes) -> bytes:
    """keccak256(entries ‖ salt)."""
    return keccak(entries + salt)


def revealed(member: int, entries: bytes, salt: bytes) -> Words:
    """A `CastBallot` where ballots are sealed."""
    return member, int.from_bytes(salt, "big"), 0, entries


def sets(missing: int = 0, invalid: int = 0) -> bytes:
    return missing.to_bytes(16, "big") + invalid.to_bytes(16, "big")


def raw(
    places: Mapping[int, int],
    lowest: int = 9,
    gaps: Sequence[int] = (),
    width: int = 1,
    behind: bytes = b"",
    listed: int = 0,
) -> bytes:
    """The bytes of a ballot, good or not: whose place is which, and how far apart values are."""
    listed = listed or max(places) + 1
    values = lowest.to_bytes(4, "big") + b"".join(gap.to_bytes(width, "big") for gap in gaps)
    said = bytes(places.get(member, 255) for member in reversed(range(listed)))
    return said + values + behind + bytes([width | 128 * bool(behind), listed])


def unpacked(words: Sequence[int], members: int) -> list[int]:
    """The lanes of the first `members` members."""
    return [
        words[i // 16] >> 16 * (i % 16) & 0xFFFF if i // 16 < len(words) else 0
        for i in range(members)
    ]
