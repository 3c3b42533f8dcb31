"""The canonical bytes of a model: one for each, and nothing else is one."""

from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.arrays import decode_model, encode_model, model_digest
from bcfl.core.errors import CodecError
from tests.consensus.spec.deltas import MUTATIONS
from tests.core.models import FLOATS, INTEGERS, Model, equal, models

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

GOLDEN = Path(__file__).parent / "golden" / "model.hex"


@given(models([*FLOATS, *INTEGERS, "bool"]))
def test_decoding_inverts_encoding(model: Model) -> None:
    decoded = decode_model(encode_model(model))
    assert equal(decoded, model)
    assert all(array.flags.writeable for array in decoded.values())


@given(models())
def test_the_bytes_show_neither_memory_layout_nor_byte_order(model: Model) -> None:
    swapped = {key: array.astype(array.dtype.newbyteorder(">")) for key, array in model.items()}
    assert encode_model(swapped) == encode_model(model)


@given(models())
def test_the_order_of_the_arrays_is_part_of_the_model(model: Model) -> None:
    turned = dict(reversed(model.items()))
    assert (model_digest(turned) == model_digest(model)) == (len(model) == 1)


def test_nan_has_bytes_too() -> None:
    """Whether a model is finite is for ``flatten`` to say."""
    model = {"a": np.array([np.nan, np.inf], np.float16)}
    assert equal(decode_model(encode_model(model)), model)


def test_the_golden_bytes() -> None:
    model = {
        "layer.weight": np.array([[1, -2, 0.5], [0, -0.0, 1e-7]], np.float32),
        "layer.bias": np.array([1 / 3, -1 / 3]),
        "échelle": np.array(65504, np.float16),
        "steps": np.array([-1, 2**40]),
        "mask": np.array([True, False]),
    }
    assert encode_model(model).hex() == GOLDEN.read_text().replace("\n", "")


def blob_of(*arrays: tuple[bytes, int, tuple[int, ...]], data: bytes = b"") -> bytes:
    """A model's bytes by hand: key, dtype code, shape of each."""
    head = struct.pack("<BI", 1, len(arrays))
    for key, code, shape in arrays:
        head += struct.pack("<H", len(key)) + key + struct.pack("<BB", code, len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape)
    return head + data


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "breaks off"),
        (b"\x01\x00", "breaks off"),
        (struct.pack("<BI", 2, 0), "version 1; found 2"),
        (struct.pack("<BI", 1, 3), "breaks off"),
        (struct.pack("<BI", 1, 2**32 - 1), "at most 65536 arrays; found 4294967295"),
        (blob_of((b"a", 12, (1,)), data=b"1234"), "dtype code 12"),
        (blob_of((b"a", 255, (1,)), data=b"1234"), "dtype code 255"),
        (blob_of((b"a", 1, (1,) * 33), data=b"1234"), "33 dimensions"),
        (blob_of((b"a", 1, (1,)), data=b"123"), r"is \d+ bytes; found"),
        (blob_of((b"a", 1, (1,)), data=b"12345"), r"is \d+ bytes; found"),
        (blob_of((b"a", 1, (2**40,)), data=b"1234"), "larger than any model"),
        (blob_of((b"a", 1, (2**32, 2**32)), data=b"1234"), "larger than any model"),
        (blob_of((b"a", 1, (2**63, 0))), "larger than any model"),
        (blob_of((b"a", 1, (2**34, 2**34, 0))), "larger than any model"),
        (blob_of((b"a", 1, (1,)), (b"a", 1, (1,)), data=b"12345678"), "'a' again"),
        (blob_of((b"\xff", 1, (1,)), data=b"1234"), "can't decode"),
        (blob_of((b"a", 11, (2,)), data=b"\x01\x02"), "expected bytes 0 and 1"),
        (struct.pack("<BIH", 1, 1, 65535) + b"a" * 9, "breaks off"),
        (blob_of((b"k" * 2**14, 1, (1,)), data=b"1234"), "dtype code 1 and 1 dimensions"),
    ],
)
def test_bytes_that_no_model_encodes_to_are_refused(blob: bytes, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        decode_model(blob)


@given(models([*FLOATS, *INTEGERS, "bool"]), st.integers(0, 2**64))
def test_fuzzed_blobs_are_refused_or_canonical(model: Model, seed: int) -> None:
    rng = random.Random(seed)
    blob = encode_model(model)
    for _ in range(MUTATIONS):
        damaged = mutated(blob, rng)
        try:
            decoded = decode_model(damaged)
        except CodecError:
            continue
        assert encode_model(decoded) == damaged


def mutated(blob: bytes, rng: random.Random) -> bytes:
    """``blob``, damaged in one to three ways; most of the damage is to the header."""
    content = bytearray(blob)
    for _ in range(rng.randint(1, 3)):
        at = min(int(rng.expovariate(1 / 20)), len(content))
        some = rng.randbytes(rng.randint(1, 9))
        match rng.randrange(6):
            case 0:
                del content[at:]
            case 1:
                content[at:at] = some
            case 2:
                del content[at : at + len(some)]
            case 3:
                content[at : at + len(some)] = some
            case 4 if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            case 5:
                content[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), bytes(7) + b"\x80"])
    return bytes(content)


@pytest.mark.parametrize(
    "blob",
    [
        blob_of((b"a", 2, (2**34,)), data=bytes(64)),
        blob_of((b"a", 2, (2**17, 2**17)), data=bytes(64)),
        struct.pack("<BI", 1, 2**16) + bytes(64),
        struct.pack("<BI", 1, 2**32 - 1) + bytes(64),
        struct.pack("<BIH", 1, 1, 65535) + bytes(64),
    ],
    ids=["entries", "shape", "arrays", "more arrays", "key"],
)
def test_a_claimed_size_allocates_nothing(blob: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode_model(blob)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_megabyte_of_tiny_arrays_costs_no_multiple_of_it_worth_speaking_of() -> None:
    entry = struct.pack("<HBB", 0, 1, 0)
    blob = struct.pack("<BI", 1, 2**16) + entry * (2**20 // len(entry))
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="again"):
            decode_model(blob)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
