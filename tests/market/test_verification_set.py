"""The shared verification set: checked once, split the same way by everybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bcfl.core.errors import ConfigurationError
from bcfl.market.verification_set import VerificationSet

LABELS = np.repeat(np.arange(3), [10, 7, 2])
SAMPLES = np.arange(19 * 4, dtype=np.float32).reshape(19, 4)
SET = VerificationSet(SAMPLES, LABELS, 3)


def test_the_parts_are_disjoint_and_complete_and_have_every_class():
    fusion, measuring = SET.parts()
    assert sorted([*fusion, *measuring]) == list(range(19))
    assert np.bincount(LABELS[fusion]).tolist() == [5, 4, 1]
    assert np.bincount(LABELS[measuring]).tolist() == [5, 3, 1]


@pytest.mark.parametrize("share", [0.001, 0.25, 0.999])
def test_no_part_is_ever_without_a_class(share):
    for part in replace(SET, fusion_share=share).parts():
        assert set(LABELS[part]) == {0, 1, 2}


def test_the_seed_decides_the_parts():
    parts = [replace(SET, seed=seed).parts()[0].tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_the_split_is_pinned():
    assert SET.parts()[0].tolist() == [2, 3, 4, 6, 7, 10, 12, 13, 16, 18]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": SAMPLES.astype(float)}, "finite float32; found float64"),
        ({"samples": np.full_like(SAMPLES, np.nan)}, "float32 with NaN or infinity"),
        ({"labels": LABELS.astype(np.int32)}, "found int32"),
        ({"labels": LABELS[:-1]}, r"one for each of 19 samples; found int64 \(18,\)"),
        ({"labels": LABELS - 1}, r"labels lie in \[0, 3\)"),
        ({"classes": 2}, r"labels lie in \[0, 2\)"),
        ({"classes": 4}, "one in each part; found 0 of class 3"),
        ({"fusion_share": 0.0}, "fusion_share"),
        ({"fusion_share": 1.0}, "fusion_share"),
        ({"fusion_share": float("nan")}, "fusion_share"),
    ],
)
def test_what_cannot_be_verified_on_is_refused(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        replace(SET, **change)


@pytest.mark.parametrize("sets", [1, 2])
def test_the_measuring_sets_are_disjoint_have_every_class_and_join_to_the_same_parts(sets):
    labels = np.repeat(np.arange(3), 8)
    whole = VerificationSet(np.arange(24, dtype=np.float32).reshape(24, 1), labels, 3)
    fusion, measuring = whole.split(sets)
    assert len(measuring) == sets
    shown = np.concatenate([fusion[0], *(samples for samples, _ in measuring)])
    assert sorted(shown.ravel()) == list(range(24))
    for half in measuring:
        joined = VerificationSet.joined(fusion, half, 3)
        rows = joined.parts()
        assert [joined.labels[each].tolist() for each in rows] == [
            fusion[1].tolist(),
            half[1].tolist(),
        ]
        assert set(half[1]) == {0, 1, 2}


def test_parts_that_do_not_make_a_set_are_refused():
    fusion, (measuring,) = SET.split()
    with pytest.raises(ConfigurationError, match=r"measuring sets: expected 1 to 1, .* found 2"):
        SET.split(2)
    with pytest.raises(ConfigurationError, match="one in each part; found 1 of class 2"):
        VerificationSet.joined(fusion, (measuring[0][:-1], measuring[1][:-1]), 3)
    with pytest.raises(ConfigurationError, match="samples are of shape"):
        VerificationSet.joined(fusion, (measuring[0][:, :2], measuring[1]), 3)
