"""A model as bytes: one model and author, one blob; everything else is refused, and cheaply."""

from __future__ import annotations

import json
import pickle
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import ArchitectureError, BcflError, CodecError, ModelError
from bcfl.market.spec.architecture import Architecture, Limits
from bcfl.market.spec.layer_kinds import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Relu
from bcfl.market.spec.model_blob import (
    TrainedModel,
    decode_model_blob,
    encode_model_blob,
    max_blob_bytes,
)

AUTHOR = bytes(range(20))
ARCHITECTURE = Architecture(
    (1, 6, 6),
    (Conv2d(2, kernel=3), BatchNorm2d(), Relu(), MaxPool2d(2, 2), Flatten(), Linear(3)),
)
HEADER = 29


def weights(architecture: Architecture = ARCHITECTURE, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        slot.key: np.abs(rng.normal(size=slot.shape)).astype(np.float32)
        for slot in architecture.arrays()
    }


MODEL = TrainedModel(ARCHITECTURE, weights())
BLOB = encode_model_blob(MODEL, AUTHOR)
TEXT = ARCHITECTURE.to_json()


def blob_of(text: bytes, body: bytes = b"", claimed: int | None = None) -> bytes:
    """A header around any description and any bytes for weights."""
    length = len(text) if claimed is None else claimed
    return struct.pack("<4sB20sI", b"BCFM", 1, AUTHOR, length) + text + body


def same(one: TrainedModel, other: TrainedModel) -> bool:
    return one.architecture == other.architecture and all(
        one.weights[key].tobytes() == other.weights[key].tobytes() for key in one.weights
    )


def test_decoding_inverts_encoding():
    decoded = decode_model_blob(BLOB, AUTHOR)
    assert same(decoded, MODEL)
    assert encode_model_blob(decoded, AUTHOR) == BLOB


def test_the_layout_is_the_documented_one():
    arrays = b"".join(
        struct.pack(f"<{array.size}f", *array.ravel().tolist())
        for array in (MODEL.weights[slot.key] for slot in ARCHITECTURE.arrays())
    )
    assert blob_of(TEXT, arrays) == BLOB


def test_the_bytes_are_pinned():
    model = TrainedModel(
        Architecture((2,), (Linear(2),)),
        {"0.weight": np.eye(2, dtype=np.float32), "0.bias": np.float32([0.5, -1])},
    )
    assert encode_model_blob(model, AUTHOR) == (
        bytes.fromhex("4243464d01000102030405060708090a0b0c0d0e0f101112133a000000")
        + b'{"input_shape":[2],"layers":[{"kind":"linear","units":2}]}'
        + bytes.fromhex("0000803f00000000000000000000803f0000003f000080bf")
    )


def test_byte_order_and_memory_layout_of_the_arrays_do_not_matter():
    other = {key: np.asfortranarray(array) for key, array in MODEL.weights.items()}
    assert encode_model_blob(TrainedModel(ARCHITECTURE, other), AUTHOR) == BLOB


def test_the_author_is_part_of_the_blob():
    other = bytes(20)
    assert encode_model_blob(MODEL, other) != BLOB
    with pytest.raises(CodecError, match="as its author"):
        decode_model_blob(BLOB, other)
    with pytest.raises(CodecError, match="20 bytes"):
        encode_model_blob(MODEL, b"short")


def test_decoding_copies_no_weights_and_gives_read_only_views():
    wide = Architecture((1000,), (Linear(1000), Linear(2)))
    blob = encode_model_blob(TrainedModel(wide, weights(wide)), AUTHOR)
    tracemalloc.start()
    try:
        model = decode_model_blob(blob, AUTHOR)
        # Whether all numbers are finite takes a byte for each number, one array at a time.
        assert tracemalloc.get_traced_memory()[1] < len(blob) / 3
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="read-only"):
        model.weights["0.weight"][0, 0] = 1


def test_no_blob_within_the_limits_is_longer_than_the_most_to_ask_for():
    cost = ARCHITECTURE.check()
    limits = Limits(description_bytes=len(TEXT), parameters=cost.parameters)
    assert max_blob_bytes(limits) == len(BLOB)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "29 bytes of header; found 0"),
        (BLOB[:28], "29 bytes of header; found 28"),
        (BLOB[:HEADER], "truncated"),
        (BLOB[: HEADER + 10], "truncated"),
        (BLOB[:-1], "truncated, padded"),
        (BLOB[:-4], "truncated, padded"),
        (BLOB + b"\0", "truncated, padded"),
        (BLOB + BLOB, "truncated, padded"),
        (b"\x89PNG" + BLOB[4:], "starts with"),
        (BLOB[:4] + b"\2" + BLOB[5:], "starts with"),
        (pickle.dumps(list(range(100))), "starts with"),
        (blob_of(TEXT, claimed=2**32 - 1), "4294967295 bytes"),
    ],
)
def test_bytes_that_are_no_model_are_refused(blob, reason):
    with pytest.raises(CodecError, match=reason):
        decode_model_blob(blob, AUTHOR)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        TEXT.replace(b'"units":3', b'"units":1000000000'),
        TEXT.replace(b'"units":3', b'"units":-3'),
        TEXT.replace(b'"units":3', b'"units":3,"units":3'),
        TEXT.replace(b'"out_channels":2', b'"out_channels":65536'),
        TEXT.replace(b"relu", b"exec"),
        TEXT.replace(b",", b", "),
        b"[" * 10_000,
        b" " * 1_000_000,
    ],
)
def test_a_malicious_description_is_refused_before_anything_is_allocated(text):
    blob = blob_of(text, BLOB[HEADER + len(TEXT) :])
    tracemalloc.start()
    try:
        with pytest.raises(ArchitectureError):
            decode_model_blob(blob, AUTHOR)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(text) + 200_000
    finally:
        tracemalloc.stop()


