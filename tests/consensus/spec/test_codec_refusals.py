"""What ``decode_delta`` refuses: everything but the one encoding of what was expected, cheaply."""

from __future__ import annotations

import random
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.values import Values
from bcfl.core.errors import CodecError
from tests.consensus.spec.deltas import HEADING, MUTATIONS, decode_like, deltas, ramp, sent

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

HEADER_BYTES = 78
FLOATS = ["float16", "float32", "float64"]


@pytest.mark.parametrize(
    ("heading", "reason"),
    [
        (Heading(bytes(20), HEADING.round, HEADING.base), "expected the delta of 0x0000"),
        (Heading(HEADING.author, 4, HEADING.base), "round 4; found round 3"),
        (Heading(HEADING.author, HEADING.round, bytes(32)), "expected a delta to model 0000"),
    ],
    ids=["author", "round", "base"],
)
def test_a_delta_of_another_author_round_or_model_is_refused(heading: Heading, reason: str) -> None:
    delta = ramp(50, 5)
    with pytest.raises(CodecError, match=reason):
        decode_like(delta, encode_delta(delta, HEADING), heading)


@pytest.mark.parametrize(
    ("n", "k", "dtype"),
    [
        (51, 5, "float32"),
        (49, 5, "float32"),
        (50, 4, "float32"),
        (50, 6, "float32"),
        (50, 5, "float16"),
        (50, 5, "float64"),
        (50, 0, "float32"),
        (50, 51, "float32"),
        (0, 0, "float32"),
        (50, 5, "int32"),
    ],
)
def test_a_delta_of_other_dimensions_is_refused(n: int, k: int, dtype: str) -> None:
    blob = encode_delta(ramp(50, 5), HEADING)
    with pytest.raises(CodecError, match="expected"):
        decode_delta(blob, n, k, np.dtype(dtype), HEADING)


def test_dimensions_of_one_size_are_still_told_apart() -> None:
    """n = 50 and n = 51 take equally many bytes: the header must say which it is."""
    blob = encode_delta(ramp(50, 5), HEADING)
    assert len(blob) == blob_size(51, 5, np.dtype(np.float32))
    with pytest.raises(CodecError, match=r"expected \(version, kind, n, k\) = \(1, 1, 51, 5\)"):
        decode_delta(blob, 51, 5, np.dtype(np.float32), HEADING)


@given(sent(max_n=60), st.data())
def test_every_truncation_and_every_padding_is_refused(
    each: tuple[Delta, Values], data: st.DataObject
) -> None:
    delta, values = each
    blob = encode_delta(delta, HEADING, values)
    cut = blob[: data.draw(st.integers(0, len(blob) - 1))]
    padded = blob + data.draw(st.binary(min_size=1, max_size=9))
    before = data.draw(st.binary(min_size=1, max_size=9)) + blob
    for wrong in (cut, padded, before, b""):
        with pytest.raises(CodecError, match=f"expected {len(blob)} bytes"):
            decode_like(delta, wrong, HEADING, values)


@given(deltas(max_n=60))
def test_a_padding_bit_that_is_set_is_refused(delta: Delta) -> None:
    blob = encode_delta(delta, HEADING)
    n, k = delta.n, delta.k
    assume(k < n)
    low_bits = (n // k).bit_length() - 1
    used = {"low": k * low_bits, "high": k + ((n - 1) >> low_bits)}
    start = HEADER_BYTES
    for bits in used.values():
        end = start + -(-bits // 8)
        for bit in range(bits % 8 or 8, 8):
            changed = bytearray(blob)
            changed[end - 1] |= 1 << bit
            with pytest.raises(CodecError, match="padding"):
                decode_like(delta, bytes(changed))
        start = end


def test_two_indices_in_the_other_order_are_refused() -> None:
    # l = 3: the low bits of 8 and 9, which share their high bits, stand side by side.
    delta = Delta(32, np.array([1, 8, 9]), np.ones(3, np.float32))
    blob = bytearray(encode_delta(delta, HEADING))
    low = int.from_bytes(blob[HEADER_BYTES : HEADER_BYTES + 2], "little")
    for swapped in (0b000_001_001, 0b001_001_001):
        assert swapped != low
        blob[HEADER_BYTES : HEADER_BYTES + 2] = swapped.to_bytes(2, "little")
        with pytest.raises(CodecError, match="strictly ascending"):
            decode_like(delta, bytes(blob))


def test_an_index_beyond_the_last_parameter_is_refused() -> None:
    delta = Delta(33, np.array([1, 8, 32]), np.ones(3, np.float32))
    blob = bytearray(encode_delta(delta, HEADING))
    blob[HEADER_BYTES] |= 0b11_000000  # the third index becomes 35, whose high bits are 32's
    with pytest.raises(CodecError, match=r"in \[0, 33\)"):
        decode_like(delta, bytes(blob))


def test_too_few_and_too_many_indices_are_refused() -> None:
    delta = Delta(33, np.array([1, 8, 32]), np.ones(3, np.float32))
    blob = bytearray(encode_delta(delta, HEADING))
    at = HEADER_BYTES + 2  # the high bits: one in each of three places
    for high in (0, 1, 0b111_1111):
        blob[at] = high
        blob[at + 1] = 0 if high < 0b111_1111 else blob[at + 1]
        with pytest.raises(CodecError, match="expected 3 indices; found"):
            decode_like(delta, bytes(blob))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 2])
