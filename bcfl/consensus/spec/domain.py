"""The nouns of the protocol: what crosses the border between members, chain and server.

Everything here is a frozen value, validated once, when it is made.
PROTOCOL, System A; claims 1 to 5 of US11954592B2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from bcfl.core.errors import ProtocolError

__all__ = [
    "MAX_MEMBERS",
    "Ballot",
    "Commitment",
    "Phase",
    "Rating",
    "RoundState",
    "SignedBallot",
    "SignedCommitment",
    "SignedSeal",
    "TypedDataDomain",
    "bits",
    "members_in",
]

#: The contract keeps sets of members as the bits of one word, and points in lanes of 16 bits.
MAX_MEMBERS = 128
DIGEST_BYTES = 32
SIGNATURE_BYTES = 65


class Phase(IntEnum):
    """Where a round stands, as the contract says (``PeerConsensus.phase``)."""

    IDLE = 0  #: no round is open: none yet, or the last one is closed or void
    COMMIT = 1  #: commitments are taken
    SEAL = 2  #: sealed ballots only: hashes of ballots are taken
    BALLOT = 3  #: ballots are taken (``ballots=sealed``: revealed)
    SELECT = 4  #: all ballots are in, or their deadline has passed: anyone may call select
    SELECTED = 5  #: winners stand; the coordinator owes the digest of the new global model


@dataclass(frozen=True, slots=True)
class TypedDataDomain:
    """The EIP-712 domain: the task's contract on its chain. Binds every signature to both."""

    chain_id: int
    contract: str  #: checksummed address


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a member signs in S2 (claim 3): its delta's digest, bound to a round and a model."""

    round: int  #: the contract's round, from 1; void rounds count
    base: bytes  #: SHA-256 of θ_g, the model trained from
    digest: bytes  #: SHA-256 of the encoded delta
    timestamp: int  #: seconds, chain time

    def __post_init__(self) -> None:
        _expect_digest("base", self.base)
        _expect_digest("digest", self.digest)
        _expect_range("round", self.round, 1, 2**64)
        _expect_range("timestamp", self.timestamp, 0, 2**64)


@dataclass(frozen=True, slots=True)
class SignedCommitment:
    """A commitment with its author's index and EIP-712 signature (r ‖ s ‖ v, 65 bytes)."""

    member: int
    commitment: Commitment
    signature: bytes

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_signature(self.signature)


@dataclass(frozen=True, slots=True)
class Rating:
    """M[i, j]: the value that one member gives another's delta; larger is better."""

    member: int  #: j, who is rated
    value: int  #: unsigned 32-bit fixed point, see ``bcfl.consensus.spec.fixed_point``

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_range("value", self.value, 0, 2**32)


@dataclass(frozen=True, slots=True)
class Ballot:
    """Row i of M in descending order: the values and, with them, their order (claim 5).

    Members whose delta was rejected, or never came, do not appear, and get no points.
    """

    round: int
    ratings: tuple[Rating, ...]

    def __post_init__(self) -> None:
        _expect_range("round", self.round, 1, 2**64)
        rated = [rating.member for rating in self.ratings]
        if len(set(rated)) != len(rated):
            raise ProtocolError(f"a ballot rates each member once; found {rated}")
        values = [rating.value for rating in self.ratings]
        if any(a < b for a, b in pairwise(values)):
            raise ProtocolError(f"a ballot's values stand in descending order; found {values}")

    @classmethod
    def from_values(cls, round: int, values: dict[int, int]) -> Ballot:
        """Sort ``values`` (member to value); among equal values the lower index stands first."""
        order = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        return cls(round, tuple(Rating(member, value) for member, value in order))

    def encode(self) -> bytes:
        """5 bytes a rating, best first: member (1), value (4, big-endian, as the EVM reads)."""
        return b"".join(
            rating.member.to_bytes(1, "big") + rating.value.to_bytes(4, "big")
            for rating in self.ratings
        )

    @classmethod
    def decode(cls, round: int, entries: bytes) -> Ballot:
        """Invert :meth:`encode`; raises ProtocolError for what no ballot encodes to."""
        if len(entries) % 5:
            raise ProtocolError(f"a ballot has 5 bytes a rating; found {len(entries)} bytes")
        return cls(
            round,
            tuple(
                Rating(entries[at], int.from_bytes(entries[at + 1 : at + 5], "big"))
                for at in range(0, len(entries), 5)
            ),
        )


@dataclass(frozen=True, slots=True)
class SignedBallot:
    """A ballot with its author's index and signature; sealed ballots carry their salt instead."""

    member: int
    ballot: Ballot
    signature: bytes = b""  #: empty where the ballot reveals a signed seal
    salt: bytes = b""  #: 32 bytes where ballots are sealed

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        if self.salt:
            _expect_digest("salt", self.salt)
        else:
            _expect_signature(self.signature)


@dataclass(frozen=True, slots=True)
class SignedSeal:
    """The promise of a ballot: keccak256(entries ‖ salt), signed, before any ballot is seen."""

    member: int
    round: int
    seal: bytes
    signature: bytes

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_range("round", self.round, 1, 2**64)
        _expect_digest("seal", self.seal)
        _expect_signature(self.signature)


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the contract says of itself, read in one call. Sets of members are bit fields."""

    round: int
    phase: Phase
    model: bytes  #: digest of θ_g as it stands on chain
    expected: int  #: whom the coordinator announced at opening
    committed: int
    sealed: int
    voted: int
    winners: int
    equivocators: int
    opened_at: int  #: seconds, chain time
    commit_deadline: int
    seal_deadline: int  #: equals commit_deadline where ballots are open
    ballot_deadline: int


def members_in(bit_field: int) -> tuple[int, ...]:
    """The member indices whose bits are set, ascending."""
    return tuple(i for i in range(bit_field.bit_length()) if bit_field >> i & 1)


def bits(members: Iterable[int]) -> int:
    """The bit field in which exactly these members' bits are set; inverts ``members_in``."""
    field = 0
    for member in members:
        _expect_range("member", member, 0, MAX_MEMBERS)
        field |= 1 << member
    return field


def _expect_digest(name: str, value: bytes) -> None:
    if len(value) != DIGEST_BYTES:
        raise ProtocolError(f"{name} is {DIGEST_BYTES} bytes long; found {len(value)}")


def _expect_signature(value: bytes) -> None:
    if len(value) != SIGNATURE_BYTES:
        raise ProtocolError(f"a signature is {SIGNATURE_BYTES} bytes long; found {len(value)}")


def _expect_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value < high:
        raise ProtocolError(f"{name} lies in [{low}, {high}); found {value}")
