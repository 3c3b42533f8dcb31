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
MAX_BALLOT_BYTES = 5 * MAX_MEMBERS + 34  #: of entries, as the contracts take them
#: Of a ballot: the largest gap between values of neighbouring places.
_MAX_GAP = 2**32
#: Who is missing, and who is invalid; that there are such; who has no place.
_SETS_BYTES = 32
_HAS_SETS = 128
_UNRATED = 255


class Phase(IntEnum):
    """Where a round stands, as the contract says (``PeerConsensus.phase``)."""

    IDLE = 0  #: no round is open: none yet, or the last one is closed or void
    COMMIT = 1  #: commitments are taken
    SEAL = 2  #: sealed ballots only: hashes of ballots are taken
    BALLOT = 3  #: ballots are taken (``ballots=sealed``: revealed)
    SELECT = 4  #: the ballots have ended, and not by the last one: anyone may call select
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
    value: int
    """Unsigned fixed point, see ``bcfl.consensus.spec.fixed_point``, whose values have 32 bits.

    A ballot can say as much as all its gaps are worth together: 39 bits.
    """

    def __post_init__(self) -> None:
        _expect_range("member", self.member, 0, MAX_MEMBERS)
        _expect_range("value", self.value, 0, MAX_MEMBERS * _MAX_GAP)


@dataclass(frozen=True, slots=True)
class Ballot:
    """Row i of M in descending order: the values and, with them, their order (claim 5).

    A ballot accounts for everyone who committed but its author: whom it does not rate it says
    to be missing or invalid. Who is in neither set was left out for no reason given.
    Of equal values the lower index stands first; the smallest value is below 2³², and so are the
    gaps between different ones, or equal to it.
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
        if self.ratings != tuple(sorted(self.ratings, key=_best_first)):
            raise ProtocolError(
                "a ballot's values stand in descending order, of equal ones the lower index first; "
                f"found {values} of {rated}"
            )
        if values:
            _expect_range("a ballot's smallest value", values[-1], 0, 2**32)
        if any(above - below > _MAX_GAP for above, below in pairwise(values)):
            raise ProtocolError(f"a ballot's values lie at most 2**32 apart; found {values}")
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
        ratings = [Rating(member, value) for member, value in values.items()]
        return cls(round, tuple(sorted(ratings, key=_best_first)), bits(missing), bits(invalid))

    @property
    def rated(self) -> int:
        """Bit field of those who have a value."""
        return bits(rating.member for rating in self.ratings)

    def encode(self) -> bytes:
        """The bytes that are signed and go on chain, the same for the same ballot.

        ``places``
            A byte a member, the highest index first: its place, which is how many have a larger
            value; 255 for who is not rated. The first byte is not 255.
        ``lowest``
            The smallest value in 4 bytes, big-endian as all here; nothing where nobody is rated.
        ``gaps``
            Of every value but the smallest, from the largest: how much more than 1 above the next
            one it is. Each has as many bytes, 1 to 4, as the largest needs.
        ``sets``
            16 bytes for the missing, 16 for the invalid; nothing where both are empty.
        ``form``
            How many bytes a gap has, plus 128 if there are sets; how many places are listed.
        """
        listed = self.rated.bit_length()
        places = bytearray([_UNRATED]) * listed
        values: dict[int, int] = {}  # and how many have a larger one
        for better, rating in enumerate(self.ratings):
            places[listed - 1 - rating.member] = values.setdefault(rating.value, better)
        gaps = [above - below - 1 for above, below in pairwise(values)]
        width = max(1, -(-max(gaps, default=0).bit_length() // 8))
        sets = self.missing << MAX_MEMBERS | self.invalid
        return b"".join(
            [
                places,
                *(value.to_bytes(4, "big") for value in [*values][-1:]),
                *(gap.to_bytes(width, "big") for gap in gaps),
                sets.to_bytes(_SETS_BYTES, "big") if sets else b"",
                bytes([width | _HAS_SETS * bool(sets), listed]),
            ]
        )

    @classmethod
    def decode(cls, round: int, entries: bytes) -> Ballot:
        """Invert :meth:`encode`; raises ProtocolError for what no ballot encodes to."""
        form, listed = entries[-2:] if len(entries) >= 2 else (0, 0)
        width = form % _HAS_SETS
        row = {m: p for m, p in enumerate(reversed(entries[:listed])) if p != _UNRATED}
        places = sorted(set(row.values()), reverse=True)
        behind = listed + (4 + width * (len(places) - 1) if places else 0)
        length = behind + _SETS_BYTES * (form >= _HAS_SETS) + 2
        if not 1 <= width <= 4 or length != len(entries):
            raise ProtocolError(
                "expected a place for each, a value for each place, sets or none, and their form; "
                f"found {len(entries)} bytes, of the form {(form, listed)}"
            )
        values, value = dict[int, int](), int.from_bytes(entries[listed : listed + 4], "big")
        for better, place in enumerate(places):
            if better:
                start = behind - width * better
                value += int.from_bytes(entries[start : start + width], "big") + 1
            values[place] = value
        sets = int.from_bytes(entries[behind:-2], "big")
        found = cls.from_values(
            round,
            {member: values[place] for member, place in row.items()},
            members_in(sets >> MAX_MEMBERS),
            members_in(sets & (2**MAX_MEMBERS - 1)),
        )
        if found.encode() != entries:
            raise ProtocolError(
                "a ballot has one encoding: at each place as many as there are from it to the "
                "next, the shortest gaps, no empty sets"
            )
        return found


def _best_first(rating: Rating) -> tuple[int, int]:
    return -rating.value, rating.member


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