def test_nan_and_infinity_are_refused(dtype: str, poison: float, at: int) -> None:
    values = np.ones(3, dtype)
    values[at] = poison
    delta = Delta(30, np.array([1, 2, 29]), values)
    with pytest.raises(CodecError, match="NaN or infinity"):
        decode_like(delta, encode_delta(delta, HEADING))


@given(sent(max_n=60), st.data())
def test_one_changed_byte_is_refused_or_the_one_encoding_of_another_delta(
    each: tuple[Delta, Values], data: st.DataObject
) -> None:
    blob = bytearray(encode_delta(each[0], HEADING, each[1]))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    expect_refused_or_canonical(each, bytes(blob), header_changed=at < HEADER_BYTES)


@given(sent(max_n=300), st.integers(0, 2**64))
def test_fuzzed_blobs_are_refused_or_canonical(each: tuple[Delta, Values], seed: int) -> None:
    rng = random.Random(seed)
    blob = encode_delta(each[0], HEADING, each[1])
    for _ in range(MUTATIONS):
        expect_refused_or_canonical(each, mutated(blob, rng))


def expect_refused_or_canonical(
    each: tuple[Delta, Values], blob: bytes, header_changed: bool = False
) -> None:
    """CodecError and nothing else, or exactly what encoding the result gives again."""
    delta, values = each
    try:
        decoded = decode_like(delta, blob, HEADING, values)
    except CodecError:
        return
    assert not header_changed
    assert encode_delta(decoded, HEADING, values) == blob
    assert np.isfinite(decoded.values).all()
    assert (decoded.n, decoded.k) == (delta.n, delta.k)


def mutated(blob: bytes, rng: random.Random) -> bytes:
    """``blob``, damaged in one to three ways."""
    content = bytearray(blob)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        some = rng.randbytes(rng.randint(1, 16))
        match rng.randrange(7):
            case 0:
                del content[at:]
            case 1:
                content[at:at] = some
            case 2:
                del content[at : at + len(some)]
            case 3:  # same length: reaches the deeper checks
                content[at : at + len(some)] = some[: len(content) - at]
            case 4 if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            case 5:  # the body alone
                place = rng.randrange(HEADER_BYTES, len(blob))
                content[place : place + 1] = some[:1]
            case 6:  # a header that claims any size
                content[62:78] = rng.choice([some.ljust(16, b"\xff"), b"\xff" * 16, bytes(16)])
    return bytes(content)


@pytest.mark.parametrize("claimed", [2**31, 2**40, 2**63, 2**64 - 1])
def test_a_claimed_size_allocates_nothing(claimed: int) -> None:
    delta = ramp(50, 5)
    blob = bytearray(encode_delta(delta, HEADING))
    blob[62:78] = struct.pack("<QQ", claimed, claimed)
    assert peak_bytes(bytes(blob), 50, 5) < 100_000


def test_a_short_blob_for_a_large_model_allocates_nothing() -> None:
    blob = encode_delta(ramp(50, 5), HEADING)
    assert peak_bytes(blob, 10**12, 10**9) < 100_000


def peak_bytes(blob: bytes, n: int, k: int) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode_delta(blob, n, k, np.dtype(np.float32), HEADING)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
