"""A metric as the unsigned 32-bit integer that stands in a ballot; larger is better.

PROTOCOL, System A, S3 **[reading]**: the value is the validation loss, turned so that larger
is better; accuracy can be chosen.
"""

from __future__ import annotations

import math

#: Steps of 2⁻²⁰ ≈ 1e-6, over [−2048, 2048): what lies outside saturates.
FRACTION_BITS = 20
_ZERO = 2**31
_MAX = 2**32 - 1


def to_value(quality: float) -> int:
    """2³¹ + quality·2²⁰, rounded, held within [0, 2³²−1].

    Parameters
    ----------
    quality : float
        Larger is better: an accuracy, or a loss negated. NaN is the worst there is.
    """
    if math.isnan(quality):
        return 0
    scaled: float = min(max(quality * 2**FRACTION_BITS, -float(_ZERO)), float(_MAX - _ZERO))
    return _ZERO + round(scaled)
