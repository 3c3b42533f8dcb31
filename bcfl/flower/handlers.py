"""Calling the app's own handlers, whichever of Flower's two interfaces it was written for.

An app of the Message API reads one ``ArrayRecord`` and replies with one. A ``NumPyClient``
behind a ``client_fn`` is served by Flower's own adapter, which reads ``fitins.*`` and
``evaluateins.*`` records, numbers its arrays, and spreads its metrics over several records.
"""

from __future__ import annotations

import math
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import SType
from numpy.lib import format as npy
from numpy.typing import NDArray

from bcfl.core.errors import ModelError, ProtocolError
from bcfl.core.model import Arrays

_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LONGEST_HEADER = 10_012  #: bytes; numpy reads no longer ones
_LEGACY = {"train": ("fitins", "fitres"), "evaluate": ("evaluateins", "evaluateres")}


def to_arrays(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The record's arrays as numpy's, in its order: of its own bytes, not to be written to.

    Raises
    ------
    ModelError
        An array that numpy cannot hold, such as bfloat16.
    """
    arrays = {}
    for key, array in record.items():
        try:
            arrays[key] = _to_numpy(array)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"array {key!r} ({array.dtype}) is none of numpy's: {error}"
            ) from error
    return arrays


def to_array_record(arrays: Arrays) -> ArrayRecord:
    """Flower's record of these arrays, in their order."""
    record = ArrayRecord()  # which, of a dict of arrays, makes each of them once more
    for key, array in arrays.items():
        record[key] = _to_flower(array)
    return record


def _to_numpy(array: Array) -> NDArray[Any]:
    """As ``array.numpy()``, which copies."""
    if array.stype != SType.NUMPY:
        return array.numpy()  # says what is wrong
    data = array.data
    words = 10 if data[6:7] == b"\x01" else 12  # magic, version and length
    length = words + int.from_bytes(data[8:words], "little")
    shape, by_column, dtype, begin = _header_in(data[: min(length, _LONGEST_HEADER)])
    entries = np.frombuffer(data, dtype, math.prod(shape), begin)
    return entries.reshape(shape, order="F" if by_column else "C")


@lru_cache(maxsize=256)  # numpy compiles each
def _header_in(start: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether it lies by columns, dtype, and where the entries begin."""
    stream = BytesIO(start)
    read_header = _READ_HEADER[npy.read_magic(stream)]
    shape, by_column, dtype = read_header(stream)
    if any(side < 0 for side in shape):  # numpy would take it for what is left
        raise ValueError(f"its shape is {shape}")
    return shape, by_column, dtype, stream.tell()


def _to_flower(array: NDArray[Any]) -> Array:
    """As ``Array(array)``, which copies twice."""
    # np.ascontiguousarray would give a counter of shape () the shape (1,).
    rows = np.asarray(array, order="C")
    dtype, header = _header_of(rows.dtype, rows.shape)
    return Array(dtype, rows.shape, SType.NUMPY, b"".join((header, rows.reshape(-1).data)))


@lru_cache(maxsize=256)
def _header_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[str, bytes]:
    """The dtype's name, and what numpy writes before entries in rows."""
    header = BytesIO()
    said = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, said)
    return str(dtype), header.getvalue()


def model_in(content: RecordDict) -> tuple[str, ArrayRecord]:
    """The one ArrayRecord of a message, and its key.

    Raises
    ------
    ProtocolError
        There is none, or there are several.
    """
    found = list(content.array_records.items())
    if len(found) != 1:
        raise ProtocolError(f"expected a message with one ArrayRecord; found {len(found)}")
    return found[0]


def call_train(
    message: Message, context: Context, call_next: ClientAppCallable
) -> tuple[dict[str, NDArray[Any]], RecordDict]:
    """Run the app's train on ``message``; its arrays, and the other records of its reply.

    Raises
    ------
    ProtocolError
        The app replied with an error, or not with one ArrayRecord and one MetricRecord.
    """
    reply = call(message, context, call_next, "train")
    if len(reply.array_records) != 1:
        found = ", ".join(reply.array_records) or "none"
        raise ProtocolError(
            f"expected train to reply with one ArrayRecord, the model; found {found}. What a "
            "client keeps for itself, such as its optimizer's, belongs into context.state"
        )
    _expect_metrics(reply, "train")
    key, record = model_in(reply)
    del reply[key]
    return to_arrays(record), reply


def call_evaluate(message: Message, context: Context, call_next: ClientAppCallable) -> MetricRecord:
    """Run the app's evaluate on ``message``; its metrics. Raises as :func:`call_train`."""
    return _expect_metrics(call(message, context, call_next, "evaluate"), "evaluate")


def call(
    message: Message, context: Context, call_next: ClientAppCallable, handler: str
) -> RecordDict:
    """What the app's ``handler`` replies, as an app of the Message API would say it.

    Raises
    ------
    ProtocolError
        It replied with an error, or not at all.
    """
    ins, res = _LEGACY[handler]
    content = message.content
    try:
        reply = call_next(message, context)
    except KeyError as missing:
        # Only Flower's adapter for client_fn asks for this key, and before it does anything.
        if missing.args != (f"{ins}.parameters",):
            raise
        _, arrays = model_in(content)
        config = next(iter(content.config_records.values()), ConfigRecord())
        message.content = RecordDict({f"{ins}.parameters": arrays, f"{ins}.config": config})
        reply = call_next(message, context)
    if not isinstance(reply, Message):
        raise ProtocolError(f"expected the app's {handler} to return a Message; found {reply!r}")
    if reply.has_error():
        raise ProtocolError(f"the app's {handler} failed: {reply.error.reason}")
    if f"{res}.status" not in reply.content:
        return reply.content
    return _from_legacy(reply.content, model_in(content)[1], handler)


def _expect_metrics(reply: RecordDict, handler: str) -> MetricRecord:
    records = list(reply.metric_records.values())
    if len(records) != 1:
        raise ProtocolError(
            f"expected {handler} to reply with one MetricRecord; found {len(records)}"
        )
    return records[0]


def _from_legacy(reply: RecordDict, sent: ArrayRecord, handler: str) -> RecordDict:
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
    content = RecordDict({"metrics": metrics})
    for record in reply.array_records.values():
        if len(record) != len(sent):
            raise ModelError(f"expected fit to return {len(sent)} arrays; found {len(record)}")
        arrays = zip(sent.keys(), record.values(), strict=True)
        content["arrays"] = ArrayRecord(dict(arrays))
    return content
