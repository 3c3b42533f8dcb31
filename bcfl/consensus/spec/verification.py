"""S3, claim 4: what a reviewer checks before it evaluates anybody's update.

The chain's side has been looked up by transaction number; here it is held against the bytes
that came. What fails is rejected: not evaluated, scored nothing, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bcfl.consensus.spec.codec import Heading
from bcfl.core.errors import CodecError, CommitmentRejected

_U = TypeVar("_U")


@dataclass(frozen=True, slots=True)
class OnChain:
    """A commitment as the chain shows it in the transaction that was named."""

    round: int
    member: int
    digest: bytes
    signed_at: int  #: the signed timestamp, seconds, chain time
    mined_at: int  #: timestamp of its block


@dataclass(frozen=True, slots=True)
class Expectation:
    """Whose update it must be, and of which round."""

    member: int
    heading: Heading
    opened_at: int  #: when the round was opened, seconds, chain time


def verify_update(
    chain: OnChain,
    blob: bytes,
    found: bytes,
    expected: Expectation,
    decode: Callable[[bytes, Heading], _U],
) -> _U:
    """The update that ``blob`` encodes, if all of claim 4 holds.

    Parameters
    ----------
    chain : OnChain
    blob, found : bytes
        What came, and its digest: a large one is hashed once, by whoever got hold of it.
    expected : Expectation
    decode : callable
        The task's.

    Raises
    ------
    CommitmentRejected
        The first check that failed, with what was expected and what was found.
    """
    if chain.round != (round_ := expected.heading.round):
        raise CommitmentRejected(
            f"expected a commitment for round {round_}; the transaction is of {chain.round}"
        )
    if chain.member != expected.member:
        raise CommitmentRejected(
            f"expected member {expected.member}'s commitment; found member {chain.member}'s"
        )
    if not expected.opened_at <= chain.signed_at <= chain.mined_at:
        raise CommitmentRejected(
            f"expected a timestamp in [{expected.opened_at}, {chain.mined_at}]; "
            f"found {chain.signed_at}"
        )
    if found != chain.digest:
        raise CommitmentRejected(
            f"expected bytes of digest {chain.digest.hex()[:16]}…, as on chain; "
            f"found {found.hex()[:16]}…"
        )
    try:
        return decode(blob, expected.heading)
    except CodecError as error:
        raise CommitmentRejected(str(error)) from error
