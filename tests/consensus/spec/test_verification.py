"""S3, claim 4: every check, and the reason that is kept."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, digest_of, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.verification import Expectation, OnChain, verify_update
from bcfl.core.errors import CodecError, CommitmentRejected
from tests.consensus.spec.deltas import HEADING, deltas, same

OPENED_AT, SIGNED_AT, MINED_AT = 100, 150, 200


def verify(
    chain: OnChain, blob: bytes, expected: Expectation, delta: Delta, **changed: Any
) -> Delta:
    sizes = {"n": delta.n, "k": delta.k, "dtype": delta.values.dtype} | changed
    found = digest_of(blob)
    decode = lambda b, h: decode_delta(b, heading=h, **sizes)  # noqa: E731
    return verify_update(chain, blob, found, expected, decode)


def on_chain(blob: bytes) -> OnChain:
    return OnChain(HEADING.round, 4, digest_of(blob), SIGNED_AT, MINED_AT)


DELTA = Delta(40, np.array([3, 8, 39]), np.array([1, -2, 3], np.float32))
BLOB = encode_delta(DELTA, HEADING)
CHAIN, EXPECTED = on_chain(BLOB), Expectation(4, HEADING, OPENED_AT)


def expect_rejected(
    reason: str,
    chain: OnChain = CHAIN,
    blob: bytes = BLOB,
    expected: Expectation = EXPECTED,
    **changed: Any,
) -> None:
    with pytest.raises(CommitmentRejected, match=reason):
        verify(chain, blob, expected, DELTA, **changed)


@given(deltas())
def test_what_was_committed_and_what_was_expected_is_accepted(delta: Delta) -> None:
    blob = encode_delta(delta, HEADING)
    assert same(verify(on_chain(blob), blob, EXPECTED, delta), delta)


@pytest.mark.parametrize("round_", [HEADING.round - 1, HEADING.round + 1])
def test_a_commitment_of_another_round(round_: int) -> None:
    reason = f"for round {HEADING.round}; the transaction is of {round_}"
    expect_rejected(reason, replace(CHAIN, round=round_))


def test_a_commitment_of_another_member() -> None:
    expect_rejected("expected member 4's commitment; found member 5's", replace(CHAIN, member=5))


@pytest.mark.parametrize("signed_at", [0, OPENED_AT - 1])
def test_a_timestamp_before_the_round_was_opened(signed_at: int) -> None:
    expect_rejected(rf"in \[100, 200\]; found {signed_at}$", replace(CHAIN, signed_at=signed_at))


@pytest.mark.parametrize("signed_at", [MINED_AT + 1, 2**64 - 1])
def test_a_timestamp_after_the_block_it_was_mined_in(signed_at: int) -> None:
    expect_rejected(rf"in \[100, 200\]; found {signed_at}$", replace(CHAIN, signed_at=signed_at))


@pytest.mark.parametrize("signed_at", [OPENED_AT, MINED_AT])
def test_the_first_and_the_last_second_count(signed_at: int) -> None:
    assert same(verify(replace(CHAIN, signed_at=signed_at), BLOB, EXPECTED, DELTA), DELTA)


def test_other_bytes_than_those_whose_digest_is_on_chain() -> None:
    other = encode_delta(replace(DELTA, values=-DELTA.values), HEADING)
    digests = f"{digest_of(BLOB).hex()[:16]}…, as on chain; found {digest_of(other).hex()[:16]}…"
    expect_rejected(re.escape(digests), blob=other)


def test_a_copied_delta_is_its_author_s_and_not_the_copyist_s() -> None:
    """The plagiarist commits, under its own name, the very bytes of another."""
    plagiarist = replace(EXPECTED, heading=replace(HEADING, author=bytes(20)))
    expect_rejected(
        f"expected the delta of 0x{'00' * 20}; found that of 0x0001", expected=plagiarist
    )


def test_a_delta_to_another_model() -> None:
    other = replace(EXPECTED, heading=replace(HEADING, base=b"\xff" * 32))
    expect_rejected("expected a delta to model ffff", expected=other)


def test_a_delta_of_an_earlier_round_committed_once_more() -> None:
    blob = encode_delta(DELTA, replace(HEADING, round=HEADING.round - 1))
    expect_rejected("expected a delta of round 3; found round 2", on_chain(blob), blob)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_values_that_are_not_finite(poison: float) -> None:
    blob = encode_delta(replace(DELTA, values=DELTA.values * np.float32(poison)), HEADING)
    expect_rejected("NaN or infinity", on_chain(blob), blob)


@pytest.mark.parametrize(
    "changed", [{"k": 2}, {"k": 4}, {"n": 41}, {"n": 400}, {"dtype": np.dtype(np.float64)}]
)
def test_another_number_of_entries_of_parameters_or_another_dtype(changed: dict[str, Any]) -> None:
    expect_rejected("expected", **changed)


@pytest.mark.parametrize("blob", [b"", b"\x00", BLOB[:-1], BLOB + b"\x00"])
def test_bytes_of_another_length_even_where_the_chain_has_their_digest(blob: bytes) -> None:
    size = blob_size(DELTA.n, DELTA.k, DELTA.values.dtype)
    expect_rejected(f"expected {size} bytes.*found {len(blob)}", on_chain(blob), blob)


def test_the_reason_names_the_codec_s_own_error() -> None:
    with pytest.raises(CommitmentRejected) as rejected:
        verify(on_chain(b""), b"", EXPECTED, DELTA)
    assert isinstance(rejected.value.__cause__, CodecError)
    assert str(rejected.value) == str(rejected.value.__cause__)


@given(deltas(max_n=80), st.integers(0, 2**64))
def test_not_one_changed_bit_passes(delta: Delta, seed: int) -> None:
    """Here, unlike in the codec alone, a changed value does not match the chain's digest."""
    blob = encode_delta(delta, HEADING)
    at = random.Random(seed).randrange(len(blob) * 8)
    changed = bytearray(blob)
    changed[at // 8] ^= 1 << at % 8
    expect_rejected("as on chain", on_chain(blob), bytes(changed))


@given(deltas(max_n=80), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1))
def test_the_wrong_author_or_round_never_passes(delta: Delta, author: bytes, round_: int) -> None:
    heading = Heading(author, round_, HEADING.base)
    blob = encode_delta(delta, heading)
    if heading == HEADING:
        return
    sizes = {"n": delta.n, "k": delta.k, "dtype": delta.values.dtype}
    expect_rejected("expected", on_chain(blob), blob, **sizes)