def test_a_short_blob_cannot_claim_a_large_model():
    large = Architecture((1000,), (Linear(4000), Linear(10)))
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="take 16176040"):
            decode_model_blob(blob_of(large.to_json(), bytes(100)), AUTHOR)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_tasks_own_limits_are_the_ones_that_count():
    with pytest.raises(ArchitectureError, match="at most 20 parameters"):
        decode_model_blob(BLOB, AUTHOR, Limits(parameters=20))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("key", ["0.weight", "1.running_mean", "5.bias"])
def test_weights_that_are_not_finite_are_refused(key, value):
    spoilt = weights()
    spoilt[key].flat[-1] = value
    with pytest.raises(ModelError, match=f"{key} holds finite numbers"):
        TrainedModel(ARCHITECTURE, spoilt)
    at = BLOB.rindex(MODEL.weights[key].tobytes()) + MODEL.weights[key].nbytes - 4
    blob = BLOB[:at] + struct.pack("<f", value) + BLOB[at + 4 :]
    with pytest.raises(ModelError, match=f"{key} holds finite numbers"):
        decode_model_blob(blob, AUTHOR)


def test_a_negative_variance_is_refused():
    spoilt = weights()
    spoilt["1.running_var"][0] = -1
    with pytest.raises(ModelError, match="never negative"):
        TrainedModel(ARCHITECTURE, spoilt)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"5.bias": None}, r"missing: \['5.bias'\]"),
        ({"9.bias": np.zeros(3, np.float32)}, r"unknown: \['9.bias'\]"),
        ({"5.bias": np.zeros(4, np.float32)}, "5.bias is float32 of shape"),
        ({"5.bias": np.zeros((3, 1), np.float32)}, "5.bias is float32 of shape"),
        ({"5.bias": np.zeros(3)}, "5.bias is float32 of shape"),
        ({"5.bias": np.zeros(3, np.int32)}, "5.bias is float32 of shape"),
        ({"5.bias": np.zeros(3, object)}, "5.bias is float32 of shape"),
    ],
)
def test_weights_that_are_not_the_architectures_are_refused(change, reason):
    spoilt = {key: array for key, array in (weights() | change).items() if array is not None}
    with pytest.raises(ModelError, match=reason):
        TrainedModel(ARCHITECTURE, spoilt)


def refused_or_whole(blob: bytes) -> None:
    """No crash but a named one, little memory, and nothing accepted that has two spellings."""
    model, message = None, ""
    tracemalloc.start()
    try:
        model = decode_model_blob(blob, AUTHOR)
    except BcflError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20 * len(blob) + 200_000
    assert len(message) < 600
    assert model is None or encode_model_blob(model, AUTHOR) == blob


@given(st.lists(st.tuples(st.integers(0, len(BLOB) - 1), st.integers(0, 255)), max_size=4))
def test_flipped_bytes_are_refused_or_are_another_model(flips):
    blob = bytearray(BLOB)
    for at, value in flips:
        blob[at] = value
    refused_or_whole(bytes(blob))


@given(st.integers(0, len(BLOB)), st.integers(0, len(BLOB)), st.binary(max_size=40))
def test_spliced_bytes_are_refused_or_are_another_model(start, end, inserted):
    refused_or_whole(BLOB[:start] + inserted + BLOB[end:])


@given(st.data())
def test_mutated_descriptions_are_refused_or_are_another_architecture(data):
    tokens = [b"3", b"2", b"1", b"6", b"0", b"-1", b"65536", b"99999999999999999999", b"1e9"]
    tokens += [b"relu", b"linear", b"conv2d", b"units", b"kind", b"{", b"}", b"[", b"]", b",", b'"']
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        token = data.draw(st.sampled_from([each for each in tokens if each in text]))
        at = data.draw(st.sampled_from(find_all(text, token)))
        text = text[:at] + data.draw(st.sampled_from(tokens)) + text[at + len(token) :]
    refused_or_whole(blob_of(text, BLOB[HEADER + len(TEXT) :]))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(body):
    refused_or_whole(body)
    refused_or_whole(blob_of(body))


def find_all(text: bytes, token: bytes) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(token, at)]


def test_the_description_in_the_blob_is_json_that_anybody_can_read():
    length = struct.unpack_from("<I", BLOB, 25)[0]
    assert json.loads(BLOB[HEADER : HEADER + length])["input_shape"] == [1, 6, 6]
