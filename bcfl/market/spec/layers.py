"""What a layer is to the marketplace: a name, whole numbers, and shape rules.

A description of a layer holds no code, no file name and no fraction, so that it has one
spelling and nothing to execute. Every rule is arithmetic on Python integers; nothing here
allocates. The kinds themselves stand in ``layer_kinds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

from bcfl.core.errors import ArchitectureError

#: Without the batch: (features,) or (channels, height, width).
Shape: TypeAlias = tuple[int, ...]

#: No size in a description may be larger; products are taken only after this was checked.
MAX_SIZE = 1 << 16


def setting(low: int, high: int, default: int | None = None) -> Any:
    """A dataclass field that holds a whole number in [low, high]."""
    bounds = {"low": low, "high": high}
    return field(metadata=bounds) if default is None else field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of a model, from one shape to another.

    Raises
    ------
    ArchitectureError
        A setting is not a whole number within its bounds.
    """

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for each in fields(self):
            name, value = f"{self.kind}.{each.name}", getattr(self, each.name)
            read_whole_number(name, value, each.metadata["low"], each.metadata["high"])

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out for the shape that goes in; raises ArchitectureError."""
        return shape

    def arrays(self, shape: Shape) -> Iterator[tuple[str, Shape]]:
        """Name and shape of each array that the layer owns, in the order of the blob."""
        return iter(())

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications, each with its addition, that one sample costs."""
        return math.prod(self.output_shape(shape))

    def workspace(self, shape: Shape) -> int:
        """Numbers kept beside input and output while one sample passes."""
        return 0


def read_whole_number(name: str, value: object, low: int, high: int) -> int:
    """``value``, if it is an int (not a bool) in [low, high]; raises ArchitectureError."""
    if type(value) is not int or not low <= value <= high:
        raise ArchitectureError(f"{name} to be a whole number in [{low}, {high}]", brief(value))
    return value


def brief(value: object) -> str:
    """What was found, short enough for a message whatever a stranger wrote."""
    if type(value) is int and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if isinstance(value, int | float | None):
        return repr(value)
    return f"a {type(value).__name__}"
