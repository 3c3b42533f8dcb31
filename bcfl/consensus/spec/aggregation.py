"""S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O}), bit for bit the same for everyone.

PROTOCOL, System A, S4 and *Rules*; claim 5. Sums run in float64, over the winners in the order of
their member indices, one rounding per addition and no other reduction: any IEEE 754 machine gets
the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta, expect_length
from bcfl.core.errors import ConfigurationError, ModelError, NobodyLeft

Combine: TypeAlias = Literal["carriers_mean", "damped_mean", "mean", "sum", "pair"]


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
    with np.errstate(over="ignore", invalid="ignore"):
        step = _combined(base, sets[0], combine)
        for each in sets[1:]:
            step += _combined(base, each, combine)
        step /= len(sets)
        step *= learning_rate
        step += base  # in place: of a large model there are few copies at a time
        result: NDArray[Any] = step.astype(base.dtype)
    return result


def _combined(
    base: NDArray[Any], deltas: Mapping[int, Delta], combine: Combine
) -> NDArray[np.float64]:
    if combine not in get_args(Combine):
        raise ConfigurationError(f"combine is one of {get_args(Combine)}; found {combine!r}")
    total = np.zeros(len(base), np.float64)
    carriers = np.zeros(len(base), np.int32)
    for member in sorted(deltas):
        delta = deltas[member]
        expect_length(delta, base)
        total[delta.where] += delta.values
        carriers[delta.where] += 1
    if combine == "carriers_mean":
        total /= np.maximum(carriers, 1, out=carriers)
    elif combine == "damped_mean":
        average = -(-sum(delta.k for delta in deltas.values()) // len(base))
        total /= np.maximum(carriers, average, out=carriers)
    elif combine == "pair":
        total /= np.maximum(carriers, 2, out=carriers)
    elif combine == "mean":
        total /= len(deltas)
    return total
