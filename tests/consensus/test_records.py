"""The wire between strategy and mod: what is written is read, anything else is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest
from flwr.app import ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.records import (
    RECORD_KEY,
    EnrolOrder,
    EnrolReply,
    JoinOrder,
    JoinReply,
    Order,
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
    ReviewReply,
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "str": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
    "bool": st.booleans(),
    "list[int]": st.lists(st.integers(0, 127), max_size=4),
    "list[str]": st.lists(st.text(max_size=9), max_size=4),
    "list[bytes]": st.lists(st.binary(max_size=9), max_size=4),
}
#: For every type a value of another, which Flower carries as well.
OTHERS: dict[str, Any] = {
    "int": "1",
    "str": b"text",
    "bytes": "bytes",
    "bool": 1,
    "list[int]": ["1"],
    "list[str]": [b"1"],
    "list[bytes]": ["1"],
}


def types_of(kind: type[Any]) -> dict[str, str]:
    return {field.name: str(field.type) for field in fields(kind)}


@st.composite
def records(draw: st.DrawFn, kinds: list[type[Any]] = KINDS) -> Any:
    kind = draw(st.sampled_from(kinds))
    return kind(**{name: draw(VALUES[wanted]) for name, wanted in types_of(kind).items()})


def example(kind: type[Any]) -> Any:
    simple = {"int": 1, "str": "a", "bytes": b"b", "bool": True}
    lists = {"list[int]": [0], "list[str]": ["0x"], "list[bytes]": [b"c"]}
    return kind(**{name: (simple | lists)[wanted] for name, wanted in types_of(kind).items()})


def content_of(record: Any, **changes: Any) -> RecordDict:
    """The record in a message, with fields changed, added, or (None) left out."""
    values = dict(record.to_record()) | changes
    kept = {name: value for name, value in values.items() if value is not None}
    return RecordDict({RECORD_KEY: ConfigRecord(kept), "metrics": MetricRecord({"loss": 1.0})})


@given(records())
def test_a_record_is_read_as_it_was_written(record: Any) -> None:
    assert type(record).read(content_of(record)) == record


@given(records(list(get_args(Order))))
def test_an_order_is_found_whatever_else_the_message_carries(record: Any) -> None:
    assert order_in(content_of(record)) == record


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


@pytest.mark.parametrize("kind", [JoinReply, TrainReply, ReviewReply])
def test_a_reply_is_no_order(kind: type[Any]) -> None:
    with pytest.raises(ProtocolError, match=f"expected an order; found kind '{kind.kind}'"):
        order_in(content_of(example(kind)))


FIELDS = [(kind, name) for kind in KINDS for name in types_of(kind)]


NUMBERS = [(kind, name) for kind, name in FIELDS if types_of(kind)[name] in ("int", "bool")]


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_a_missing_number_is_refused(kind: type[Any], name: str) -> None:
    with pytest.raises(ProtocolError, match=f"expected a '{kind.kind}' record with .*{name}"):
        kind.read(content_of(example(kind), **{name: None}))


@pytest.mark.parametrize(("kind", "name"), [field for field in FIELDS if field not in NUMBERS])
def test_missing_text_bytes_and_lists_are_empty_ones(kind: type[Any], name: str) -> None:
    """Flower cannot tell how large an empty value is, so that none is sent."""
    record = kind.read(content_of(example(kind), **{name: None}))
    assert getattr(record, name) in ("", b"", [])
    assert kind.read(content_of(record)) == record
    assert all(value not in ("", b"", []) for value in record.to_record().values())


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_of_another_type_is_refused(kind: type[Any], name: str) -> None:
    wrong = OTHERS[types_of(kind)[name]]
    found = f"'{name}': '{type(wrong).__name__}"
    with pytest.raises(ProtocolError) as refused:
        kind.read(content_of(example(kind), **{name: wrong}))
    assert found in str(refused.value).partition("; found ")[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_too_many_is_refused(kind: type[Any]) -> None:
    with pytest.raises(ProtocolError, match="'surprise': 'int'"):
        kind.read(content_of(example(kind), surprise=1))


@pytest.mark.parametrize("wrong", [1.5, True, [], [1]])
def test_numbers_are_whole_numbers(wrong: Any) -> None:
    with pytest.raises(ProtocolError, match="expected a 'round' record"):
        RoundOrder.read(content_of(example(RoundOrder), round=wrong))


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
