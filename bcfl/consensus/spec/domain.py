"""The nouns of the protocol: what crosses the border between members, chain and server.

Everything here is a frozen value, validated once, when it is made.
PROTOCOL, System A; claims 1 to 5 of US11954592B2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from bcfl.core.errors import ProtocolError

#: The contract keeps sets of members as the bits of one word, and points in lanes of 16 bits.
MAX_MEMBERS = 128
DIGEST_BYTES = 32
SIGNATURE_BYTES = 65
#: Of a ballot: who is missing, and who is invalid.
_SETS_BYTES = 32


class Phase(IntEnum):
    """Where a round stands, as the contract says (``PeerConsensus.phase``)."""

    IDLE = 0  #: no round is open: none yet, or the last one is closed or void
    COMMIT = 1  #: commitments are taken
    SEAL = 2  #: sealed ballots only: hashes of ballots are taken
    BALLOT = 3  #: ballots are taken (``ballots=sealed``: revealed)
    SELECT = 4  #: all ballots are in, or their deadline has passed: anyone may call select
    SELECTED = 5  #: winners stand; the coordinator owes the digest of the new global model
    PROPOSE = 6  #: between COMMIT and SEAL, where members propose: proposals are taken


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
class Proposal:
    """The members whose deltas together would, says its author, make the best next model."""

    round: int
    members: int  #: bit field, of at least one

    def __post_init__(self) -> None:
        _expect_range("round", self.round, 1, 2**64)
        _expect_range("members", self.members, 1, 2**MAX_MEMBERS)

    def encode(self) -> bytes:
        """The bit field as 16 bytes, big-endian: what a receipt names."""
        return self.members.to_bytes(MAX_MEMBERS // 8, "big")


@dataclass(frozen=True, slots=True)
class SignedProposal:
    """A proposal with its author's index and signature."""

    member: int
    proposal: Proposal
    signature: bytes

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_signature(self.signature)


@dataclass(frozen=True, slots=True)
class Rating:
    """M[i, j]: the value that one member gives another's delta, or its proposal.

    Larger is better.
    """

    member: int  #: j, who is rated
    value: int  #: unsigned 32-bit fixed point, see ``bcfl.consensus.spec.fixed_point``

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_range("value", self.value, 0, 2**32)


@dataclass(frozen=True, slots=True)
class Ballot:
    """Row i of M in descending order: the values and, with them, their order (claim 5).

    A ballot accounts for everyone who committed but its author: whom it does not rate it says
    to be missing or invalid. Who is in neither set was left out for no reason given.
    """

    round: int
    ratings: tuple[Rating, ...]
    missing: int = 0  #: bit field: the committed bytes were not delivered, nor to be found
    invalid: int = 0  #: bit field: they are no delta of the round, or evaluating it fails

    def __post_init__(self) -> None:
        _expect_range("round", self.round, 1, 2**64)
        for name in ("missing", "invalid"):
            _expect_range(name, getattr(self, name), 0, 2**MAX_MEMBERS)
        rated = [rating.member for rating in self.ratings]
        if len(set(rated)) != len(rated):
            raise ProtocolError(f"a ballot rates each member once; found {rated}")
        values = [rating.value for rating in self.ratings]
        if any(a < b for a, b in pairwise(values)):
            raise ProtocolError(f"a ballot's values stand in descending order; found {values}")
        both = self.missing & self.invalid | (self.missing | self.invalid) & bits(rated)
        if both:
            raise ProtocolError(
                "a ballot says one thing of each: rated, missing or invalid; "
                f"found several of {members_in(both)}"
            )

    @classmethod
    def from_values(
        cls,
        round: int,
        values: Mapping[int, int],
        missing: Iterable[int] = (),
        invalid: Iterable[int] = (),
    ) -> Ballot:
        """Sort ``values`` (member to value); among equal values the lower index stands first."""
        order = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        ratings = tuple(Rating(member, value) for member, value in order)
        return cls(round, ratings, bits(missing), bits(invalid))

    @property
    def rated(self) -> int:
        """Bit field of those who have a value."""
        return bits(rating.member for rating in self.ratings)

    def encode(self) -> bytes:
        """The entries, best first, and behind them the sets, if anybody is in one.

        5 bytes an entry: member (1), value (4, big-endian, as the EVM reads). Then 16 bytes
        for the missing, 16 for the invalid, big-endian; left out where both are empty.
        """
        entries = b"".join(
            rating.member.to_bytes(1, "big") + rating.value.to_bytes(4, "big")
            for rating in self.ratings
        )
        sets = self.missing << MAX_MEMBERS | self.invalid
        return entries + (sets.to_bytes(_SETS_BYTES, "big") if sets else b"")

    @classmethod
    def decode(cls, round: int, entries: bytes) -> Ballot:
        """Invert :meth:`encode`; raises ProtocolError for what no ballot encodes to."""
        sets = 0
        if len(entries) % 5 == _SETS_BYTES % 5 and len(entries) >= _SETS_BYTES:
            sets = int.from_bytes(entries[-_SETS_BYTES:], "big")
            if not sets:
                raise ProtocolError("a ballot leaves its sets out where they are empty")
            entries = entries[:-_SETS_BYTES]
        if len(entries) % 5:
            raise ProtocolError(
                f"a ballot has 5 bytes a rating, and 32 of sets or none; found {len(entries)} bytes"
            )
        ratings = tuple(
            Rating(entries[at], int.from_bytes(entries[at + 1 : at + 5], "big"))
            for at in range(0, len(entries), 5)
        )
        return cls(round, ratings, sets >> MAX_MEMBERS, sets & (2**MAX_MEMBERS - 1))


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
    voted: int  #: whose ballots count; who abstained is not in it
    winners: int
    equivocators: int
    opened_at: int  #: seconds, chain time
    commit_deadline: int  #: earlier than announced once all who were expected have committed
    seal_deadline: int  #: the announced commit_deadline where ballots are open
    ballot_deadline: int
    abstained: int = 0  #: who missed too much of the round to vote
    proposed: int = 0
    proposal_deadline: int = 0  #: 0 where nobody proposes


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
