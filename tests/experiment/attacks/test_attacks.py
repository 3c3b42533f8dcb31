"""What each attack does to labels, updates and ballots, and that nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.experiment.attacks import Attack, Gaussian, LabelFlip, LyingReviewer, NoAttack, SignFlip

BEFORE = {"w": np.array([1.0, 2.0], np.float32), "b": np.array([0.5], np.float32)}
AFTER = {"w": np.array([1.5, 1.0], np.float32), "b": np.array([0.5], np.float32)}
ALL = [SignFlip(0.3), Gaussian(0.3), LabelFlip(0.3), LyingReviewer(0.3), NoAttack()]


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    ("fraction", "clients", "malicious"),
    [
        (0.0, 10, []),
        (0.3, 10, [7, 8, 9]),
        (0.25, 10, [7, 8, 9]),
        (0.24, 10, [8, 9]),
        (0.4, 5, [3, 4]),
        (0.1, 4, []),
    ],
)
def test_the_last_clients_attack(fraction: float, clients: int, malicious: list[int]) -> None:
    assert SignFlip(fraction).malicious(clients) == set(malicious)


def test_sign_flip_walks_the_other_way() -> None:
    poisoned = SignFlip(0.3, scale=4.0).update(BEFORE, AFTER, rng())
    assert poisoned["w"].tolist() == [-1.0, 6.0]
    assert poisoned["b"].tolist() == [0.5]


def test_gaussian_adds_noise_of_the_given_deviation() -> None:
    zeros = {"w": np.zeros(20_000, np.float32)}
    noise = Gaussian(0.3, scale=2.0).update(zeros, zeros, rng())["w"]
    assert abs(noise.std() - 2.0) < 0.05
    assert abs(noise.mean()) < 0.05


def test_gaussian_repeats_with_its_generator() -> None:
    attack = Gaussian(0.3)
    one, same = (attack.update(BEFORE, AFTER, rng()) for _ in range(2))
    assert (one["w"] == same["w"]).all()
    other = attack.update(BEFORE, AFTER, np.random.default_rng(8))
    assert (one["w"] != other["w"]).any()


def test_label_flip_mirrors_the_classes() -> None:
    assert LabelFlip(0.3).labels(np.array([0, 1, 9]), 10).tolist() == [9, 8, 0]


def test_lying_reviewers_lift_their_own_and_reverse_the_rest() -> None:
    honest = {0: -0.1, 1: -0.2, 2: -3.0, 8: -9.0}
    lies = LyingReviewer(0.3).ratings(honest, {7, 8, 9})
    assert sorted(lies, key=lambda member: -lies[member]) == [8, 2, 1, 0]


def test_lying_reviewers_lie_even_about_nobody() -> None:
    assert LyingReviewer(0.3).ratings({}, {9}) == {}


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: type(attack).__name__)
def test_updates_keep_keys_shapes_dtypes_and_leave_their_input_alone(attack: Attack) -> None:
    before = {key: array.copy() for key, array in BEFORE.items()}
    after = {key: array.copy() for key, array in AFTER.items()}
    poisoned = attack.update(before, after, rng())
    assert {key: (array.shape, array.dtype) for key, array in poisoned.items()} == {
        key: (array.shape, array.dtype) for key, array in AFTER.items()
    }
    assert all((before[key] == BEFORE[key]).all() for key in BEFORE)
    assert all((after[key] == AFTER[key]).all() for key in AFTER)


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: type(attack).__name__)
def test_labels_stay_labels(attack: Attack) -> None:
    labels = attack.labels(np.arange(10), 10)
    assert sorted(labels.tolist()) == list(range(10))


def test_nobody_attacks_without_an_attack() -> None:
    attack = NoAttack()
    assert attack.malicious(10) == set()
    assert attack.update(BEFORE, AFTER, rng()) is AFTER
    assert attack.ratings({1: 2.0}, set()) == {1: 2.0}
