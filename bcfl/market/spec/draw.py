"""The lot that decides who verifies a submission.

A partial Fisher-Yates shuffle of the verifiers' pool by a seed that nobody knew when the pool
was fixed: the reference of ``contracts/market_panel.vy``. PROTOCOL, System B: "VCs are drawn".

What a block producer can still bend: it can try as many candidates of the anchor block as it
can hash, or withhold it. What nobody can bend: the order of the pool once the draw is armed,
and who stands in it, except by taking oneself out (``contracts/market_verifiers.vy``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

#: How many places one draw looks at. Of a pool with no more places, it looks at all.
PICKS = 64
#: How many blocks back a contract sees the hash that draws: then the draw has lapsed.
HORIZON = 256


def draw_seed(block_hash: bytes, submission: bytes) -> bytes:
    """SHA-256 of the anchor block's hash and the submission's digest: one lot each."""
    return hashlib.sha256(block_hash + submission).digest()


def picks(seed: bytes, length: int) -> Iterator[int]:
    """The places 0 … ``length`` - 1 in random order, each once; at most ``PICKS`` of them.

    The remainder favours lower places by less than one part in 2**192.
    """
    shuffled: dict[int, int] = {}
    for step in range(min(length, PICKS)):
        random = int.from_bytes(hashlib.sha256(seed + step.to_bytes(32, "big")).digest(), "big")
        other = step + random % (length - step)
        yield shuffled.get(other, other)
        shuffled[other] = shuffled.get(step, step)


def draw(seed: bytes, row: Sequence[str | None], vacant: int) -> list[str]:
    """The verifiers for the vacant seats, lowest seat first.

    Parameters
    ----------
    seed : bytes
        See ``draw_seed``.
    row : sequence of str or None
        The pool's places when the draw was armed. None: a place whose verifier has left, or is
        the contributor, the initiator, or on the panel.
    vacant : int
        How many seats are to be filled.

    Returns
    -------
    list of str
        Distinct; fewer than ``vacant`` if there are too few.
    """
    drawn: list[str] = []
    for place in picks(seed, len(row)):
        if len(drawn) == vacant:
            break
        if (verifier := row[place]) is not None:
            drawn.append(verifier)
    return drawn
