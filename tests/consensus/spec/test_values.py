"""Values in fewer bits: as documented, by fair lots, in exactly one encoding."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.values import Values
from bcfl.core.errors import CodecError
from tests.consensus.spec.deltas import HEADING, SHORT, as_sent, decode_like, ramp, same, sent

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

GOLDEN = Path(__file__).parent / "golden" / "values.json"
BLOCKS = {"float16": 4096, "int8": 512, "ternary": 256}
HEADER_BYTES = 78
FLOAT32 = np.dtype(np.float32)


def dense(values: Any, dtype: Any = np.float32) -> Delta:
    return Delta(len(values), np.arange(len(values)), np.array(values, dtype))


def to_float32(number: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return found


def float16_at_most(number: float) -> float:
    (bits,) = struct.unpack("<h", struct.pack("<e", abs(number)))
    for candidate in (bits + 1, bits, bits - 1):
        (found,) = struct.unpack("<e", struct.pack("<h", max(candidate, 0)))
        if found <= abs(number):
            return float(found)
    raise AssertionError


def code_of(value: float, scale: float, top: int, chance: float, values: Values) -> float:
    """One code, in plain Python."""
    if scale == 0:
        return 0.0
    wanted = max(-top, min(top, value * top / scale))
    if values == "float16":
        inner = float16_at_most(wanted)
        (bits,) = struct.unpack("<h", struct.pack("<e", inner))
        (outer,) = struct.unpack("<e", struct.pack("<h", bits + 1))
        below, above = (inner, outer) if wanted >= 0 else (-outer, -inner)
        if -inner == wanted:
            below, above = -inner, 1.0
    else:
        below, above = float(wanted // 1), float(wanted // 1 + 1)
    for code in (below, above):
        if to_float32(scale * code / top) == value:
            return code
    return above if wanted - below > chance * (above - below) else below


def short_as_documented(delta: Delta, values: Values) -> bytes:
    """The module's docstring, value by value."""
    numbers, block = delta.values.astype(np.float64).tolist(), BLOCKS[values]
    top = 127 if values == "int8" else 1
    whose = HEADING.author + struct.pack("<Q", HEADING.round) + HEADING.base
    seed = hashlib.sha256(b"bcfl values" + whose).digest()
    lots = hashlib.shake_128(seed + bytes(8)).digest(4 * len(numbers))
    chances = [number / 2**32 for number in struct.unpack(f"<{len(numbers)}I", lots)]
    scales, codes = [], []
    for start in range(0, len(numbers), block):
        part = numbers[start : start + block]
        scale = to_float32(max(map(abs, part)))
        assert scale <= max(map(abs, part)), "only float64 could round up, see below"
        scale = scale if scale >= 2**-100 else 0.0
        scales.append(scale)
        codes += [
            code_of(value, scale, top, chance, values)
            for value, chance in zip(part, chances[start:], strict=False)
        ]
    written = struct.pack(f"<{len(scales)}f", *scales)
    if values == "float16":
        return written + struct.pack(f"<{len(codes)}e", *(code + 0.0 for code in codes))
    if values == "int8":
        return written + struct.pack(f"<{len(codes)}b", *map(int, codes))
    digits = [int(code) % 3 for code in codes] + [0] * (-len(codes) % 5)
    fives = zip(*[iter(digits)] * 5, strict=True)
    return written + bytes(sum(d * 3**i for i, d in enumerate(five)) for five in fives)


@given(sent(max_n=3000))
def test_what_is_decoded_is_what_was_sent_and_is_sent_again_as_it_is(
    each: tuple[Delta, Values],
) -> None:
    delta, values = each
    blob = encode_delta(delta, HEADING, values)
    assert len(blob) == blob_size(delta.n, delta.k, delta.values.dtype, values)
    found = decode_like(delta, blob, HEADING, values)
    assert found.indices.tolist() == delta.indices.tolist()
    assert found.values.dtype == delta.values.dtype
    assert encode_delta(found, HEADING, values) == blob
    assert same(as_sent(found, values), found)
    assert np.abs(found.values).max() <= np.abs(delta.values).max()


