"""S4, scoring: what points one ballot gives to whom.

PROTOCOL, System A, S4; claim 5: row i of the evaluation matrix is sorted in descending order,
and the member at position p_j gets s(j; u_i) = m − p_j points. This is the reference of
``contracts/borda.vy``: the contract computes the same integers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import groupby
from typing import final

from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.core.errors import ProtocolError


class ScoringRule(ABC):
    """How a ballot becomes points. Another rule is another subclass, and a Vyper module."""

    @abstractmethod
    def points(self, ballot: Ballot, others: Set[int], size: int) -> dict[int, int]:
        """The points that ``ballot`` gives, by member index.

        Parameters
        ----------
        ballot : Ballot
            Best first, as :class:`~bcfl.consensus.spec.domain.Ballot` makes sure.
        others : set of int
            Who committed, without the ballot's author.
        size : int
            m, the number of active members when the round was opened.

        Returns
        -------
        dict of int to int
            Positive, and small enough that m − 1 ballots add up to less than 2¹⁵.

        Raises
        ------
        ProtocolError
            The ballot speaks of somebody who is none of the others; see ``expect_ballot``.
        """


@final
@dataclass(frozen=True, slots=True)
class Borda(ScoringRule):
    """The Borda count, doubled: position p (1 is best) is worth 2·(m − p).

    **[reading]** The source does not say what equal values get: here each of them gets the
    mean of their positions' points, so that a tie at the positions a..b is worth
    2m − (a + b). The alternatives: the best position for all, with which a lazy reviewer
    could hand out points for nothing, or the order of the indices, which favours whoever
    joined first.

    **[reading]** Whom the ballot does not rate, for whatever reason, shares its last places, as
    if tied there. The alternative, no points at all, makes leaving somebody off worth more
    than ranking them last.
    """

    def points(self, ballot: Ballot, others: Set[int], size: int) -> dict[int, int]:
        """See :meth:`ScoringRule.points`."""
        expect_ballot(ballot, others, size)
        points: dict[int, int] = {}
        for _, group in groupby(ballot.ratings, key=lambda rating: rating.value):
            tied = [rating.member for rating in group]
            first, last = len(points) + 1, len(points) + len(tied)
            points |= dict.fromkeys(tied, 2 * size - (first + last))
        last_places = len(points) + 1 + len(others)
        return points | dict.fromkeys(others - points.keys(), 2 * size - last_places)


def rated_by(rule: str, author: int, committed: int, proposed: int) -> frozenset[int]:
    """Whom the ballot of a member may rate.

    Under ``borda`` the others who committed; under ``coalition`` the others who proposed; under
    ``referee`` all who did, itself included.

    Parameters
    ----------
    committed, proposed : int
        Bit fields.
    """
    candidates = frozenset(members_in(committed if rule == "borda" else proposed))
    return candidates if rule == "referee" else candidates - {author}


def expect_ballot(ballot: Ballot, others: Set[int], size: int) -> None:
    """Raise ProtocolError unless the ballot speaks only of ``others``, of whom m − 1 at most."""
    count = len(ballot.ratings)
    if count >= size:
        raise ProtocolError(f"expected at most {size - 1} ratings; found {count}")
    if strangers := (ballot.rated | ballot.missing | ballot.invalid) & ~bits(others):
        raise ProtocolError(
            f"a ballot speaks of the others who committed; found {members_in(strangers)}"
        )


def abstains(ballot: Ballot, others: Set[int]) -> bool:
    """Whether its author missed more than a quarter of the others, and so does not vote."""
    return ballot.missing.bit_count() > len(others) // 4


def tally(
    rule: ScoringRule, ballots: Mapping[int, Ballot], committed: Set[int], size: int
) -> dict[int, int]:
    """S(j) = Σ_i s(j; u_i), by member index; those of whom no ballot speaks are left out.

    Parameters
    ----------
    rule : ScoringRule
    ballots : mapping of member index to Ballot
        All that count in one round, by author.
    committed : set of int
        Who committed.
    size : int
        m, the number of active members when the round was opened.
    """
    totals: Counter[int] = Counter()
    for author, ballot in ballots.items():
        totals.update(rule.points(ballot, committed - {author}, size))
    return dict(totals)


def seen_by_most(ballots: Mapping[int, Ballot], committed: Set[int]) -> frozenset[int]:
    """Whom more than half of the ballots of others rate; nobody else can win.

    Parameters
    ----------
    ballots : mapping of member index to Ballot
        All that count in one round, by author.
    committed : set of int
        Who committed.
    """
    ratings = Counter(j for ballot in ballots.values() for j in members_in(ballot.rated))
    return frozenset(j for j in committed if 2 * ratings[j] > len(ballots.keys() - {j}))
