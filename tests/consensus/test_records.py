"""The wire between strategy and mod: what is written is read, anything else is refused."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args

import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict

from bcfl.consensus.records import (
    RECORD_KEY,
    EnrolOrder,
    EnrolReply,
    JoinOrder,
    JoinReply,
    Noted,
    Order,
    ProposalReply,
    ReceiptOrder,
    ReviewOrder,
    ReviewReply,
    RoundOrder,
    TrainReply,
    order_in,
)
from bcfl.core.errors import ProtocolError

KINDS: list[type[Any]] = [
    JoinOrder,
    JoinReply,
    EnrolOrder,
    EnrolReply,
    RoundOrder,
    TrainReply,
    ReviewOrder,
    ProposalReply,
    ReviewReply,
    ReceiptOrder,
    Noted,
]
WORD, SIGNATURE, NUMBER = b"d" * 32, b"s" * 65, "0x" + "ab" * 32
ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
#: One value of every field that is not a plain number, text or flag.
EXAMPLES: dict[str, Any] = {
    "challenge": WORD,
    "task": WORD,
    "digest": WORD,
    "salt": WORD,
    "seal": WORD,
    "signature": SIGNATURE,
    "receipt": SIGNATURE,
    "seal_receipt": SIGNATURE,
    "proposal_receipt": SIGNATURE,
    "address": ADDRESS,
    "transaction": NUMBER,
    "transactions": [NUMBER],
    "entries": b"entry",
    "readers": [b"k" * 64],
    "members": [0],
    "rejected": [127],
}
PLAIN: dict[str, Any] = {
    "Text": "a",
    "_Reason": "why",
    "Count": 1,
    "Int64": -1,
    "_Partition": -1,
    "_Flag": True,
    "_Set": b"s" * 16,
    "_Blob": b"b",
    "_Blobs": [b"b"],
    "_Texts": ["a"],
    "_Reasons": ["why"],
}
#: For a value of each type one of another, which Flower carries as well.
OTHERS: dict[type, Any] = {int: "1", str: b"text", bytes: "bytes", bool: 1, list: [1.5]}


def example(kind: type[Any]) -> Any:
    values = {
        f.name: PLAIN["_Set"] if f.type == "_Set" else EXAMPLES.get(f.name, PLAIN.get(str(f.type)))
        for f in fields(kind)
    }
    return kind(**values)


def content_of(record: Any, **changes: Any) -> RecordDict:
    """The record in a message, with fields changed, added, or (None) left out."""
    values = dict(record.to_record()) | changes
    kept = {name: value for name, value in values.items() if value is not None}
    return RecordDict({RECORD_KEY: ConfigRecord(kept), "metrics": MetricRecord({"loss": 1.0})})


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_read_as_it_was_written(kind: type[Any]) -> None:
    record = example(kind)
    assert kind.read(content_of(record)) == record


@pytest.mark.parametrize("kind", get_args(Order))
def test_an_order_is_found_whatever_else_the_message_carries(kind: type[Any]) -> None:
    assert order_in(content_of(example(kind))) == example(kind)


def test_a_message_without_a_record_is_none_of_ours() -> None:
    assert order_in(RecordDict()) is None
    assert order_in(RecordDict({"config": ConfigRecord({"kind": "round"})})) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_without_a_record_says_what_the_app_may_lack(kind: type[Any]) -> None:
    with pytest.raises(ProtocolError, match=r"found none.*mods=\[peer_consensus_mod\]"):
        kind.read(RecordDict({"config": ConfigRecord({"a": 1})}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_another_kind_is_refused(kind: type[Any]) -> None:
    for other in KINDS:
        if other is not kind:
            with pytest.raises(ProtocolError, match=f"'{kind.kind}' record; found '{other.kind}'"):
                kind.read(content_of(example(other)))


@pytest.mark.parametrize("wrong", ["", "trian", 3, b"round", ["round"], None])
def test_a_record_of_no_kind_is_refused(wrong: Any) -> None:
    content = content_of(example(RoundOrder), kind=wrong)
    with pytest.raises(ProtocolError, match="record; found"):
        RoundOrder.read(content)
    with pytest.raises(ProtocolError, match="expected an order; found kind"):
        order_in(content)


@pytest.mark.parametrize("kind", [JoinReply, TrainReply, ReviewReply, Noted])
def test_a_reply_is_no_order(kind: type[Any]) -> None:
    with pytest.raises(ProtocolError, match=f"expected an order; found kind '{kind.kind}'"):
        order_in(content_of(example(kind)))


FIELDS = [(kind, field) for kind in KINDS for field in fields(kind)]
OPTIONAL = [
    (kind, f) for kind, f in FIELDS if not (f.default is MISSING and f.default_factory is MISSING)
]


@pytest.mark.parametrize(("kind", "field"), [each for each in FIELDS if each not in OPTIONAL])
def test_a_field_without_which_the_record_says_nothing_is_needed(
    kind: type[Any], field: Any
) -> None:
    with pytest.raises(ProtocolError, match=rf"{kind.kind}\.{field.name}"):
        kind.read(content_of(example(kind), **{field.name: None}))


@pytest.mark.parametrize(("kind", "field"), OPTIONAL)
def test_what_is_empty_is_not_sent_and_read_as_empty(kind: type[Any], field: Any) -> None:
    """Flower cannot tell how large an empty value is, so that none is sent."""
    record = kind.read(content_of(example(kind), **{field.name: None}))
    assert getattr(record, field.name) in ("", b"", [], 0, False)
    assert kind.read(content_of(record)) == record
    assert all(value not in ("", b"", []) for value in record.to_record().values())


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_of_another_type_is_refused(kind: type[Any], field: Any) -> None:
    wrong = OTHERS[type(getattr(example(kind), field.name))]
    with pytest.raises(ProtocolError, match=rf"^{kind.kind}\.{field.name}"):
        kind.read(content_of(example(kind), **{field.name: wrong}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_too_many_is_refused(kind: type[Any]) -> None:
    with pytest.raises(ProtocolError, match="surprise"):
        kind.read(content_of(example(kind), surprise=1))


@pytest.mark.parametrize("wrong", [1.5, True, [], [1], -1])
def test_numbers_are_whole_numbers_in_their_range(wrong: Any) -> None:
    with pytest.raises(ProtocolError, match=r"round\.round"):
        RoundOrder.read(content_of(example(RoundOrder), round=wrong))


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        (JoinReply, "address", "nobody"),
        (JoinReply, "signature", SIGNATURE[:-1]),
        (JoinReply, "partition", -2),
        (TrainReply, "digest", WORD + b"d"),
        (TrainReply, "timestamp", -1),
        (TrainReply, "transaction", "0x12"),
        (TrainReply, "locator", "a" * 2001),
        (ReviewReply, "entries", bytes(673)),
        (ReviewReply, "salt", b"1" * 31),
        (ReviewReply, "rejected", [-5]),
        (ReviewReply, "rejected", [0] * 129),
        (ReviewReply, "reasons", ["a" * 501]),
        (ReviewOrder, "members", [128]),
        (ReviewOrder, "blobs", [b"b"] * 129),
    ],
)
def test_what_a_stranger_sends_is_bounded(kind: type[Any], name: str, wrong: Any) -> None:
    with pytest.raises(ProtocolError, match=rf"^{kind.kind}"):
        kind.read(content_of(example(kind), **{name: wrong}))


def test_an_address_is_read_in_its_one_canonical_form() -> None:
    found = JoinReply.read(content_of(example(JoinReply), address=ADDRESS.lower()))
    assert found.address == ADDRESS


def test_an_order_may_have_nothing_to_review() -> None:
    record = example(ReviewOrder)
    empty = content_of(record, members=[], transactions=[], blobs=[])
    assert ReviewOrder.read(empty).blobs == []


def test_the_refusal_shows_types_and_no_contents() -> None:
    """A blob of megabytes, or a signature, has no place in a message or a log."""
    with pytest.raises(ProtocolError) as refused:
        TrainReply.read(content_of(example(TrainReply), digest="secret" * 1000))
    assert "secret" not in str(refused.value)
    assert len(str(refused.value)) < 500
