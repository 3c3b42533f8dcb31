"""S4, selection: the winners U^O, by their points.

PROTOCOL, System A, S4; claim 5, US claim 7. The reference of ``contracts/selection.vy``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Set

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
    candidates: Collection[int],
    seen: Set[int],
    kappa_ppm: int,
    seed: bytes,
) -> tuple[int, ...]:
    """The ⌈κ·c⌉ best of those who were seen: by points, descending; equal ones by lot.

    **[reading]** The source says nothing of equal totals. The lot is SHA-256 of the seed and of
    the member's index (32 bytes, big-endian), the smaller first. The seed is the hash of a block
    that did not exist when commitments were made. The alternative, the smaller digest, can be
    searched for: its author may change the delta a little until it wins ties.

    Parameters
    ----------
    totals : mapping of member index to int
        Points; whoever is missing has none.
    candidates : collection of int
        Who committed. Leave equivocators out: who is not in here cannot win. c is how many they
        are.
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
    count = winner_count(kappa_ppm, len(candidates))
    return tuple(sorted(best_first(totals, seen & set(candidates), seed)[:count]))


def best_first(totals: Mapping[int, int], members: Iterable[int], seed: bytes) -> list[int]:
    """The members in their order; parameters as of :func:`select_winners`."""
    return sorted(members, key=lambda j: (-totals.get(j, 0), lot(seed, j)))


def lot(seed: bytes, member: int) -> bytes:
    """What decides between equals, the smaller first."""
    return hashlib.sha256(seed + member.to_bytes(32, "big")).digest()
