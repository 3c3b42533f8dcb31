"""What an auditor holds: the chain's words, what members signed, and the folder's claims.

Plain values, gathered once (``gather``), so that every check is a function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import Call
from bcfl.consensus.spec.domain import (
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    TypedDataDomain,
)
from bcfl.consensus.spec.rules import Rule, Rules, Settlement
from bcfl.store.blob_store import BlobStore

#: What a member signs in a round.
Signed: TypeAlias = SignedCommitment | SignedProposal | SignedSeal | SignedBallot


@dataclass(frozen=True, slots=True)
class Task:
    """``task.json``: what the folder says was agreed."""

    chain_id: int
    contract: str
    coordinator: str
    genesis: str  #: hex digest of the first model
    rules: Rules | None  #: None where the file holds no rules that could ever be
    deployed_at: int = 0  #: the contract's block; 0 where the file does not say


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract was deployed with: its immutables."""

    domain: TypedDataDomain
    coordinator: str
    rules: bytes  #: ``Rules.digest``
    kappa_ppm: int
    quorum: int
    commit_window_s: int
    ballot_window_s: int
    sealed: bool
    stake: int  #: wei
    rule: Rule = "borda"  #: whose contract it is
    settlement: Settlement = "full"

    @property
    def proposes(self) -> bool:
        """Whether members propose sets, and rate these."""
        return self.rule != "borda"


@dataclass(frozen=True, slots=True)
class Journaled:
    """A line of ``journal.jsonl``: something that a member signed and the server wrote down."""

    line: int  #: from 1; lines are in the order in which things reached the server
    signed: Signed

    @property
    def round(self) -> int:
        """The contract's round."""
        return round_of(self.signed)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The coordinator's signed word that it had what a member signed.

    ``receipt_message``, ``ballot_receipt_message``.
    """

    round: int
    member: int
    digest: bytes  #: of the delta; of a ballot: the SHA-256 of what its member signed
    signature: bytes
    source: str  #: the file it was shown in
    ballot: bool = False  #: for a ballot, or its seal, and not for a commitment


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is checked."""

    folder: Path
    task: Task
    terms: Terms
    events: tuple[Event, ...]
    calls: Mapping[str, Call]  #: by transaction number; lacks those that the chain does not have
    gas: Mapping[str, int]  #: by transaction number
    members: tuple[str, ...]  #: as the contract says now
    active: int
    state: RoundState  #: its phase left out
    blobs: BlobStore
    journal: tuple[Journaled, ...]
    journal_found: bool  #: whether there is a journal at all
    live: bool  #: whether the chain was read from a node, and not from the folder
    receipts: tuple[Receipt, ...] = ()
    shown: tuple[Signed, ...] = ()  #: what somebody presents that members have signed
    hashes: Mapping[int, bytes] = field(default_factory=dict)  #: of blocks, for ties, by number


def round_of(signed: Signed) -> int:
    """The contract's round that somebody signed something for."""
    match signed:
        case SignedCommitment():
            return signed.commitment.round
        case SignedProposal():
            return signed.proposal.round
        case SignedSeal():
            return signed.round
        case SignedBallot():
            return signed.ballot.round
