"""Who rated whom: the ballots of a run as one array, and what stands where no rating does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.fixed_point import FRACTION_BITS
from bcfl.report.sources import Round

ABSENT, COMMITTED, WON, VOID = range(4)


@dataclass(frozen=True, slots=True)
class Ratings:
    """All ballots of a run.

    Parameters
    ----------
    values : float32, (rounds, members, members)
        Row i: what reviewer i says of each author; NaN where it says nothing.
    name : str
        What the values are: ``"loss"``, where smaller is better, or ``"rating"``.
    low, high : float
        Between them lies what most members are rated; for colours.
    """

    values: NDArray[np.float32]
    name: str
    low: float
    high: float


def read_ratings(rounds: Sequence[Round], members: int) -> Ratings:
    """Undo the ballots' fixed point; where nothing is above 0, what was rated by is a loss."""
    values = np.full((len(rounds), members, members), np.nan, np.float32)
    for matrix, round_ in zip(values, rounds, strict=True):
        for reviewer, ballot in round_.ballots.items():
            for author, value in ballot.items():
                matrix[reviewer, author] = (value - 2**31) / 2**FRACTION_BITS
    finite = values[np.isfinite(values)]
    if loss := bool(finite.size) and finite.max() <= 0:
        np.negative(values, out=values)
        finite = -finite
    low, high = np.percentile(finite, [2, 90]) if finite.size else (0.0, 1.0)
    return Ratings(values, "loss" if loss else "rating", float(low), float(max(high, low + 1e-6)))


def unrated(round_: Round) -> Iterator[tuple[int, int, str]]:
    """Reviewer, author and reason, of each delta that a reviewer rejected or did not have."""
    for reviewer, reasons in sorted(round_.rejected.items()):
        for author, reason in sorted(reasons.items()):
            yield reviewer, author, reason
    for reviewer, missing in sorted(round_.abstained.items()):
        for author in missing:
            if author not in round_.rejected.get(reviewer, {}):
                yield reviewer, author, "did not reach it"


def places(rounds: Sequence[Round], members: int) -> NDArray[np.uint8]:
    """(members, rounds): whether each member was absent, committed, or won; or nobody could."""
    found = np.full((members, len(rounds)), ABSENT, np.uint8)
    for number, round_ in enumerate(rounds):
        found[list(round_.committed), number] = VOID if round_.void else COMMITTED
        found[list(round_.winners), number] = WON
    return found
