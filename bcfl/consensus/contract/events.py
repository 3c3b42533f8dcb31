"""What ``contracts/PeerConsensus.vy`` logs."""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.chain.event import Event

__all__ = [
    "BallotCast",
    "Closed",
    "Committed",
    "Equivocated",
    "MemberJoined",
    "MemberLeft",
    "Opened",
    "RoundEvent",
    "Sealed",
    "Selected",
    "Voided",
]


@dataclass(frozen=True, slots=True)
class RoundEvent(Event):
    """What belongs to a round."""

    round: int


@dataclass(frozen=True, slots=True)
class MemberJoined(Event):
    """An address is a member from the next round on."""

    member: int
    address: str


@dataclass(frozen=True, slots=True)
class MemberLeft(Event):
    """An address is a member no more; its index stays its own."""

    member: int
    address: str


@dataclass(frozen=True, slots=True)
class Opened(RoundEvent):
    """A round has begun for the model ``base``."""

    base: bytes
    expected: int
    commit_deadline: int
    seal_deadline: int
    ballot_deadline: int


@dataclass(frozen=True, slots=True)
class Committed(RoundEvent):
    """A member has committed to its delta."""

    member: int
    digest: bytes
    signed_at: int  #: the timestamp that the member signed


@dataclass(frozen=True, slots=True)
class Sealed(RoundEvent):
    """A member has promised a ballot."""

    member: int
    seal: bytes


@dataclass(frozen=True, slots=True)
class BallotCast(RoundEvent):
    """A member has rated the others."""

    member: int
    entries: bytes  #: ``Ballot.encode``


@dataclass(frozen=True, slots=True)
class Selected(RoundEvent):
    """The contract has chosen."""

    winners: int  #: bit field
    scores: tuple[int, ...]  #: doubled Borda totals by member index


@dataclass(frozen=True, slots=True)
class Voided(RoundEvent):
    """Too few took part: the round counts for nothing."""

    committed: int  #: bit field
    voted: int  #: bit field


@dataclass(frozen=True, slots=True)
class Closed(RoundEvent):
    """The coordinator has named the next global model."""

    model: bytes


@dataclass(frozen=True, slots=True)
class Equivocated(RoundEvent):
    """Two deltas that one member signed for one round: proof of cheating, kept for good."""

    member: int
    digest: bytes
    other_digest: bytes
