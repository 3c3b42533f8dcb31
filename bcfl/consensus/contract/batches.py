"""Batches: what one transaction relays of many members, packed as the contract reads it.

Signatures stand apart, as the contract's event repeats the batch without them:
``CommitmentsRelayed`` and ``BallotsRelayed`` say which entries of it count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from bcfl.consensus.spec.domain import DIGEST_BYTES

#: ``peer_ballots.MAX_BATCH`` and ``MOST_BALLOTS``: what one transaction takes.
MAX_BYTES: Final = 2**14
MOST_BALLOTS: Final = 64
_TIMESTAMP_BYTES: Final = 5
_LENGTH_BYTES: Final = 2
_COMMITMENT_BYTES: Final = 1 + _TIMESTAMP_BYTES + DIGEST_BYTES
_LAST: Final = 2 ** (8 * _TIMESTAMP_BYTES) - 1

#: r and vs of a signature, see ``typed_data.vy``; of a sealed ballot the salt, and 0.
Proof: TypeAlias = tuple[int, int]
#: Member, timestamp, digest, r, vs.
CommitmentRow: TypeAlias = tuple[int, int, bytes, int, int]
#: Member, r or salt, vs, entries.
BallotRow: TypeAlias = tuple[int, int, int, bytes]


def pack_commitments(rows: Iterable[CommitmentRow]) -> tuple[bytes, list[Proof]]:
    """A batch and its signatures.

    A timestamp that 5 bytes do not hold lies, as the largest that they do, in the future.
    """
    batch, proofs = [], []
    for member, timestamp, digest, *proof in rows:
        at = min(timestamp, _LAST).to_bytes(_TIMESTAMP_BYTES, "big")
        batch.append(bytes([member]) + at + digest)
        proofs.append((proof[0], proof[1]))
    return b"".join(batch), proofs


def commitments_in(batch: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Member, timestamp and digest of each; raises ValueError for what is no batch."""
    if len(batch) % _COMMITMENT_BYTES:
        raise ValueError(f"{len(batch)} bytes are no whole number of commitments")
    for at in range(0, len(batch), _COMMITMENT_BYTES):
        of_digest = at + 1 + _TIMESTAMP_BYTES
        timestamp = int.from_bytes(batch[at + 1 : of_digest], "big")
        yield batch[at], timestamp, batch[of_digest : of_digest + DIGEST_BYTES]


def pack_ballots(rows: Iterable[BallotRow]) -> tuple[bytes, list[Proof]]:
    """A batch and its proofs."""
    batch, proofs = [], []
    for member, word, vs, entries in rows:
        batch.append(bytes([member]) + len(entries).to_bytes(_LENGTH_BYTES, "big") + entries)
        proofs.append((word, vs))
    return b"".join(batch), proofs


def ballots_in(batch: bytes) -> Iterator[tuple[int, bytes]]:
    """Member and entries of each; raises ValueError for what is no batch."""
    at = 0
    while at < len(batch):
        begin = at + 1 + _LENGTH_BYTES
        member, at = batch[at], begin + int.from_bytes(batch[at + 1 : begin], "big")
        if max(begin, at) > len(batch):
            raise ValueError(f"the last of {len(batch)} bytes are no whole ballot")
        yield member, batch[begin:at]


def fit(ballots: Sequence[bytes]) -> bool:
    """Whether one transaction takes all these entries."""
    size = sum(1 + _LENGTH_BYTES + len(entries) for entries in ballots)
    return size <= MAX_BYTES and len(ballots) <= MOST_BALLOTS


def transactions_of(rows: Sequence[BallotRow]) -> Iterator[Sequence[BallotRow]]:
    """These ballots in batches that fit."""
    begin = 0
    for end in range(1, len(rows)):
        if not fit([entries for *_, entries in rows[begin : end + 1]]):
            yield rows[begin:end]
            begin = end
    yield rows[begin:]
