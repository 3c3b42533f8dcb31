"""S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O}), bit for bit the same for everyone.

PROTOCOL, System A, S4; claim 5. Sums run in float64, over the winners in the order of their
member indices, one rounding per addition and no other reduction: any IEEE 754 machine gets
the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta, expect_length
from bcfl.core.errors import ConfigurationError, ModelError, NobodyLeft

Combine: TypeAlias = Literal["carriers_mean", "mean", "sum"]


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
        ``combine`` is none of the three.
    """
    if combine not in get_args(Combine):
        raise ConfigurationError(f"combine is one of {get_args(Combine)}; found {combine!r}")
    if not winners:
        raise NobodyLeft("expected at least one winner to aggregate; found none")
    total = np.zeros(len(base), np.float64)
    carriers = np.zeros(len(base), np.int32)
    with np.errstate(over="ignore"):
        for member in sorted(winners):
            delta = winners[member]
            expect_length(delta, base)
            total[delta.indices] += delta.values.astype(np.float64)
            carriers[delta.indices] += 1
        if combine == "carriers_mean":
            total /= np.maximum(carriers, 1, out=carriers)
        elif combine == "mean":
            total /= len(winners)
        total *= learning_rate
        total += base  # in place: of a large model there are few copies at a time
        result: NDArray[Any] = total.astype(base.dtype)
    if not np.isfinite(result).all():
        raise ModelError("the aggregated parameters are not finite; lower server_learning_rate")
    return result
