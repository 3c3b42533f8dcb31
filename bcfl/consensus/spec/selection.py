"""S4, selection: the winners U^O, by their points.

PROTOCOL, System A, S4; claim 5, US claim 7. The reference of ``contracts/selection.vy``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set

from bcfl.core.errors import ProtocolError

_PARTS_PER_MILLION = 1_000_000


def winner_count(kappa_ppm: int, committed: int) -> int:
    """⌈κ·c⌉, at least 1, and never all of them when c > 1.

    Parameters
    ----------
    kappa_ppm : int
        κ in parts per million, in [1, 999,999].
    committed : int
        c, how many committed and were not caught cheating; at least 1.

    Raises
    ------
    ProtocolError
        One of them is out of range.
    """
    if not 0 < kappa_ppm < _PARTS_PER_MILLION:
        raise ProtocolError(f"expected kappa_ppm in [1, 999999]; found {kappa_ppm}")
    if committed < 1:
        raise ProtocolError(f"expected at least 1 member to choose from; found {committed}")
    share = -(-kappa_ppm * committed // _PARTS_PER_MILLION)
    return share if share < committed else max(committed - 1, 1)


def takes_part(candidates: int, ballots: int, committed: int, quorum: int) -> bool:
    """Whether so many are enough for a round to count.

    Parameters
    ----------
    candidates : int
        How many committed and were not caught cheating.
    ballots : int
        How many ballots count.
    committed : int
        How many committed.
    quorum : int
        The rules'.
    """
    return min(candidates, ballots) >= quorum and 2 * ballots > committed


def select_winners(
    totals: Mapping[int, int],
    digests: Mapping[int, bytes],
    seen: Set[int],
    kappa_ppm: int,
    seed: bytes,
) -> tuple[int, ...]:
    """The ⌈κ·c⌉ best of those who were seen: by points, descending; equal ones by lot.

    **[reading]** The source says nothing of equal totals. The lot is SHA-256 of the seed and
    the digest, the smaller first: the digest alone could be searched for, as its author may
    change the delta a little until it wins ties, but the seed is the hash of a block that did
    not exist when commitments were made. Two members with equal points who committed to the
    same bytes: the lower index first.

    Parameters
    ----------
    totals : mapping of member index to int
        Points; whoever is missing has none.
    digests : mapping of member index to bytes
        What each candidate committed to, 32 bytes. Leave equivocators out: who is not in here
        cannot win. c is how many they are.
    seen : set of int
        Whom more than half of the others' ballots rate: see ``seen_by_most``. Where they are
        fewer than ⌈κ·c⌉, fewer win, and where there are none, nobody: the round is void.
    kappa_ppm : int
        κ in parts per million.
    seed : bytes
        32 bytes, as the contract's event says.

    Returns
    -------
    tuple of int
        Member indices, ascending.
    """
    count = winner_count(kappa_ppm, len(digests))
    candidates = {j: digest for j, digest in digests.items() if j in seen}
    return tuple(sorted(best_first(totals, candidates, seed)[:count]))


def best_first(totals: Mapping[int, int], digests: Mapping[int, bytes], seed: bytes) -> list[int]:
    """Those in ``digests`` in their order; parameters as of :func:`select_winners`."""
    lots = {j: hashlib.sha256(seed + digest).digest() for j, digest in digests.items()}
    return sorted(lots, key=lambda j: (-totals.get(j, 0), lots[j], j))
