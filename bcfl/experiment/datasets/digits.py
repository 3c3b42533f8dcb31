"""scikit-learn's digits: 1,797 real scans of 8×8 pixels, ten classes; bundled, no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bcfl.core.errors import expect
from bcfl.experiment.datasets.images import Images, split_once


def load_digits(test_fraction: float) -> Images:
    """Pixels in [0, 1].

    Parameters
    ----------
    test_fraction : float
        Share kept as the central test part, in (0, 1).
    """
    expect(0 < test_fraction < 1, "dataset.test_fraction", "in (0, 1)", test_fraction)
    rows = np.loadtxt(_bundled(), delimiter=",")
    images = (rows[:, :-1].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    test_count = round(len(images) * test_fraction)
    return split_once(images, rows[:, -1].astype(np.int64), test_count, classes=10)


def _bundled() -> Path:
    """The file that ``sklearn.datasets.load_digits`` reads; to import that takes a second."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
