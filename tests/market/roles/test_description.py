"""A task's description: read as it was written, and anything else refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcfl.core.errors import BcflError, CodecError, ConfigurationError
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import cnn
from bcfl.market.roles.costs import expect_affordable, expect_within
from bcfl.market.roles.description import (
    fetch_description,
    fetch_verification_set,
    publish_description,
)
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.store.local import LocalStore
from tests.market.conftest import Market

KEY = bytes(range(64))


def test_it_comes_back_as_it_was_published(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    rules = FitnessRules(fusion=FusionSettings(strategy="I", steps=7), least_gain_ppm=-5)
    recommended = cnn(market.images.shape, 10)
    digest = publish_description(store, "digits", KEY, market.verification, rules, recommended)
    found = fetch_description(store, digest)
    assert (found.name, found.initiator_key, found.fitness) == ("digits", KEY, rules)
    assert found.recommendation() == recommended
    verification = fetch_verification_set(store, found, 10**7)
    assert np.array_equal(verification.samples, market.verification.samples)
    assert np.array_equal(verification.labels, market.verification.labels)
    assert [rows.tolist() for rows in verification.parts()] == [
        rows.tolist() for rows in market.verification.parts()
    ]
    again = publish_description(store, "digits", KEY, market.verification, rules, recommended)
    assert again == digest


def test_what_does_not_fit_the_task_is_not_recommended(market: Market, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="recommended architecture is for"):
        publish_description(
            LocalStore(tmp_path), "x", KEY, market.verification, FitnessRules(), cnn((1, 8, 8), 7)
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
        (change("version", 2), "version 1 expected; found 2"),
        (change("classes", 10**9), "2 to 1024 classes"),
        (change("classes", "10"), "classes: Input should be a valid integer"),
        (change("seed", -1), "seed lies in"),
        (change("name", "\x1b[31mred"), "printable"),
        (change("initiator_key", "00"), "public key of 64 bytes"),
        (change("initiator_key", None), "initiator_key: Field required"),
        (change("verification", ["00"]), "digests of 32"),
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
    digest = publish_description(store, "x", KEY, market.verification, FitnessRules())
    description = json.loads(store.get(digest, 10**6))
    edit(description)
    with pytest.raises(ConfigurationError, match=said):
        fetch_description(store, store.put(json.dumps(description).encode()))


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 5000, b'"x"', b"\x80\x04"])
def test_bytes_that_are_no_description_are_refused(tmp_path: Path, text: bytes) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(ConfigurationError, match="no task description"):
        fetch_description(store, store.put(text))


def test_a_verification_set_is_what_the_description_says(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = publish_description(store, "x", KEY, market.verification, FitnessRules())
    whole = json.loads(store.get(digest, 10**6))

    def fetched(most: int = 10**7, **changed: Any) -> None:
        found = fetch_description(store, store.put(json.dumps(whole | changed).encode()))
        fetch_verification_set(store, found, most)

    fetched()
    size = whole["verification_bytes"]
    with pytest.raises(CodecError, match="expected at most 1,000 bytes"):
        fetched(1000)
    with pytest.raises(CodecError):
        fetched(verification_bytes=size - 1)
    with pytest.raises(ConfigurationError, match="samples are of shape"):
        fetched(input_shape=[1, 4, 4])
    with pytest.raises(BcflError):
        fetched(verification=[store.put(bytes(size)).hex()])


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
