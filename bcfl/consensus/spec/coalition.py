"""``rule=coalition``: members propose sets by their own data, and rate each other's.

PROTOCOL, System A, *Rules* **[beyond]**. Whoever proposes orders the deltas by its own loss, and
takes the prefix, of at least half, that it likes best. Everyone rates the others' proposals; the
Borda count, weighted by standing, decides; the step is the mean over the better half. The
reference of ``contracts/coalition.vy``: integers only, but for what a member proposes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from typing import Final

from bcfl.consensus.spec.candidates import Candidates, Decision, Losses, eligible
from bcfl.consensus.spec.domain import Ballot
from bcfl.consensus.spec.scoring import Borda, seen_by_most
from bcfl.consensus.spec.selection import best_first, winner_count

#: Full standing: 1, in fixed point. Everybody begins with it.
FULL: Final = 2**15


def propose(candidates: Candidates, losses: Losses, least: int) -> frozenset[int]:
    """The set that a member proposes.

    Parameters
    ----------
    losses : callable
        The member's own: over all its data, each class that it holds weighing the same.
    least : int
        ⌈c/2⌉, see ``candidates.half``.

    Raises
    ------
    NobodyLeft
        There are fewer deltas than ``least``.
    """
    return candidates.best_prefix(candidates.in_order(losses), losses, least)


def points(ballot: Ballot, others: Set[int], size: int) -> dict[int, int]:
    """The Borda count's, doubled, the last place being worth nothing.

    Parameters
    ----------
    others : set of int
        Who proposed, without the ballot's author.
    size : int
        m, the number of active members when the round was opened.
    """
    last = 2 * (size - len(others))
    return {member: worth - last for member, worth in Borda().points(ballot, others, size).items()}


def tally(
    ballots: Mapping[int, Ballot], proposers: Set[int], standings: Mapping[int, int], size: int
) -> dict[int, int]:
    """Σ_i r_i · (the points of i's ballot), by proposer; below 2³¹.

    Parameters
    ----------
    ballots : mapping of member index to Ballot
        All that count, by author.
    standings : mapping of member index to int
        r_i, in [0, ``FULL``]; whoever is missing has ``FULL``.
    """
    totals = Counter(dict.fromkeys(proposers, 0))
    for author, ballot in ballots.items():
        weight = standings.get(author, FULL)
        for member, worth in points(ballot, proposers - {author}, size).items():
            totals[member] += weight * worth
    return dict(totals)


def decide(
    proposals: Mapping[int, int],
    ballots: Mapping[int, Ballot],
    standings: Mapping[int, int],
    *,
    barred: int,
    kappa_ppm: int,
    size: int,
    seed: bytes,
) -> Decision:
    """The ⌈κ·p⌉ best of the p proposals that can win, never all of several.

    As for single deltas, one can win only if more than half of the others' ballots rate it, and
    equal totals are decided by lot: SHA-256 of the seed and of the proposer's index (32 bytes,
    big-endian), the smaller first.

    Parameters
    ----------
    proposals : mapping of member index to int
        By proposer: the set, a bit field.
    ballots, standings, size
        See :func:`tally`.
    barred : int
        Bit field, see ``candidates.eligible``.
    kappa_ppm : int
        κ in parts per million.
    seed : bytes
        32 bytes that nobody knew who proposed.
    """
    scores = tally(ballots, proposals.keys(), standings, size)
    possible = eligible(proposals, barred)
    seen = possible & seen_by_most(ballots, proposals.keys())
    if not seen:
        return Decision((), scores)

    places = winner_count(kappa_ppm, len(possible))
    return Decision(tuple(sorted(best_first(scores, seen, seed)[:places])), scores)


def standings_after(
    standings: Mapping[int, int],
    proposals: Mapping[int, int],
    chosen: Set[int],
    committed: Set[int],
) -> dict[int, int]:
    """r_i ← ½ r_i + ½ (share of the winning proposals that hold i), rounded down.

    **[reading]** Whoever did not commit was not judged, and keeps its standing.

    Parameters
    ----------
    chosen : set of int
        Whose proposals won; none: nothing changes.
    """
    after = dict(standings)
    for member in committed if chosen else ():
        holding = sum(proposals[j] >> member & 1 for j in chosen)
        share = holding * FULL // len(chosen)
        after[member] = (standings.get(member, FULL) + share) // 2
    return after
