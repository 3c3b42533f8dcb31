"""The baselines' aggregators: what they keep out, and that ByzFL computes the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bcfl.experiment.laboratory import robust
from tests.experiment.test_run import play

F = 2
ROOT = np.ones(5)


def rows(attacked: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    found = rng.normal(1.0, 0.1, (9, 5))
    found[:F] = attacked
    return found


@pytest.mark.parametrize(
    "aggregate",
    [
        partial(robust.trimmed_mean, f=F),
        partial(robust.nnm_trimmed_mean, f=F),
        partial(robust.geometric_median, f=F),
        partial(robust.multi_krum, f=F),
        partial(robust.centered_clipping, before=np.full(5, 0.9), radius=0.5),
        partial(robust.fltrust, root=ROOT),
    ],
    ids=lambda aggregate: aggregate.func.__name__,
)
def test_two_of_nine_hardly_move_it(aggregate: Callable[[np.ndarray], np.ndarray]) -> None:
    assert np.abs(aggregate(rows(1.0)) - 1).max() < 0.2
    assert np.abs(aggregate(rows(-50.0)) - 1).max() < 0.35


def test_fltrust_gives_no_weight_to_what_points_away() -> None:
    step = robust.fltrust(np.stack([2 * ROOT, -5 * ROOT]), ROOT)
    assert step == pytest.approx(ROOT)


@pytest.mark.skipif("BCFL_FUZZ" not in os.environ, reason="ByzFL takes 12 s to import: make fuzz")
def test_byzfl_computes_the_same() -> None:
    import byzfl

    found = rows(-3.0)
    assert np.allclose(robust.trimmed_mean(found, F), byzfl.TrMean(f=F)(found))
    assert np.allclose(robust.nearest_neighbours(found, F), byzfl.NNM(f=F)(found))
    assert np.allclose(robust.multi_krum(found, F), byzfl.MultiKrum(f=F)(found))
    median = byzfl.GeometricMedian(nu=1e-6, T=30)(found)
    assert np.allclose(robust.geometric_median(found, F), median, atol=1e-3)
    clipped = byzfl.CenteredClipping(L=3, tau=0.5)(found)
    assert np.allclose(robust.centered_clipping(found, np.zeros(5), 0.5), clipped)


@pytest.mark.parametrize("name", ["nnm_trimmed_mean", "geometric_median", "centered_clipping"])
def test_a_run_with_it_holds_where_fedavg_does_not(name: str, tmp_path: Path) -> None:
    attack = "attack=sign_flip attack.fraction=0.25 rounds=3"
    robust_run = play(tmp_path / name, f"strategy={name} {attack}")
    assert robust_run["malicious"] == [3]
    assert robust_run["final"]["accuracy"] > robust_run["initial"]["accuracy"] + 0.3
