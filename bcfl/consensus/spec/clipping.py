"""No delta longer than the round's median: bounds what one poisoned winner can do.

PROTOCOL, System A, S4 **[beyond]**, and "Why loss, why clipping". Everybody can recompute
it: sums are rounded once, as ``math.fsum`` does, whatever their order, so that no two machines
differ in a bit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.delta import Delta
from bcfl.core.errors import ConfigurationError

Clip: TypeAlias = Literal["median_norm", "none"]

_PART = 2**14  # values


def norm(delta: Delta) -> float:
    """The Euclidean norm of a delta, the same on every machine.

    Within two units in the last place of the exact one; infinite where that is beyond the
    largest double.
    """
    return math.prod(_measured(delta.values))


def clip(deltas: Mapping[int, Delta], rule: Clip) -> dict[int, Delta]:
    """Scale every delta whose norm exceeds the median norm of ``deltas`` down to it.

    Of an even number it is the lower of the two in the middle: halfway between them, whoever has
    half of the round could set it.

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

    Raises
    ------
    ConfigurationError
        ``rule`` is neither.
    """
    if rule not in get_args(Clip):
        raise ConfigurationError(f"clip is one of {get_args(Clip)}; found {rule!r}")
    if rule == "none" or not deltas:
        return dict(deltas)
    found = {member: _measured(delta.values) for member, delta in deltas.items()}
    median = statistics.median_low(map(math.prod, found.values()))
    return {
        member: _shortened(delta, median, *found[member])
        if math.prod(found[member]) > median
        else delta
        for member, delta in deltas.items()
    }


def _shortened(delta: Delta, length: float, unit: float, found: float) -> Delta:
    """``delta``, ``found`` units long, scaled to ``length``; each value is rounded once."""
    factor = length / found  # not length / norm, which is 0 or inexact where the norm is huge
    shortened = np.empty_like(delta.values)
    for at, some in _in_units(delta.values, unit):
        shortened[at] = some * factor
    return Delta(delta.n, delta.where, shortened)


def _measured(values: NDArray[Any]) -> tuple[float, float]:
    """A unit, and the Euclidean norm in it."""
    unit = _unit(values)

    def squares() -> Iterator[NDArray[np.float64]]:
        for _, some in _in_units(values, unit):
            yield np.multiply(some, some, out=some)

    return unit, math.sqrt(sum_rounded_once(squares))


def _unit(values: NDArray[Any]) -> float:
    """The power of two in units of which all values lie within (−2, 2); 1 where all are 0.

    The division by it is exact, and no square of its results can overflow.
    """
    largest = max(float(values.max()), -float(values.min()))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def _in_units(values: NDArray[Any], unit: float) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The values in units, a part at a time that a processor's cache holds; and where it is."""
    per_unit = 1 / unit  # exact; of the least units beyond all floats
    for start in range(0, len(values), _PART):
        at = slice(start, start + _PART)
        some = values[at].astype(np.float64)
        some = np.multiply(some, per_unit, out=some) if per_unit < math.inf else some / unit
        yield at, some


def sum_rounded_once(parts: Callable[[], Iterable[NDArray[np.float64]]]) -> float:
    """What ``math.fsum`` gives of numbers in [0, 4), in one pass mostly.

    A pass takes off all numbers of a part what is a multiple of one unit. So few bits that their
    sums are exact in any order (Rump, Ogita, Oishi 2008). A plain sum of what is left is in doubt
    by less than decides the last bit, or else is taken off by further passes.

    Parameters
    ----------
    parts : callable
        Gives the numbers, in arrays of their own, as often as it is called.
    """
    sums: list[float] = []
    doubt = 0.0
    for numbers in parts():
        unit = _take_off(numbers, math.ldexp(4.0, len(numbers).bit_length() - 50), sums)
        sums.append(float(numbers.sum()))
        doubt += unit * len(numbers) ** 2 * 2.0**-53
    if (least := math.fsum([*sums, -doubt])) == math.fsum([*sums, doubt]):
        return least
    sums = []
    for numbers in parts():
        unit = 4.0
        while numbers.any():
            unit = _take_off(numbers, math.ldexp(unit, len(numbers).bit_length() - 50), sums)
    return math.fsum(sums)


def _take_off(numbers: NDArray[np.float64], unit: float, sums: list[float]) -> float:
    """Multiples of ``unit`` off all ``numbers``, so that half a unit is left; their exact sum."""
    to_units = 1.5 * math.ldexp(unit, 52)  # added and taken away, it rounds to units
    multiples = numbers + to_units
    multiples -= to_units
    sums.append(float(multiples.sum()))
    numbers -= multiples
    return unit
