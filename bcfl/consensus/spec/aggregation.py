"""S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O}), bit for bit the same for everyone.

PROTOCOL, System A, S4 and *Rules*; claim 5. Sums run in float64, over the winners in the order of
their member indices, one rounding per addition and no other reduction: any IEEE 754 machine gets
the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta, expect_length
from bcfl.core.errors import ConfigurationError, ModelError, NobodyLeft

Combine: TypeAlias = Literal["carriers_mean", "damped_mean", "mean", "sum", "pair"]

_AT_ONCE = 2**15  # coordinates, which a processor's cache holds


def aggregate(
    base: NDArray[Any],
    winners: Mapping[int, Delta],
    combine: Combine = "carriers_mean",
    learning_rate: float = 1.0,
) -> NDArray[Any]:
    """The next global parameters.

    **[reading]** The source's formula did not survive. ``"carriers_mean"`` divides each
    coordinate's sum by the number of winners that carry it; ``"mean"`` by the number of
    winners, which wastes most of a sparse step; ``"sum"`` by nothing, which diverges.
    ``"damped_mean"`` **[beyond]** divides by the number of those that carry it, and by no fewer
    than carry a coordinate on average, rounded up. While deltas are nearly whole, what a winner
    does not send is close to zero, and not unknown: there it is FedAvg's mean, and of sparse deltas
    of a few winners it is ``"carriers_mean"``. ``"pair"`` **[beyond]** divides by the number of
    those that carry it, and by 2 at least: a value that one winner alone carries counts half.

    Parameters
    ----------
    base : ndarray, shape (n,)
        θ_g.
    winners : mapping of member index to Delta
        The clipped deltas of U^O.
    learning_rate : float
        η, the server's.

    Raises
    ------
    NobodyLeft
        There are no winners.
    ModelError
        The result is not finite, or a delta is one of another number of parameters.
    ConfigurationError
        ``combine`` is none of the five.
    """
    return aggregate_sets(base, [winners], combine, learning_rate)


def aggregate_sets(
    base: NDArray[Any],
    sets: Sequence[Mapping[int, Delta]],
    combine: Combine,
    learning_rate: float = 1.0,
) -> NDArray[Any]:
    """θ_g + η·(the mean, over ``sets``, of what combine makes of each).

    Several sets are several winning proposals of ``rule=coalition``, in the order of their
    proposers. Everything else is as :func:`aggregate` has it; a set without winners is none.
    """
    if not sets or not all(sets):
        raise NobodyLeft("expected at least one winner to aggregate; found none")
    result = moved(base, sets, combine, learning_rate)
    if not np.isfinite(result).all():
        raise ModelError("the aggregated parameters are not finite; lower server_learning_rate")
    return result


def moved(
    base: NDArray[Any],
    sets: Sequence[Mapping[int, Delta]],
    combine: Combine,
    learning_rate: float,
) -> NDArray[Any]:
    """As :func:`aggregate_sets`, for whoever rates the result: infinite where it is too large."""
    if combine not in get_args(Combine):
        raise ConfigurationError(f"combine is one of {get_args(Combine)}; found {combine!r}")
    for delta in chain.from_iterable(deltas.values() for deltas in sets):
        expect_length(delta, base)
    least = [_least(combine, deltas, len(base)) for deltas in sets]
    result = np.empty_like(base)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(base), _AT_ONCE):
            some = slice(start, min(start + _AT_ONCE, len(base)))
            step = np.zeros(some.stop - start, np.float64)
            for deltas, divisor in zip(sets, least, strict=True):
                step += _combined(deltas, some, combine, divisor)
            step /= len(sets)
            step *= learning_rate
            result[some] = base[some] + step
    return result


def _least(combine: Combine, deltas: Mapping[int, Delta], n: int) -> int:
    """What a coordinate's sum is divided by, where no more than that carry it."""
    carried = sum(delta.k for delta in deltas.values())
    return {"damped_mean": -(-carried // n), "pair": 2}.get(combine, 1)


def _combined(
    deltas: Mapping[int, Delta], some: slice, combine: Combine, least: int
) -> NDArray[np.float64]:
    """Of these coordinates."""
    total = np.zeros(some.stop - some.start, np.float64)
    carriers = np.zeros(len(total), np.int32)
    for member in sorted(deltas):
        delta = deltas[member].between(some.start, some.stop)
        total[delta.where] += delta.values
        carriers[delta.where] += 1
    if combine == "mean":
        total /= len(deltas)
    elif combine != "sum":
        total /= np.maximum(carriers, least, out=carriers)
    return total
