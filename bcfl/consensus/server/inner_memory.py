"""What an inner strategy remembers, such as FedAdam's moments, for another process that goes on.

Arrays and numbers alone, encoded as a model is: a folder may be a stranger's, and nothing in it is
unpickled.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from logging import WARNING
from typing import Any, TypeAlias

import numpy as np
from flwr.app import ArrayRecord
from flwr.common.logger import log
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from bcfl.consensus.server.inner_state import layers_of
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import AuditError
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_array_record, to_arrays

_Parts: TypeAlias = dict[str, NDArray[Any]]


class InnerMemory:
    """A strategy's attributes, made of arrays and numbers, that have changed since this was made.

    Parameters
    ----------
    strategy : Strategy
        As it was made, before its first round; with it count those that it wraps.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._layers = layers_of(strategy)
        self._before = copy.deepcopy(dict(self._attributes()))

    def told(self) -> _Parts:
        """All of them, by layer, kind, attribute and key."""
        return {
            f"{name} {key}": value
            for name, parts in self._attributes()
            if not _same(parts, self._before.get(name))
            for key, value in parts.items()
        }

    def resume(self, folder: TaskFolder, model: bytes) -> None:
        """Give the strategy what the folder has of it beside ``model``; warn where that is nothing.

        Raises
        ------
        AuditError
            The folder has something else there.
        """
        told = folder.load_memory(model)
        if told is None:
            log(
                WARNING,
                "%s begins anew: %s has nothing of what it remembered of the rounds before",
                type(self._layers[0]).__name__,
                folder.path,
            )
            return
        try:
            self._recall(told)
        except (KeyError, ValueError) as error:
            raise AuditError(f"{folder.path}: no memory of a strategy: {error!r}") from error

    def _recall(self, told: Arrays) -> None:
        found: dict[str, _Parts] = {}
        for name, value in told.items():
            layer, kind, attribute, key = name.split(" ", 3)
            found.setdefault(f"{layer} {kind} {attribute}", {})[key] = value
        for name, parts in found.items():
            layer, kind, attribute = name.split(" ")
            attributes = vars(self._layers[int(layer)]) if int(layer) < len(self._layers) else {}
            if attribute in attributes:  # of another strategy's, nothing
                attributes[attribute] = _put_together(kind, parts)

    def _attributes(self) -> Iterator[tuple[str, _Parts]]:
        for number, layer in enumerate(self._layers):
            for attribute, value in vars(layer).items():
                kind, parts = _taken_apart(value)
                if all(_is_carried(each) for each in parts.values()):
                    arrays = {key: np.asarray(each) for key, each in parts.items()}
                    yield f"{number} {kind} {attribute}", arrays


def _taken_apart(value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, ArrayRecord):
        return "record", dict(to_arrays(value))
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return "named", dict(value)
    if isinstance(value, list):
        return "list", {str(number): each for number, each in enumerate(value)}
    return ("array" if isinstance(value, np.ndarray) else "number"), {"": value}


def _put_together(kind: str, parts: _Parts) -> Any:
    match kind:
        case "record":
            return to_array_record(parts)
        case "named":
            return parts
        case "list":
            return [parts[str(number)] for number in range(len(parts))]
        case "array":
            return parts[""]
    return parts[""].item()


def _is_carried(value: Any) -> bool:
    """Whether it is a number, or numbers, of a width that everybody has."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.generic):
        return False
    dtype = np.asarray(value).dtype
    return dtype.kind in "fiu" and dtype.itemsize <= 8


def _same(parts: _Parts, before: _Parts | None) -> bool:
    if before is None or parts.keys() != before.keys():
        return False
    return all(np.array_equal(each, before[key], equal_nan=True) for key, each in parts.items())
