"""What each attack does to data, updates and ballots, and that nothing else is touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from bcfl.core.errors import ConfigurationError
from bcfl.experiment import attacks
from bcfl.experiment.attacks import (
    Alie,
    Attack,
    Backdoor,
    Bandit,
    FangKrum,
    FangTrimmedMean,
    Gaussian,
    Ipm,
    Known,
    LabelFlip,
    Mimic,
    MinMax,
    MinSum,
    ModelReplacement,
    NoAttack,
    Plagiarist,
    PoisonedFl,
    PoisonedReference,
    ReferenceFitting,
    SignFlip,
    Sleeper,
    Stale,
    SupportStuffing,
)
from bcfl.experiment.attacks.backdoor import Trigger
from bcfl.experiment.attacks.coalition import Coalition, poison
from bcfl.experiment.clients.client_data import ClientData

KINDS = [getattr(attacks, name) for name in attacks.__all__]
ALL = [kind(0.3) for kind in KINDS if issubclass(kind, Attack) and kind is not Attack]
N, KEPT = 40, 8


def known(**values: Any) -> Known:
    rng = np.random.default_rng(3)
    honest = rng.normal(0.5, 1.0, (6, N)).astype(np.float32)
    honest[:, ::2] = 0  # what they do not send
    own = rng.normal(0.5, 1.0, (2, N)).astype(np.float32)
    base = np.zeros(N, np.float32)

    def losses(models: np.ndarray) -> Sequence[float]:
        return [float(np.abs(model - honest[4]).sum()) for model in models]

    last = np.full(N, 0.25, np.float32)
    given = Known(1, base, own, honest, last, KEPT, losses, np.random.default_rng(7))
    return replace(given, **values)


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


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: type(attack).__name__)
def test_updates_are_rows_of_finite_values_repeat_and_leave_what_is_known_alone(
    attack: Attack,
) -> None:
    given, same = known(), known()
    rows = attack.craft(given)
    assert rows.shape == given.own.shape
    assert np.isfinite(rows).all()
    assert np.array_equal(rows, attack.craft(same))
    for name in ("base", "own", "honest", "last"):
        assert np.array_equal(getattr(given, name), getattr(known(), name)), name


def test_sign_flip_walks_the_other_way_and_replacement_further() -> None:
    own = np.array([[0.5, -1.0]], np.float32)
    assert SignFlip(scale=4.0).craft(known(own=own)).tolist() == [[-2.0, 4.0]]
    assert ModelReplacement(scale=10.0).craft(known(own=own)).tolist() == [[5.0, -10.0]]


def test_gaussian_adds_noise_of_the_given_deviation() -> None:
    noise = Gaussian(scale=2.0).craft(known(own=np.zeros((2, 20_000), np.float32)))
    assert abs(noise.std() - 2.0) < 0.05
    assert abs(noise.mean()) < 0.05


def test_those_that_hide_stay_as_near_as_the_honest_are() -> None:
    given = known()
    honest = given.honest.astype(np.float64)
    apart = ((honest[:, None] - honest[None]) ** 2).sum(2)
    for attack, most in ((MinMax(), apart.max()), (MinSum(), apart.sum(1).max())):
        distances = ((honest - attack.craft(given)[0]) ** 2).sum(1)
        found = distances.max() if type(attack) is MinMax else distances.sum()
        assert 0.98 * most < found <= most * (1 + 1e-6)
    assert np.dot(MinSum().craft(given)[0], honest.mean(0)) < np.dot(*[honest.mean(0)] * 2)


def test_fang_goes_beyond_the_honest_and_is_chosen_by_krum() -> None:
    given = known()
    low, high, mean = (f(given.honest, axis=0) for f in (np.min, np.max, np.mean))
    rows = FangTrimmedMean().craft(given)
    assert (np.where(mean > 0, rows <= low, rows >= high)).all()
    (row, other) = FangKrum().craft(given)
    assert np.array_equal(row, other)
    assert np.dot(row, mean) < 0
    everybody = np.concatenate([[row, other], given.honest])
    apart = np.sort(((everybody[:, None] - everybody[None]) ** 2).sum(2), axis=1)
    assert apart[:, 1:5].sum(1).argmin() < 2  # m − f − 2 neighbours


def test_who_trains_nothing_repeats_somebody() -> None:
    given = known()
    assert np.array_equal(Mimic().craft(given)[1], given.honest[0])
    assert np.array_equal(Plagiarist().craft(given)[0], given.honest[4])
    assert np.allclose(Stale().craft(given), 0.25, atol=1e-3)


def test_stuffing_goes_where_the_honest_send_nothing() -> None:
    (row, _) = SupportStuffing().craft(known())
    assert np.flatnonzero(row).tolist() == [i for i in range(0, N, 2) if row[i]]
    assert np.count_nonzero(row) == KEPT
    dense = SupportStuffing().craft(known(kept=N))
    assert np.count_nonzero(dense[0]) == N


def test_poisoned_fl_keeps_its_direction_and_fades_where_nobody_follows() -> None:
    memory: dict[str, Any] = {}
    rng = np.random.default_rng(5)
    first = PoisonedFl().craft(known(memory=memory))[0]
    against = (-0.1 * np.sign(first)).astype(np.float32)
    for round_ in range(2, 5):
        moved = against * round_ + rng.normal(0, 1e-3, N).astype(np.float32)
        row = PoisonedFl().craft(known(round=round_, base=moved, last=against, memory=memory))[0]
        assert (np.sign(row)[row != 0] == np.sign(first)[row != 0]).all()
    assert memory["strength"] == pytest.approx(8 * 0.7**3)


def test_the_bandit_tries_all_and_then_plays_what_paid() -> None:
    bandit = Bandit(arms=(SignFlip(), Mimic(), Ipm()))
    memory: dict[str, Any] = {}
    played: list[int] = []

    def losses(models: np.ndarray) -> list[float]:
        return [sum(2.0 if arm == 1 else 0.5 for arm in played)]

    for _ in range(7):
        bandit.craft(known(memory=memory, losses=losses))
        played.append(memory["arm"])
    assert played == [0, 1, 2, 1, 1, 1, 1]


def data(count: int = 12) -> ClientData:
    images = np.linspace(0, 0.9, count * 64, dtype=np.float32).reshape(count, 1, 8, 8)
    return ClientData(images, np.arange(count) % 10, images[:2], np.array([0, 9]))


def test_labels_are_mirrored_by_some_and_kept_by_all_others() -> None:
    poisoned = LabelFlip().data(data(), 10, None)
    assert poisoned.train_labels.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 8]
    assert poisoned.validation_labels.tolist() == [9, 0]
    honest = data()
    assert SignFlip().data(honest, 10, None) is honest
    fitted = ReferenceFitting().data(data(), 10, data(4))
    assert fitted.train_labels.tolist()[12:] == [0, 1, 2, 3] * 3


def test_only_the_malicious_clients_data_are_poisoned() -> None:
    shares = [data(5), data(6), data(7)]
    poisoned = poison(shares, LabelFlip(0.3), frozenset({2}), 10)
    assert poisoned[0] is shares[0]
    assert poisoned[1] is shares[1]
    assert (poisoned[2].train_labels == 9 - shares[2].train_labels).all()
    assert poisoned[2].train_images is shares[2].train_images


def test_a_backdoor_marks_images_and_calls_them_zero() -> None:
    poisoned = Backdoor().data(data(), 10, None)
    assert poisoned.train_labels[12:].tolist() == [0] * 12
    changed = (poisoned.train_images[12:] != data().train_images).sum(axis=(1, 2, 3))
    assert set(changed.tolist()) <= {4, 5}
    assert np.array_equal(poisoned.train_images[:12], data().train_images)
    assert SignFlip().triggered(data().train_images) is None


@pytest.mark.parametrize("trigger", get_args(Trigger))
def test_a_trigger_marks_every_image_and_leaves_the_range(trigger: Trigger) -> None:
    images = data().train_images
    marked = Backdoor(trigger=trigger).triggered(images)
    assert ((marked != images).sum(axis=(1, 2, 3)) > 0).all()
    assert images.min() <= marked.min() <= marked.max() <= images.max()
    assert marked.dtype == images.dtype


def test_a_poisoned_reference_has_the_accomplices_part_mirrored() -> None:
    labels = PoisonedReference(0.4).reference_labels(np.zeros(20, np.int64), 10, 10)
    assert labels.tolist() == ([0] * 6 + [9] * 4) * 2


@pytest.mark.parametrize(
    ("ballots", "order"),
    [("honest", [0, 1, 2, 8]), ("front", [8, 2, 1, 0]), ("leave_out", [8]), ("cut", [0, 8, 1, 2])],
)
def test_reviewers_lie_as_they_are_told(ballots: Any, order: list[int]) -> None:
    measured = {0: -0.1, 1: -0.2, 2: -3.0, 8: -9.0}
    lies = SignFlip(0.3, ballots).ratings(measured, {7, 8, 9})
    assert sorted(lies, key=lambda member: -lies[member]) == order
    assert SignFlip(0.3, ballots).ratings({}, {9}) == {}


@pytest.mark.parametrize(
    ("ballots", "proposed"), [("front", {0, 8, 9}), ("leave_out", {8, 0, 2}), ("cut", {8, 9, 0})]
)
def test_liars_propose_accomplices_beside_whom_the_honest_like(
    ballots: Any, proposed: set[int]
) -> None:
    honest = [{0, 1}, {0, 2}, {2, 0}]
    found = SignFlip(0.3, ballots).proposal(honest, {0, 1, 2, 8, 9}, {8, 9}, 3)
    assert found == proposed


def test_nobody_attacks_without_an_attack_nor_asleep() -> None:
    assert NoAttack(0.3).malicious(10) == set()
    assert [Sleeper().awake(round_, 4) for round_ in (1, 2, 3, 4)] == [False, False, True, True]
    own = {9: np.ones(3, np.float32)}
    asleep = Coalition(Sleeper(0.3), 1, 4).send(1, np.zeros(3), own, list, 3, lambda _: [])
    assert asleep[9].tolist() == [1, 1, 1]


def test_a_coalition_that_acts_alone_draws_for_each_and_together_for_all() -> None:
    base = np.zeros(4, np.float32)
    own = {8: base + 1, 9: base + 1}
    alone = Coalition(Gaussian(0.3), 1, 4).send(2, base, own, list, 4, lambda _: [])
    assert not np.array_equal(alone[8], alone[9])
    honest = [base + 2, base + 4]
    together = Coalition(Ipm(0.3), 1, 4).send(2, base, own, lambda: honest, 4, lambda _: [])
    assert together[8].tolist() == together[9].tolist() == [-1.5] * 4


def test_what_there_is_not_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"attack.ballots: expected one of .*front"):
        SignFlip(0.3, "back")  # type: ignore[arg-type]


@pytest.mark.skipif("BCFL_FUZZ" not in os.environ, reason="ByzFL takes 12 s to import: make fuzz")
def test_byzfl_sends_the_same() -> None:
    import byzfl

    given = known()
    honest = list(given.honest.astype(np.float64))
    pairs = [
        (Alie(z=1.5), byzfl.ALittleIsEnough(tau=-1.5)),
        (Ipm(epsilon=0.5), byzfl.InnerProductManipulation(tau=0.5)),
        (Mimic(), byzfl.Mimic(epsilon=0)),
    ]
    for ours, theirs in pairs:
        assert np.allclose(ours.craft(given)[0], theirs(honest), atol=1e-6)
