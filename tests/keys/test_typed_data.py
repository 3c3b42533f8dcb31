"""What is signed of a message is what eth-account, and any wallet, signs of it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.exceptions import EncodingError
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.messages import join_message
from bcfl.keys.typed_data import signed_hash

#: Of each type: what a field of it may hold.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "uint8": st.integers(0, 2**8 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "uint128": st.integers(0, 2**128 - 1),
    "int256": st.integers(-(2**255), 2**255 - 1),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes": st.binary(max_size=100),
    "string": st.text(max_size=40),
}


@given(kinds=st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6), data=st.data())
def test_it_is_what_wallets_hash(kinds: list[str], data: st.DataObject):
    fields = [{"name": f"field{at}", "type": kind} for at, kind in enumerate(kinds)]
    message = join_message(1, bytes(32))
    message["types"] = {"EIP712Domain": message["types"]["EIP712Domain"], "Said": fields}
    message["primaryType"] = "Said"
    message["message"] = {each["name"]: data.draw(VALUES[each["type"]]) for each in fields}
    theirs = encode_typed_data(full_message=message)
    words = b"\x19" + theirs.version + theirs.header + theirs.body
    assert signed_hash(message) == keccak(words)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uint8", 256), ("uint64", -1), ("bytes32", bytes(33)), ("address", "0x12"), ("Other", 1)],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind: str, value: Any):
    message = join_message(1, bytes(32))
    message["types"]["Join"][0]["type"] = kind
    message["message"]["challenge"] = value
    with pytest.raises((EncodingError, ValueError)):
        signed_hash(message)


def test_a_field_without_a_value_is_refused():
    message = join_message(1, bytes(32))
    message["message"].clear()
    with pytest.raises(KeyError, match="challenge"):
        signed_hash(message)
