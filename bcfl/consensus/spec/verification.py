"""S3, claim 4: what a reviewer checks before it evaluates anybody's delta.

The chain's side has been looked up by transaction number; here it is held against the bytes
that came. What fails is rejected: not evaluated, scored nothing, and the reason is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bcfl.consensus.spec.codec import Heading, decode_delta, digest_of
from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import CodecError, CommitmentRejected


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
    """What this round's delta of this author must be."""

    round: int
    member: int
    author: bytes  #: address, 20 bytes
    base: bytes  #: digest of θ_g
    n: int
    k: int
    dtype: np.dtype[Any]
    opened_at: int  #: when the round was opened, seconds, chain time


def verify_delta(chain: OnChain, blob: bytes, expected: Expectation) -> Delta:
    """The delta that ``blob`` encodes, if all of claim 4 holds.

    Raises
    ------
    CommitmentRejected
        The first check that failed, with what was expected and what was found.
    """
    if chain.round != expected.round:
        raise CommitmentRejected(
            f"expected a commitment for round {expected.round}; the transaction is of {chain.round}"
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
    if (found := digest_of(blob)) != chain.digest:
        raise CommitmentRejected(
            f"expected bytes of digest {chain.digest.hex()[:16]}…, as on chain; "
            f"found {found.hex()[:16]}…"
        )
    heading = Heading(expected.author, expected.round, expected.base)
    try:
        return decode_delta(blob, expected.n, expected.k, expected.dtype, heading)
    except CodecError as error:
        raise CommitmentRejected(str(error)) from error
