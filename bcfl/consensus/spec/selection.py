"""S4, selection: the winners U^O, by their points.

PROTOCOL, System A, S4; claim 5, US claim 7. The reference of ``contracts/selection.vy``.
"""

from __future__ import annotations

from collections.abc import Mapping

from bcfl.core.errors import ProtocolError

__all__ = ["select_winners", "winner_count"]

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


def select_winners(
    totals: Mapping[int, int], digests: Mapping[int, bytes], kappa_ppm: int
) -> tuple[int, ...]:
    """The ⌈κ·c⌉ best members: by points, descending; among equal ones the smaller digest first.

    **[reading]** The source says nothing of equal totals. A digest cannot be chosen to win ties
    without another delta, and nobody, the server included, decides them. Two members with
    equal points who committed to the same bytes: the lower index first.

    Parameters
    ----------
    totals : mapping of member index to int
        Points; whoever is missing has none.
    digests : mapping of member index to bytes
        What each candidate committed to, 32 bytes. Leave equivocators out: who is not in here
        cannot win.
    kappa_ppm : int
        κ in parts per million.

    Returns
    -------
    tuple of int
        Member indices, ascending.
    """
    count = winner_count(kappa_ppm, len(digests))
    best_first = sorted(digests, key=lambda j: (-totals.get(j, 0), digests[j], j))
    return tuple(sorted(best_first[:count]))
