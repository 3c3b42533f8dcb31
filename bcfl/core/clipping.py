"""No delta longer than the round's median: bounds what one poisoned winner can do.

PROTOCOL, System A, S4 **[beyond]**, and "Why loss, why clipping". Everybody can recompute
it: sums are rounded once (``math.fsum``), whatever their order, so that no two machines
differ in a bit.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, TypeAlias, get_args

import numpy as np

from bcfl.core.delta import Delta
from bcfl.core.errors import ConfigurationError

__all__ = ["Clip", "clip", "norm"]

Clip: TypeAlias = Literal["median_norm", "none"]


def norm(delta: Delta) -> float:
    """The Euclidean norm of a delta, the same on every machine.

    Within two units in the last place of the exact one, and never infinite: the few float64
    norms beyond the largest double count as that.
    """
    values = delta.values.astype(np.float64)
    largest = float(np.abs(values).max())
    if largest == 0.0:
        return 0.0
    # A power of two scales without rounding and keeps the squares from overflowing. With
    # frexp's own exponent it would itself overflow, for a largest value of 2**1023 and more.
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)
    length = scale * math.sqrt(math.fsum(((values / scale) ** 2).tolist()))
    return min(length, sys.float_info.max)


def clip(deltas: Mapping[int, Delta], rule: Clip) -> dict[int, Delta]:
    """Scale every delta whose norm exceeds the median norm of ``deltas`` down to it.

    Parameters
    ----------
    deltas : mapping of member index to Delta
        All deltas of the round that decode, winners or not.
    rule : {"median_norm", "none"}
        ``"none"`` is the method as published.

    Returns
    -------
    dict of member index to Delta
        In the order of ``deltas``; those within the median are the same objects.
    """
    if rule not in get_args(Clip):
        raise ConfigurationError(f"clip is one of {get_args(Clip)}; found {rule!r}")
    if rule == "none" or not deltas:
        return dict(deltas)
    norms = {member: norm(delta) for member, delta in deltas.items()}
    # As fractions, so that the mean of two norms in the middle cannot overflow.
    median = float(statistics.median(Fraction(length) for length in norms.values()))
    return {
        member: delta.scaled(median / norms[member]) if norms[member] > median else delta
        for member, delta in deltas.items()
    }
