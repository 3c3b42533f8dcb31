"""What system A needs of a chain: one task's contract, to write to and to read.

The pure protocol on one side, Ethereum on the other (``bcfl.consensus.contract.ledger``).
Every method that writes returns once its transaction is mined; every method raises
``LedgerError`` and nothing else of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bcfl.consensus.spec.domain import (
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
    TypedDataDomain,
)

__all__ = [
    "BallotCast",
    "Closed",
    "Committed",
    "Equivocated",
    "Event",
    "Ledger",
    "MemberJoined",
    "MemberLeft",
    "Opened",
    "Sealed",
    "Selected",
    "Transaction",
    "Voided",
]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A mined transaction: its number (the hash), where it stands, and what it cost."""

    hash: str  #: 0x…, the *transaction number* of S3
    block: int
    gas: int


@dataclass(frozen=True, slots=True)
class Event:
    """What every event carries: the transaction it came from and its place in the block."""

    transaction: str
    block: int
    log_index: int
    timestamp: int  #: of the block, seconds


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
class Opened(Event):
    """A round has begun for the model ``base``."""

    round: int
    base: bytes
    expected: int
    commit_deadline: int
    seal_deadline: int
    ballot_deadline: int


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """A member has committed to its delta."""

    round: int
    member: int
    digest: bytes
    signed_at: int  #: the timestamp that the member signed


@dataclass(frozen=True, slots=True)
class Sealed(Event):
    """A member has promised a ballot."""

    round: int
    member: int
    seal: bytes


@dataclass(frozen=True, slots=True)
class BallotCast(Event):
    """A member has rated the others."""

    round: int
    member: int
    entries: bytes  #: ``Ballot.encode``


@dataclass(frozen=True, slots=True)
class Selected(Event):
    """The contract has chosen."""

    round: int
    winners: int  #: bit field
    scores: tuple[int, ...]  #: doubled Borda totals by member index


@dataclass(frozen=True, slots=True)
class Voided(Event):
    """Too few took part: the round counts for nothing."""

    round: int
    committed: int  #: bit field
    voted: int  #: bit field


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The coordinator has named the next global model."""

    round: int
    model: bytes


@dataclass(frozen=True, slots=True)
class Equivocated(Event):
    """Two deltas that one member signed for one round: proof of cheating, kept for good."""

    round: int
    member: int
    digest: bytes
    other_digest: bytes


class Ledger(Protocol):
    """One task's contract. See ``contracts/PeerConsensus.vy`` for who may call what, when."""

    @property
    def domain(self) -> TypedDataDomain:
        """Chain id and contract: what every signature is bound to."""

    @property
    def coordinator(self) -> str:
        """The account that deployed the contract, and alone opens and closes rounds."""

    @property
    def rules(self) -> bytes:
        """``Rules.digest`` of the rules that the task was deployed with."""

    def now(self) -> int:
        """The newest block's timestamp in seconds: the one clock that everybody shares."""

    def wait_until(self, timestamp: int) -> None:
        """Return once the next block will be later than ``timestamp`` (seconds, chain time)."""

    def members(self) -> tuple[str, ...]:
        """Every address ever registered, by member index; see ``active`` for who left."""

    def active(self) -> int:
        """Bit field of the members that are registered now."""

    def state(self) -> RoundState:
        """The current round, in one call."""

    def add_member(self, address: str) -> Transaction: ...

    def remove_member(self, member: int) -> Transaction: ...

    def open_round(self, base: bytes, expected: int) -> Transaction: ...

    def commit(self, commitments: Sequence[SignedCommitment]) -> Transaction:
        """Relay: one transaction for all; the contract checks each signature."""

    def commit_direct(self, commitment: SignedCommitment) -> Transaction:
        """Send it from this ledger's own account, which pays; the sender is the signature."""

    def seal(self, seals: Sequence[SignedSeal]) -> Transaction: ...

    def seal_direct(self, seal: SignedSeal) -> Transaction: ...

    def cast_ballots(self, ballots: Sequence[SignedBallot]) -> Transaction: ...

    def cast_ballot_direct(self, ballot: SignedBallot) -> Transaction: ...

    def select(self) -> Transaction:
        """Let the contract choose the winners, or void the round. Anyone may call it."""

    def close_round(self, round: int, model: bytes) -> Transaction: ...

    def prove_equivocation(self, one: SignedCommitment, other: SignedCommitment) -> Transaction: ...

    def events(self, from_block: int = 0) -> Sequence[Event]:
        """Every event of this contract, in the chain's order."""

    def receipt(self, transaction: str) -> Transaction:
        """A mined transaction by its number. Raises TransactionUnknown as ``events_of``."""

    def events_of(self, transaction: str) -> Sequence[Event]:
        """The events of this contract in one transaction, looked up by its number.

        Raises
        ------
        TransactionUnknown
            The chain has no such transaction, or it reverted.
        """