@given(sent(max_n=700))
def test_the_bytes_are_those_of_the_documentation(each: tuple[Delta, Values]) -> None:
    delta, values = each
    if values == "float32" or delta.values.dtype != FLOAT32:
        return
    blob = encode_delta(delta, HEADING, values)
    documented = short_as_documented(delta, values)
    assert blob[len(blob) - len(documented) :] == documented


def test_the_golden_bytes() -> None:
    numbers = [0.5, -0.5, 1e-6, 3.25, -1e4, 0.0, -0.0, 1 / 3]
    delta = Delta(1000, np.array([0, 1, 17, 256, 511, 512, 998, 999]), np.float32(numbers))
    golden = json.loads(GOLDEN.read_text())
    assert {values: encode_delta(delta, HEADING, values).hex() for values in SHORT} == golden


@pytest.mark.parametrize(
    ("values", "most"), [("float16", 30_800), ("int8", 20_900), ("ternary", 13_000)]
)
def test_a_hundredth_of_a_million_is_small(values: Values, most: int) -> None:
    """Issue 13; as float32 it is 50,781 bytes."""
    assert blob_size(1_000_000, 10_000, FLOAT32, values) <= most


@pytest.mark.parametrize("values", SHORT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lots_keep_the_mean_and_stay_beside_the_value(values: Values, dtype: Any) -> None:
    given = np.full(40_000, 0.3, dtype)
    given[::256] = 1.0  # every block's scale
    found = as_sent(dense(given, dtype), values).values
    assert (found[::256] == 1.0).all()
    step = {"float16": 2.0**-12, "int8": 1 / 127, "ternary": 1.0}[values]
    others = np.delete(found, np.s_[::256])
    assert len(np.unique(others)) == 2
    assert (np.abs(others - 0.3) < step).all()
    assert abs(others.mean() - 0.3) < 4 * step / np.sqrt(len(others))


@pytest.mark.parametrize("values", SHORT)
def test_everybody_draws_other_lots_in_every_round_and_of_every_model(values: Values) -> None:
    delta = dense(np.linspace(-1, 1, 999) ** 3)
    headings = [
        HEADING,
        Heading(bytes(20), HEADING.round, HEADING.base),
        Heading(HEADING.author, HEADING.round + 1, HEADING.base),
        Heading(HEADING.author, HEADING.round, bytes(32)),
    ]
    assert len({encode_delta(delta, each, values)[HEADER_BYTES:] for each in headings}) == 4
    assert encode_delta(delta, HEADING, values) == encode_delta(delta, HEADING, values)


@pytest.mark.parametrize("values", SHORT)
def test_an_outlier_costs_its_own_block_alone(values: Values) -> None:
    numbers = np.full(2 * BLOCKS[values], 1e-3, np.float32)
    numbers[0] = 1e6
    found = as_sent(dense(numbers), values).values
    assert found[0] == numbers[0]
    assert (found[BLOCKS[values] :] == numbers[-1]).all()


@pytest.mark.parametrize("values", SHORT)
def test_a_block_of_next_to_nothing_is_zeros(values: Values) -> None:
    least = np.float32(2.0**-100)
    assert as_sent(dense([least, 0]), values).values.tolist() == [least, 0]
    assert as_sent(dense([np.nextafter(least, np.float32(0)), 0]), values).values.tolist() == [0, 0]
    assert not np.signbit(as_sent(dense([-1e-40, -0.0]), values).values).any()


@pytest.mark.parametrize("values", SHORT)
def test_the_largest_floats_survive_and_larger_ones_are_refused(values: Values) -> None:
    largest = np.finfo(np.float32).max
    assert as_sent(dense([largest, -largest]), values).values.tolist() == [largest, -largest]
    for number in (np.nan, np.inf, -np.inf, 2.0 * float(largest)):
        with pytest.raises(CodecError, match="float32's range"):
            encode_delta(dense([1.0, number], np.float64), HEADING, values)


@pytest.mark.parametrize("values", SHORT)
def test_a_float64_s_scale_is_never_above_it(values: Values) -> None:
    number = 1 + 2.0**-24 + 2.0**-30  # float32's nearest is above
    (found,) = as_sent(dense([number], np.float64), values).values
    assert found == 1.0


@pytest.mark.parametrize("values", SHORT)
def test_models_of_other_floats_are_refused_by_name(values: Values) -> None:
    delta = ramp(50, 5, "float16")
    for act in (
        lambda: encode_delta(delta, HEADING, values),
        lambda: blob_size(50, 5, np.dtype(np.float16), values),
        lambda: decode_like(delta, b"", HEADING, values),
    ):
        with pytest.raises(CodecError, match=f"values='{values}' shortens.*found float16"):
            act()


def test_one_way_of_sending_is_not_taken_for_another() -> None:
    delta = dense([1.0])  # as float16 and as int8 it takes up to two bytes
    blob = bytearray(encode_delta(delta, HEADING, "int8"))
    for values in ("float32", "float16", "ternary"):
        with pytest.raises(CodecError, match="expected"):
            decode_delta(bytes(blob), 1, 1, FLOAT32, HEADING, values)


def poked(values: Values, at: int, content: bytes) -> bytes:
    """The bytes of ten values, with other ones from ``at`` on, counted behind the header."""
    blob = bytearray(encode_delta(dense(np.linspace(-1, 1, 10)), HEADING, values))
    start = HEADER_BYTES + at if at >= 0 else len(blob) + at
    blob[start : start + len(content)] = content
    return bytes(blob)


@pytest.mark.parametrize("values", SHORT)
@pytest.mark.parametrize(
    ("scale", "reason"),
    [
        (struct.pack("<f", number), "expected scales")
        for number in (np.nan, np.inf, -np.inf, -1.0, -0.0, 2.0**-101, 1e-45)
    ]
    + [(bytes(4), "largest code")],
)
def test_a_scale_that_no_encoder_writes_is_refused(
    values: Values, scale: bytes, reason: str
) -> None:
    with pytest.raises(CodecError, match=reason):
        decode_delta(poked(values, 0, scale), 10, 10, FLOAT32, HEADING, values)


@pytest.mark.parametrize(
    ("values", "at", "content", "reason"),
    [
        ("int8", 4, b"\x80", "found -128"),
        ("int8", 4, bytes(10), "expected 127 as a block's largest code"),
        ("int8", 4, b"\x7e" * 10, "expected 127 as a block's largest code"),
        ("float16", 4, struct.pack("<e", 1.5), r"in \[-1, 1\]"),
        ("float16", 6, struct.pack("<e", float("nan")), r"in \[-1, 1\]"),
        ("float16", 6, struct.pack("<e", float("inf")), r"in \[-1, 1\]"),
        ("float16", 6, struct.pack("<e", -0.0), "no -0"),
        ("float16", 4, struct.pack("<10e", *[0.5] * 10), "expected 1 as a block's largest code"),
        ("ternary", 4, b"\xf3", "below 243"),
        ("ternary", 4, b"\xff", "below 243"),
        ("ternary", 4, bytes(2), "expected 1 as a block's largest code"),
    ],
)
def test_codes_that_no_encoder_writes_are_refused(
    values: Values, at: int, content: bytes, reason: str
) -> None:
    with pytest.raises(CodecError, match=reason):
        decode_delta(poked(values, at, content), 10, 10, FLOAT32, HEADING, values)


@given(st.integers(1, 4), st.integers(1, 242))
def test_digits_beyond_the_last_value_are_zeros(k: int, byte: int) -> None:
    blob = bytearray(encode_delta(dense([1.0] * k), HEADING, "ternary"))
    blob[-1] = byte
    if byte >= 3**k:
        with pytest.raises(CodecError, match="zeros in the padding"):
            decode_delta(bytes(blob), k, k, FLOAT32, HEADING, "ternary")
    else:
        decode_delta(bytes(blob), k, k, FLOAT32, HEADING, "ternary")
