"""What a chain says of a transaction, whichever contract it is of."""

from __future__ import annotations

from dataclasses import dataclass


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
