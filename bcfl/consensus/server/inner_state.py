"""What an inner strategy remembers, such as FedAdam's moments, put back for a second try.

Where a reorganisation takes a round's choice back, the round is aggregated again. A strategy that
steps by what it remembers must not step twice for one round.
"""

from __future__ import annotations

import copy
from logging import WARNING
from typing import Any

from flwr.common.logger import log
from flwr.serverapp.strategy import Strategy


def layers_of(strategy: Any) -> list[Strategy]:
    """The strategy, and those that it wraps."""
    layers = []
    while isinstance(strategy, Strategy):
        layers.append(strategy)
        strategy = getattr(strategy, "strategy", None)
    return layers


class InnerState:
    """A strategy's attributes as they are now, and those of the strategies that it wraps.

    They are copied, so that what it remembers is in memory twice: of FedAdam, three models more.

    Parameters
    ----------
    strategy : Strategy
    """

    def __init__(self, strategy: Strategy) -> None:
        self._uncopied: list[str] = []
        self._layers = layers_of(strategy)
        self._states = [self._copied(vars(layer)) for layer in self._layers]

    def restore(self) -> None:
        """Give the strategy back what it had; any number of times."""
        if self._uncopied:
            names = ", ".join(sorted({*self._uncopied}))
            log(
                WARNING,
                "the round is aggregated again, with what no copy can be made of: %s",
                names,
            )
        for layer, state in zip(self._layers, self._states, strict=True):
            vars(layer).clear()
            vars(layer).update(self._copied(state))

    def _copied(self, state: dict[str, Any]) -> dict[str, Any]:
        memo = {id(layer): layer for layer in self._layers}  # these stay the same objects
        found = {}
        for name, value in state.items():
            try:
                found[name] = copy.deepcopy(value, memo)
            except Exception:  # noqa: BLE001 - a stranger's object: an open file, a connection
                self._uncopied.append(name)
                found[name] = value
        return found
