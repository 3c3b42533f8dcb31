"""Another of Flower's strategies around, or within, peer consensus: what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Result, Strategy

from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.metrics import agreeing, same_names
from bcfl.core.errors import NobodyLeft
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_array_record, to_arrays

__all__ = ["FedAvgOptions", "aggregate_with", "count_from", "train_metrics"]


class FedAvgOptions(TypedDict, total=False):
    """``FedAvg``'s arguments."""

    fraction_train: float
    fraction_evaluate: float
    min_train_nodes: int
    min_evaluate_nodes: int
    min_available_nodes: int
    weighted_by_key: str
    arrayrecord_key: str
    configrecord_key: str
    train_metrics_aggr_fn: Callable[[list[RecordDict], str], MetricRecord] | None
    evaluate_metrics_aggr_fn: Callable[[list[RecordDict], str], MetricRecord] | None


def aggregate_with(
    inner: Strategy, coordinator: Coordinator, number: int, arrays: Arrays
) -> Arrays:
    """S4 by another strategy: the next θ_g, made of the winners' models alone.

    Raises
    ------
    NobodyLeft
        The strategy made nothing of them.
    """
    updated = coordinator.updated(arrays)
    metrics = same_names(coordinator.signed.metrics, list(updated), _weight_of(inner))
    replies = []
    for member, model in updated.items():
        record = MetricRecord({**metrics[member]})
        content = RecordDict({"arrays": to_array_record(model), "metrics": record})
        asked = Message(RecordDict(), dst_node_id=member, message_type=MessageType.TRAIN)
        replies.append(Message(content, reply_to=asked))
    aggregated, _ = inner.aggregate_train(number, replies)
    if aggregated is None:
        raise NobodyLeft(f"{type(inner).__name__} made nothing of {len(replies)} winners")
    return coordinator.spec.conform(to_arrays(aggregated), arrays)


def train_metrics(fedavg: FedAvg, coordinator: Coordinator) -> MetricRecord | None:
    """Over the members that committed; None where their apps report no weights."""
    key = fedavg.weighted_by_key
    reported = {m: metrics for m, metrics in coordinator.signed.metrics.items() if key in metrics}
    contents = [
        RecordDict({"metrics": MetricRecord({**metrics})})
        for metrics in agreeing(reported, key).values()
    ]
    return fedavg.train_metrics_aggr_fn(contents, key) if contents else None


def _weight_of(inner: Strategy) -> str:
    return inner.weighted_by_key if isinstance(inner, FedAvg) else "num-examples"


def count_from(result: Result, done: int) -> Result:
    """The result of a task that was gone on with: its rounds counted from the task's first."""
    for history in (
        result.train_metrics_clientapp,
        result.evaluate_metrics_clientapp,
        result.evaluate_metrics_serverapp,
    ):
        shifted = {number + done: metrics for number, metrics in history.items()}
        history.clear()
        history.update(shifted)
    return result
