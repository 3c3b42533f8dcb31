"""Another of Flower's strategies within peer consensus: what it says, and what it is given.

It says who trains, by which handler and with which config, as in a run of its own; its
``aggregate_train`` gets the replies of the winners alone, each with the winner's model and with
whatever else the app replied.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy

from bcfl.consensus.records import RECORD_KEY
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.metrics import Metrics, agreeing, same_names, usual_key
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.core.model import Arrays
from bcfl.flower.grid_around import GridAround
from bcfl.flower.handlers import to_array_record, to_arrays


@dataclass(frozen=True, slots=True)
class Training:
    """What members are asked to train with: messages that lack our order.

    Parameters
    ----------
    content : RecordDict
        The model and the config.
    asked : mapping of int to Message, optional
        What an inner strategy asks of a node. None: there is none, and all are asked alike.
    """

    content: RecordDict
    asked: Mapping[int, Message] | None = None

    def message(self, node: int, order: RecordDict) -> Message:
        """Ask ``node``, with our order; as the others are where nothing is for it alone."""
        if not self.asked:
            return Message(RecordDict({**self.content, **order}), node, MessageType.TRAIN)
        asked = self.asked.get(node) or next(iter(self.asked.values()))
        content = RecordDict({**asked.content, **order})
        return Message(content, node, asked.metadata.message_type, ttl=asked.metadata.ttl)


class _MembersOnly(GridAround):
    """A grid whose nodes are the members that are connected, in their order."""

    def __init__(self, inner: Grid, nodes: Sequence[int]) -> None:
        super().__init__(inner)
        self._nodes = nodes

    def get_node_ids(self) -> Iterable[int]:
        connected = set(self._inner.get_node_ids())
        return [node for node in self._nodes if node in connected]


def asked_by(
    inner: Strategy,
    number: int,
    arrays: ArrayRecord,
    config: ConfigRecord,
    grid: Grid,
    nodes: Sequence[int],
    seed: int,
) -> Training:
    """What ``inner`` asks whom among ``nodes``, the members', to train with in round ``number``.

    Raises
    ------
    ConfigurationError
        It sends another model than the global one, or several.
    NobodyLeft
        It asks no member.
    """
    name = type(inner).__name__
    members, fedavg = _MembersOnly(grid, nodes), fedavg_within(inner)
    with _drawing_by(f"{seed}/{number}"), asking_who_is_there(fedavg, members):
        messages = list(inner.configure_train(number, arrays, config, members))
    for message in messages:
        sent = list(message.content.array_records.values())
        if len(sent) != 1 or (sent[0] is not arrays and sent[0] != arrays):
            raise ConfigurationError(
                f"{name}.configure_train sends {len(sent)} ArrayRecords, or another model than the "
                "global one: members train on the model that the contract names, and on no other"
            )
    asked = {m.metadata.dst_node_id: m for m in messages if m.metadata.dst_node_id in nodes}
    if not asked:
        raise NobodyLeft(f"round {number}: {name} asks no member to train")
    return Training(RecordDict(), asked)


def config_of_reviews(
    strategy: Strategy, number: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
) -> ConfigRecord:
    """What ``strategy`` puts into the config of an evaluation; ``config`` where it asks nobody."""
    given = copy.deepcopy(config)
    messages = list(strategy.configure_evaluate(number, arrays, given, grid))
    found = (record for message in messages for record in message.content.config_records.values())
    return copy.deepcopy(next(found, config))


def aggregate_with(
    inner: Strategy,
    coordinator: Coordinator,
    number: int,
    arrays: Arrays,
    replied: Mapping[int, RecordDict],
    nodes: Mapping[int, int],
) -> tuple[Arrays, MetricRecord | None]:
    """S4 by another strategy: the next θ_g, made of the winners' models alone, and its metrics.

    Parameters
    ----------
    replied : mapping of int to RecordDict
        What came from a member beside its delta. Of a round that was begun by a server that
        died, the metrics are known and nothing else.
    nodes : mapping of int to int
        Member index to node id.

    Raises
    ------
    NobodyLeft
        The strategy made nothing of them.
    """
    updated = coordinator.updated(arrays)
    fedavg = fedavg_within(inner)
    weighted_by = fedavg.weighted_by_key if fedavg else "num-examples"
    metrics = same_names(coordinator.signed.metrics, list(updated), weighted_by)
    replies, key = [], usual_key(replied.values())
    for member, model in updated.items():
        content = _beside(replied.get(member), key, metrics[member])
        content[fedavg.arrayrecord_key if fedavg else "arrays"] = to_array_record(model)
        node = nodes.get(member, member)
        asked = Message(RecordDict(), dst_node_id=node, message_type=MessageType.TRAIN)
        replies.append(Message(content, reply_to=asked))
    aggregated, own_metrics = inner.aggregate_train(number, replies)
    if aggregated is None:
        raise NobodyLeft(f"{type(inner).__name__} made nothing of {len(replies)} winners")
    return coordinator.updates.conform(to_arrays(aggregated), arrays), own_metrics


def train_metrics(
    fedavg: FedAvg, coordinator: Coordinator, replied: Mapping[int, RecordDict]
) -> MetricRecord | None:
    """Over the members that committed; None where their apps report no weights.

    ``replied`` as in :func:`aggregate_with`.
    """
    weight, key = fedavg.weighted_by_key, usual_key(replied.values())
    reported = {m: found for m, found in coordinator.signed.metrics.items() if weight in found}
    found = agreeing(reported, weight)
    contents = [_beside(replied.get(member), key, each) for member, each in found.items()]
    return fedavg.train_metrics_aggr_fn(contents, weight) if contents else None


def _beside(replied: RecordDict | None, key: str, metrics: Metrics) -> RecordDict:
    """What the app replied beside its arrays, under its own names; of its numbers, ``metrics``."""
    configs = replied.config_records.items() if replied is not None else ()
    kept = {name: record for name, record in configs if not name.startswith(RECORD_KEY)}
    return RecordDict({**kept, key: MetricRecord({**metrics})})


def fedavg_within(strategy: Strategy | None) -> FedAvg | None:
    """The strategy itself, or the one that it wraps, as Flower's wrappers do, if it is a FedAvg."""
    while strategy is not None and not isinstance(strategy, FedAvg):
        strategy = getattr(strategy, "strategy", None)
    return strategy


@contextmanager
def asking_who_is_there(fedavg: FedAvg | None, grid: Grid) -> Iterator[int]:
    """The number of nodes that are connected: FedAvg would wait for those that have left."""
    there = len(list(grid.get_node_ids()))
    names = "min_available_nodes", "min_train_nodes", "min_evaluate_nodes"
    least = {name: getattr(fedavg, name) for name in names if fedavg is not None}
    for name, number in least.items():
        setattr(fedavg, name, min(number, there))
    try:
        yield there
    finally:
        for name, number in least.items():
            setattr(fedavg, name, number)


@contextmanager
def _drawing_by(seed: str) -> Iterator[None]:
    """Flower's strategies sample by Python's global generator: seed it, and leave it as it was."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
