"""Calling the app's own handlers, whichever of Flower's two interfaces it was written for.

An app of the Message API reads one ``ArrayRecord`` and replies with one. A ``NumPyClient``
behind a ``client_fn`` is served by Flower's own adapter, which reads ``fitins.*`` and
``evaluateins.*`` records, numbers its arrays, and spreads its metrics over several records.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from numpy.typing import NDArray

from bcfl.core.errors import ModelError, ProtocolError
from bcfl.core.model import Arrays

__all__ = ["call_evaluate", "call_train", "plain_content", "to_array_record", "to_arrays"]

_LEGACY = {"train": ("fitins", "fitres"), "evaluate": ("evaluateins", "evaluateres")}


def to_arrays(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The record's arrays as numpy's, in its order.

    Raises
    ------
    ModelError
        An array that numpy cannot hold, such as bfloat16.
    """
    arrays = {}
    for key, array in record.items():
        try:
            arrays[key] = array.numpy()
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"array {key!r} ({array.dtype}) is none of numpy's: {error}"
            ) from error
    return arrays


def to_array_record(arrays: Arrays) -> ArrayRecord:
    """Flower's record of these arrays, in their order."""
    # np.ascontiguousarray would give a counter of shape () the shape (1,).
    return ArrayRecord({key: Array(np.asarray(array, order="C")) for key, array in arrays.items()})


def plain_content(content: RecordDict) -> tuple[str, ArrayRecord, str, ConfigRecord]:
    """The one ArrayRecord and the app's own ConfigRecord of a message, each with its key.

    Raises
    ------
    ProtocolError
        There is not exactly one ArrayRecord beside at most one ConfigRecord of the app's.
    """
    arrays = list(content.array_records.items())
    configs = [item for item in content.config_records.items() if not item[0].startswith("bcfl")]
    if len(arrays) != 1 or len(configs) > 1:
        raise ProtocolError(
            "expected a message with one ArrayRecord and at most one ConfigRecord; found "
            f"{len(arrays)} and {len(configs)}"
        )
    config_key, config = configs[0] if configs else ("config", ConfigRecord())
    return *arrays[0], config_key, config


def call_train(
    message: Message, context: Context, call_next: ClientAppCallable
) -> tuple[dict[str, NDArray[Any]], MetricRecord]:
    """Run the app's train on ``message``; its arrays and its metrics.

    Raises
    ------
    ProtocolError
        The app replied with an error, or not with one ArrayRecord and one MetricRecord.
    """
    sent = next(iter(message.content.array_records.values()))
    reply, legacy = _call(message, context, call_next, "train")
    records = list(reply.array_records.values())
    if len(records) != 1:
        raise ProtocolError(f"expected train to reply with one ArrayRecord; found {len(records)}")
    arrays = to_arrays(records[0])
    if legacy:
        if len(arrays) != len(sent):
            raise ModelError(f"expected fit to return {len(sent)} arrays; found {len(arrays)}")
        arrays = dict(zip(sent.keys(), arrays.values(), strict=True))
    return arrays, _metrics(reply, "train", legacy)


def call_evaluate(message: Message, context: Context, call_next: ClientAppCallable) -> MetricRecord:
    """Run the app's evaluate on ``message``; its metrics. Raises as :func:`call_train`."""
    reply, legacy = _call(message, context, call_next, "evaluate")
    return _metrics(reply, "evaluate", legacy)


def _call(
    message: Message, context: Context, call_next: ClientAppCallable, handler: str
) -> tuple[RecordDict, bool]:
    ins, res = _LEGACY[handler]
    try:
        reply = call_next(message, context)
    except KeyError as missing:
        # Only Flower's adapter for client_fn asks for this key, and before it does anything.
        if missing.args != (f"{ins}.parameters",):
            raise
        _, arrays, _, config = plain_content(message.content)
        message.content = RecordDict({f"{ins}.parameters": arrays, f"{ins}.config": config})
        reply = call_next(message, context)
    if reply.has_error():
        raise ProtocolError(f"the app's {handler} failed: {reply.error.reason}")
    return reply.content, f"{res}.status" in reply.content.config_records


def _metrics(reply: RecordDict, handler: str, legacy: bool) -> MetricRecord:
    if not legacy:
        records = list(reply.metric_records.values())
        if len(records) != 1:
            raise ProtocolError(
                f"expected {handler} to reply with one MetricRecord; found {len(records)}"
            )
        return records[0]
    _, res = _LEGACY[handler]
    status = reply.config_records[f"{res}.status"]
    if status["code"] != 0:
        raise ProtocolError(f"the client's {handler} failed: {status['message']!s}")
    metrics = MetricRecord(
        {"num-examples": reply.metric_records[f"{res}.num_examples"]["num_examples"]}
    )
    if (loss := reply.metric_records.get(f"{res}.loss")) is not None:
        metrics["loss"] = loss["loss"]
    for name, value in reply.config_records[f"{res}.metrics"].items():
        if isinstance(value, (int, float)) and name not in metrics:
            metrics[name] = value
    return metrics
