"""The baselines' aggregators as strategies of Flower: ``bcfl run strategy=nnm_trimmed_mean``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from bcfl.core.model import ModelSpec
from bcfl.experiment.attacks.attack import Vectors
from bcfl.experiment.laboratory import robust
from bcfl.flower.handlers import to_array_record, to_arrays


class Robust(FedAvg):
    """FedAvg with another mean: of the clients' changes of θ_g, by an aggregator that is told f.

    Parameters
    ----------
    num_malicious_nodes : int
        f.
    **sampling
        FedAvg's arguments.
    """

    aggregate: Callable[[Vectors, int], Vectors]

    def __init__(self, *, num_malicious_nodes: int = 0, **sampling: Any) -> None:
        super().__init__(**sampling)
        self._malicious = num_malicious_nodes
        self._arrays = ArrayRecord()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's; it remembers θ_g."""
        self._arrays = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """θ_g moved by what the aggregator makes of the clients' changes."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None
        before = to_arrays(self._arrays)
        spec = ModelSpec.of(before)
        base = spec.flatten(before)
        records = [next(iter(reply.content.array_records.values())) for reply in valid]
        rows = np.stack([spec.flatten(to_arrays(record)) - base for record in records])
        after = spec.unflatten((base + self.step(rows)).astype(base.dtype), before)
        contents = [reply.content for reply in valid]
        return to_array_record(after), self.train_metrics_aggr_fn(contents, self.weighted_by_key)

    def step(self, rows: Vectors) -> Vectors:
        """The global change, shape (n,), from the clients', rows."""
        return type(self).aggregate(rows, self._malicious)


class NnmTrimmedMean(Robust):
    """See ``robust.nnm_trimmed_mean``."""

    aggregate = staticmethod(robust.nnm_trimmed_mean)


class GeometricMedian(Robust):
    """See ``robust.geometric_median``."""

    aggregate = staticmethod(robust.geometric_median)


class CenteredClipping(Robust):
    """See ``robust.centered_clipping``.

    Parameters
    ----------
    radius : float
        How far one client can move the last round's step.
    """

    def __init__(self, *, radius: float = 1.0, **more: Any) -> None:
        super().__init__(**more)
        self._radius = radius
        self._last: Vectors | None = None

    def step(self, rows: Vectors) -> Vectors:
        """The step before, moved by what differs from it, clipped."""
        before = np.zeros_like(rows[0]) if self._last is None else self._last
        self._last = robust.centered_clipping(rows, before, self._radius)
        return self._last
