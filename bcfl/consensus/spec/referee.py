"""``rule=referee``: members propose sets by a reference set that all hold, and report its loss.

PROTOCOL, System A, *Rules* **[beyond]**. A proposal's value is the median of what everybody
reports of it, its proposer included. Honest reviewers compute the same number, so that no liars
short of half can move it. The reference of ``contracts/referee.vy``: integers only, but for what
a member proposes.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Mapping, Set
from typing import Final

import numpy as np

from bcfl.consensus.spec.candidates import Candidates, Decision, Losses, eligible, ordered
from bcfl.consensus.spec.domain import Ballot
from bcfl.core.errors import NobodyLeft

#: Growing a set of so many takes 136 evaluations; of more, a member takes the best prefix.
MOST_GROWN: Final = 16


def propose(candidates: Candidates, losses: Losses, least: int) -> frozenset[int]:
    """The set that a member proposes.

    Add the delta that helps the whole most, until all are in; the best set on that path. Above
    16 deltas: the best prefix of those that are missed most first, by the loss of all but one
    **[beyond]**. PROTOCOL orders by single deltas, whose losses say little of what they do among
    fifty.

    Parameters
    ----------
    losses : callable
        Over the reference set.
    least : int
        The fewest that a proposal may hold: 1, or ``candidates.half``.

    Raises
    ------
    NobodyLeft
        There are fewer deltas than ``least``.
    """
    if len(candidates.deltas) > MOST_GROWN:
        return candidates.best_prefix(_most_missed_first(candidates, losses), losses, least)
    left, grown = sorted(candidates.deltas), list[int]()
    path: list[float] = []
    while left:
        found = ordered(losses(candidates.step([*grown, each]) for each in left))
        at = int(np.argmin(found))
        grown.append(left.pop(at))
        path.append(found[at])
    if len(path) < max(least, 1):
        raise NobodyLeft(f"expected at least {max(least, 1)} deltas to propose; found {len(path)}")
    best = min(range(max(least, 1) - 1, len(path)), key=path.__getitem__)
    return frozenset(grown[: best + 1])


def draw(digests: Mapping[int, bytes]) -> int:
    """64 bits that nobody knew before all had committed, for samples of a round's own **[beyond]**.

    Of SHA-256 of the round's committed digests, by member. Who commits last can choose between as
    many numbers as it makes updates.
    """
    found = hashlib.sha256(b"".join(digest for _, digest in sorted(digests.items())))
    return int.from_bytes(found.digest()[:8], "big")


def _most_missed_first(candidates: Candidates, losses: Losses) -> list[int]:
    """All members, by the loss of everybody's step without theirs, the largest first.

    Where there is no loss of any of these steps, by the single deltas' losses.
    """
    members = sorted(candidates.deltas)
    without = ordered(losses(candidates.step(m for m in members if m != j) for j in members))
    if all(map(math.isinf, without)):
        return candidates.in_order(losses)
    return [members[at] for at in np.argsort(np.negative(without), kind="stable")]


def medians(ballots: Mapping[int, Ballot], proposers: Set[int]) -> dict[int, int]:
    """By proposer: the largest value that more than half of the ballots reach.

    Of an even number of reports that is the lower of the two in the middle: half of the ballots
    raise nothing. Whoever does not rate a proposal reports 0 of it.
    """
    reports = [{rating.member: rating.value for rating in b.ratings} for b in ballots.values()]
    return {
        member: statistics.median_low([report.get(member, 0) for report in reports] or [0])
        for member in proposers
    }


def decide(proposals: Mapping[int, int], ballots: Mapping[int, Ballot], *, barred: int) -> Decision:
    """The one proposal whose median is highest; of equal ones, the lower proposer's.

    A median of 0, the worst there is, wins nothing.

    Parameters
    ----------
    proposals : mapping of member index to int
        By proposer: the set, a bit field.
    ballots : mapping of member index to Ballot
        All that count, by author.
    barred : int
        Bit field, see ``candidates.eligible``.
    """
    scores = medians(ballots, proposals.keys())
    possible = [member for member in sorted(eligible(proposals, barred)) if scores[member]]
    return Decision((max(possible, key=scores.__getitem__),) if possible else (), scores)
