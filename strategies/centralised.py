"""All data in one place: what learning apart is measured against.

Mendis et al., arXiv 1807.02515, fig. 1 (a). As a Flower strategy, so that whatever runs the
others runs this one: the same initial model, number of rounds and evaluation, the same
result; only that no client is asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import INFO
from typing import TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

#: (round from 1, arrays) to (trained arrays, metrics).
TrainCentrally: TypeAlias = Callable[[int, ArrayRecord], tuple[ArrayRecord, MetricRecord]]


class Centralised(Strategy):
    """One model, trained on everybody's data by the server itself.

    Parameters
    ----------
    train : callable
        Trains for one round, given the round (from 1) and the arrays to begin with; returns
        the trained arrays and a ``MetricRecord``.
    """

    def __init__(self, train: TrainCentrally) -> None:
        self._train = train
        self._arrays = ArrayRecord()

    def summary(self) -> None:
        """Log that there is nothing to say."""
        log(INFO, "\t└──> all data in one place; no client takes part")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nobody; remember what to begin with."""
        self._arrays = arrays
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Train."""
        return self._train(server_round, self._arrays)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nobody: ``start``'s ``evaluate_fn`` measures."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nobody was asked."""
