"""What an auditor of a market holds: the chain's words, the blobs, and the folder's claims.

Plain values, gathered once (``gather``), so that every check is a function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bcfl.audit.findings import Culprit
from bcfl.chain.calldata import Sent
from bcfl.chain.event import Event
from bcfl.keys.accounts import Account
from bcfl.market.spec.terms import MarketAccount, Submission, Task
from bcfl.market.task_file import MarketTask
from bcfl.store.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class Views:
    """What the contract says of itself in the end."""

    tasks: Mapping[int, Task | None]
    bonds: Mapping[int, int]  #: by task, wei
    submissions: Mapping[bytes, Submission | None]
    accounts: Mapping[str, MarketAccount]
    balance: int  #: wei on the contract
    now: int  #: seconds, chain time


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is checked."""

    folder: Path
    told: MarketTask  #: ``market.json``
    market: str  #: the contract's address, checksummed
    chain_id: int
    least_bond: int  #: wei
    draw_delay: int  #: blocks
    events: tuple[Event, ...]
    sent: Mapping[str, Sent]  #: by transaction number; lacks those that the chain does not have
    gas: Mapping[str, int]  #: by transaction number
    hashes: Mapping[int, bytes]  #: of the blocks that draw, by number
    views: Views
    blobs: BlobStore
    keys: tuple[Account, ...]  #: of whoever can open something, as far as the auditor has them
    live: bool  #: whether the chain was read from a node, and not from the folder
    deployed: bool  #: whether the market was deployed in the block that ``market.json`` names


def initiator(address: str) -> Culprit:
    """Who launched the task."""
    return Culprit("initiator", address=address)


def contributor(address: str) -> Culprit:
    """Who submitted a model."""
    return Culprit("contributor", address=address)


def verifier(address: str) -> Culprit:
    """Who sat on a panel."""
    return Culprit("verifier", address=address)


def place_of(digest: bytes) -> str:
    """How a finding names a submission."""
    return f"submission {digest.hex()[:8]}"
