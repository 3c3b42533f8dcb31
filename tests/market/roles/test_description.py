"""A task's description: read as it was written, and anything else refused by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcfl.core.errors import BcflError, CodecError, ConfigurationError, SealError
from bcfl.core.model import encode_model
from bcfl.keys.accounts import derive_account
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import cnn
from bcfl.market.roles.costs import expect_affordable, expect_within
from bcfl.market.roles.description import (
    fetch_description,
    fetch_verification_set,
    measuring_key,
    publish_description,
)
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.store.local import LocalStore
from tests.market.conftest import Market

BUYER = derive_account(0, "initiator", 0)


def test_it_comes_back_as_it_was_published(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    rules = FitnessRules(fusion=FusionSettings(strategy="I", steps=7), least_gain_ppm=-5)
    recommended = cnn(market.images.shape, 10)
    digest = publish_description(store, "digits", BUYER, market.verification, rules, recommended)
    found = fetch_description(store, digest, BUYER.address)
    assert (found.name, found.initiator_key, found.fitness) == ("digits", BUYER.public_key, rules)
    assert found.recommendation() == recommended
    fusion, measuring = market.verification.split()
    key = measuring_key(BUYER, found.measuring_set(1))
    verification = fetch_verification_set(store, found, 1, key, 10**7)
    for rows, half in zip(verification.parts(), (fusion, measuring[0]), strict=True):
        assert np.array_equal(verification.samples[rows], half[0])
        assert np.array_equal(verification.labels[rows], half[1])
    again = publish_description(store, "digits", BUYER, market.verification, rules, recommended)
    other = publish_description(store, "digits", BUYER, market.verification, FitnessRules())
    same, differs = (fetch_description(store, each, BUYER.address) for each in (again, other))
    assert found.asks_for_the_same(same)
    assert not found.asks_for_the_same(differs)


def test_nothing_that_lies_open_tells_of_the_measuring_half(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    publish_description(store, "x", BUYER, market.verification, FitnessRules())
    blobs = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    fusion, (measuring,) = market.verification.split()
    assert any(fusion[0][0].tobytes() in blob for blob in blobs)
    assert not any(sample.tobytes() in blob for sample in measuring[0] for blob in blobs)
    # nor can a guess be confirmed: the digest is of samples and salt
    guess = encode_model({"samples": measuring[0], "labels": measuring[1]})
    digest = hashlib.sha256(guess).digest()
    assert not any(text in blob for text in (digest, digest.hex().encode()) for blob in blobs)


def test_each_submission_has_a_measuring_set_of_its_own_while_they_last(
    market: Market, tmp_path: Path
) -> None:
    store, rules = LocalStore(tmp_path), FitnessRules()
    digest = publish_description(store, "x", BUYER, market.verification, rules, sets=2)
    found = fetch_description(store, digest, BUYER.address)
    sets = [found.measuring_set(number) for number in (1, 2, 3)]
    assert sets[0] != sets[1] == sets[2]
    keys = [measuring_key(BUYER, each) for each in sets]
    one, other = (fetch_verification_set(store, found, n + 1, keys[n], 10**7) for n in range(2))
    with pytest.raises(SealError):
        fetch_verification_set(store, found, 2, keys[0], 10**7)
    assert set(one.labels[one.parts()[1]]) == set(other.labels[other.parts()[1]]) == set(range(10))
    with pytest.raises(ConfigurationError, match="measuring sets: expected 1 to"):
        publish_description(store, "x", BUYER, market.verification, rules, sets=99)


def test_what_does_not_fit_the_task_is_not_recommended(market: Market, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="recommended architecture is for"):
        publish_description(
            LocalStore(tmp_path), "x", BUYER, market.verification, FitnessRules(), cnn((1, 8, 8), 7)
        )


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(description: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            description = description[name]
        if value is None:
            del description[last]
        else:
            description[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change("version", 1), "version 2 expected; found 1"),
        (change("classes", 10**9), "2 to 1024 classes"),
        (change("classes", "10"), "classes: Input should be a valid integer"),
        (change("measuring", []), "a measuring set, or more"),
        (change("name", "\x1b[31mred"), "printable"),
        (change("initiator_key", "00"), "public key of 64 bytes"),
        (change("initiator_key", None), "initiator_key: Field required"),
        (change("fusion_part", ["00"]), "digests of 32"),
        (change("fitness.fusion.steps", 0), "fusion.steps"),
        (change("fitness.fusion.evil", 1), "fitness.fusion.evil: Unexpected keyword argument"),
        (change("fitness.own_lift", "NaN"), "fitness.own_lift"),
        (change("code", "__import__('os')"), "code: Unexpected keyword argument"),
    ],
)
def test_a_description_that_says_something_else_is_refused(
    market: Market, tmp_path: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    store = LocalStore(tmp_path)
    digest = publish_description(store, "x", BUYER, market.verification, FitnessRules())
    description = json.loads(store.get(digest, 10**6))
    edit(description)
    with pytest.raises(ConfigurationError, match=said):
        fetch_description(store, store.put(json.dumps(description).encode()), BUYER.address)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 5000, b'"x"', b"\x80\x04"])
def test_bytes_that_are_no_description_are_refused(tmp_path: Path, text: bytes) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(ConfigurationError, match="no task description"):
        fetch_description(store, store.put(text), BUYER.address)


def test_a_verification_set_is_what_the_description_says(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = publish_description(store, "x", BUYER, market.verification, FitnessRules())
    whole = json.loads(store.get(digest, 10**6))
    key = measuring_key(BUYER, fetch_description(store, digest, BUYER.address).measuring[0])

    def fetched(most: int = 10**7, **changed: Any) -> None:
        text = json.dumps(whole | changed).encode()
        found = fetch_description(store, store.put(text), BUYER.address)
        fetch_verification_set(store, found, 1, key, most)

    fetched()
    size = whole["fusion_part_bytes"]
    with pytest.raises(CodecError, match="expected at most 1,000 bytes"):
        fetched(1000)
    with pytest.raises(CodecError):
        fetched(fusion_part_bytes=size - 1)
    with pytest.raises(CodecError, match="samples are of shape"):
        fetched(input_shape=[1, 4, 4])
    with pytest.raises(BcflError):
        fetched(fusion_part=[store.put(bytes(size)).hex()])


def test_a_task_that_would_cost_too_much_is_refused() -> None:
    expect_within(FitnessRules(), DEFAULT_LIMITS)
    with pytest.raises(ConfigurationError, match="5,000,000 parameters; here at most 1,000"):
        expect_within(FitnessRules(), Limits(parameters=1000))
    endless = FitnessRules(fusion=FusionSettings(steps=10**9))
    with pytest.raises(ConfigurationError, match="1,000,000,000 steps of fusion"):
        expect_within(endless, DEFAULT_LIMITS)


def test_a_task_whose_samples_make_its_models_too_costly_is_refused(market: Market) -> None:
    expect_affordable(FitnessRules(), market.verification)
    for rules, said in (
        (FitnessRules(limits=Limits(multiply_adds=10**10)), "multiplications to run"),
        (FitnessRules(fusion=FusionSettings(steps=10**6)), "multiplications to fuse"),
        (FitnessRules(FusionSettings(steps=1), Limits(features=10**6)), "features and logits"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            expect_affordable(rules, market.verification)
