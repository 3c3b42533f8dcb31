"""What members that share a process share of their work, and what none of them can slip in."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from flwr.app import Array

from bcfl.consensus import round_cache
from bcfl.consensus.round_cache import RoundCache
from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.update import updates_of
from bcfl.core.errors import CodecError
from bcfl.core.model import model_digest
from bcfl.flower.handlers import to_array_record, to_arrays

MODEL = {"w": np.arange(4, dtype=np.float32), "b": np.ones(2, np.float32)}
KIND = updates_of(Rules(gamma=1.0), MODEL)
HEADING = Heading(b"a" * 20, 1, b"m" * 32)
BLOB = KIND.encode(Delta(6, slice(None), np.ones(6, np.float32)), HEADING)


def test_it_is_one_for_a_round_and_gone_with_whoever_held_it() -> None:
    first = RoundCache.of(b"rules", 1, b"model")
    first.keep(BLOB)
    assert RoundCache.of(b"rules", 1, b"model") is first
    for other in ((b"others", 1, b"model"), (b"rules", 2, b"model"), (b"rules", 1, b"another")):
        assert RoundCache.of(*other) is not first
    del first
    assert not RoundCache.of(b"rules", 1, b"model").blobs


def test_other_bytes_never_have_the_digest_that_they_are_said_to_have() -> None:
    cache = RoundCache()
    digest = cache.keep(BLOB)
    assert cache.digest(bytes(bytearray(BLOB)), digest) == digest
    other = BLOB[:-1] + b"\1"
    assert cache.digest(other, digest) == hashlib.sha256(other).digest()
    assert cache.digest(other, bytes(32)) == hashlib.sha256(other).digest()
    assert cache.blobs == {digest: BLOB}


def test_a_record_that_is_changed_after_it_was_hashed_is_hashed_again() -> None:
    cache, record = RoundCache(), to_array_record(MODEL)
    assert cache.model_digest(record, to_arrays(record)) == model_digest(MODEL)
    for key, array in (("w", MODEL["w"] + 1), ("c", MODEL["b"])):
        record[key] = Array(array)
        assert cache.model_digest(record, to_arrays(record)) == model_digest(to_arrays(record))


def test_what_does_not_decode_for_one_author_is_not_taken_for_another_s() -> None:
    cache = RoundCache()
    digest = cache.keep(BLOB)
    update = cache.decode(KIND, digest, BLOB, HEADING)
    assert cache.decode(KIND, digest, BLOB, HEADING) is update
    for _ in range(2):
        with pytest.raises(CodecError, match="expected the delta of"):
            cache.decode(KIND, digest, BLOB, Heading(b"b" * 20, 1, b"m" * 32))


def test_other_updates_are_limited_anew() -> None:
    cache = RoundCache()
    short, long, longest = (Delta(6, slice(None), np.full(6, x, np.float32)) for x in (1, 2, 4))
    for updates in ({0: short, 1: long}, {0: short, 1: longest}, {0: long}, {0: short, 1: long}):
        expected, found = KIND.limited(updates), cache.limited(KIND, updates)
        assert found.keys() == expected.keys()
        assert all(found[m].values.tolist() == expected[m].values.tolist() for m in found)
        assert cache.limited(KIND, updates) == found
        found.clear()


def test_a_model_that_others_rate_too_is_made_once_and_nobody_can_change_it_for_them() -> None:
    cache, update = RoundCache.of(b"rules", 1, b"model"), Delta(6, slice(None), np.ones(6))
    made: list[Delta] = []

    def make(update: Delta) -> dict[str, np.ndarray]:
        made.append(update)
        return MODEL

    for _ in range(2):  # a process that has one member
        cache.record(update, make)
    assert len(made) == 2
    assert RoundCache.of(b"rules", 1, b"model") is cache
    for _ in range(3):
        record = cache.record(update, make)
        assert model_digest(to_arrays(record)) == model_digest(MODEL)
        record["w"] = Array(np.zeros(1))
        record["b"].data = b""
    assert len(made) == 3


def test_models_are_kept_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    size = to_array_record(MODEL).count_bytes()
    monkeypatch.setattr(round_cache, "_MOST_BYTES", 2 * size + 1)
    cache, made = RoundCache.of(b"rules", 1, b"model"), list[float]()
    assert RoundCache.of(b"rules", 1, b"model") is cache

    def make(update: float) -> dict[str, np.ndarray]:
        made.append(update)
        return MODEL

    updates = [float(each) for each in range(3)]
    for update in updates * 2:
        cache.record(update, make)
    assert made == [0, 1, 2, 2]
