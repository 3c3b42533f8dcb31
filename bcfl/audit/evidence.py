"""What an auditor holds: the chain's words, what members signed, and the folder's claims.

Plain values, gathered once (``gather``), so that every check is a function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import Call
from bcfl.consensus.spec.domain import (
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
    TypedDataDomain,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.store.blob_store import BlobStore

__all__ = ["Evidence", "Journaled", "Receipt", "Task", "Terms"]


@dataclass(frozen=True, slots=True)
class Task:
    """``task.json``: what the folder says was agreed."""

    chain_id: int
    contract: str
    coordinator: str
    genesis: str  #: hex digest of the first model
    rules: Rules | None  #: None where the file holds no rules that could ever be


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


@dataclass(frozen=True, slots=True)
class Journaled:
    """A line of ``journal.jsonl``: something that a member signed and the server wrote down."""

    line: int  #: from 1; lines are in the order in which things reached the server
    signed: SignedCommitment | SignedSeal | SignedBallot

    @property
    def round(self) -> int:
        """The contract's round."""
        match self.signed:
            case SignedCommitment():
                return self.signed.commitment.round
            case SignedSeal():
                return self.signed.round
            case SignedBallot():
                return self.signed.ballot.round


@dataclass(frozen=True, slots=True)
class Receipt:
    """The coordinator's signed word that it had a member's commitment (``receipt_message``)."""

    round: int
    member: int
    digest: bytes
    signature: bytes
    source: str  #: the file it was shown in


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
    shown: tuple[SignedCommitment, ...] = ()  #: commitments that somebody presents
