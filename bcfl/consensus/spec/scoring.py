"""S4, scoring: what points one ballot gives to whom.

PROTOCOL, System A, S4; claim 5: row i of the evaluation matrix is sorted in descending order,
and the member at position p_j gets s(j; u_i) = m − p_j points. This is the reference of
``contracts/borda.vy``: the contract computes the same integers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import final

from bcfl.consensus.spec.domain import Ballot
from bcfl.core.errors import ProtocolError

__all__ = ["Borda", "ScoringRule", "tally"]


class ScoringRule(ABC):
    """How a ballot becomes points. Another rule is another subclass, and a Vyper module."""

    @abstractmethod
    def points(self, ballot: Ballot, size: int) -> dict[int, int]:
        """The points that ``ballot`` gives, by member index; whoever it does not rate gets none.

        Parameters
        ----------
        ballot : Ballot
            Best first, as :class:`~bcfl.consensus.spec.domain.Ballot` makes sure.
        size : int
            m, the number of active members when the round was opened.

        Returns
        -------
        dict of int to int
            Positive, and small enough that m − 1 ballots add up to less than 2¹⁵.

        Raises
        ------
        ProtocolError
            The ballot rates more than the m − 1 others.
        """


@final
@dataclass(frozen=True, slots=True)
class Borda(ScoringRule):
    """The Borda count, doubled: position p (1 is best) is worth 2·(m − p).

    **[reading]** The source does not say what equal values get: here each of them gets the
    mean of their positions' points, so that a tie at the positions a..b is worth
    2m − (a + b). The alternatives: the best position for all, with which a lazy reviewer
    could hand out points for nothing, or the order of the indices, which favours whoever
    joined first. A delta that is rejected or missing is not in the ballot, and gets none.
    """

    def points(self, ballot: Ballot, size: int) -> dict[int, int]:
        """See :meth:`ScoringRule.points`."""
        if len(ballot.ratings) >= size:
            raise ProtocolError(
                f"expected at most {size - 1} ratings, one of each other member; "
                f"found {len(ballot.ratings)}"
            )
        points: dict[int, int] = {}
        for _, group in groupby(ballot.ratings, key=lambda rating: rating.value):
            tied = [rating.member for rating in group]
            first, last = len(points) + 1, len(points) + len(tied)
            points |= dict.fromkeys(tied, 2 * size - (first + last))
        return points


def tally(rule: ScoringRule, ballots: Iterable[Ballot], size: int) -> dict[int, int]:
    """S(j) = Σ_i s(j; u_i), by member index; members whom nobody rates are left out.

    Parameters
    ----------
    rule : ScoringRule
    ballots : iterable of Ballot
        All that the contract took in one round, in any order.
    size : int
        m, the number of active members when the round was opened.
    """
    totals: Counter[int] = Counter()
    for ballot in ballots:
        totals.update(rule.points(ballot, size))
    return dict(totals)
