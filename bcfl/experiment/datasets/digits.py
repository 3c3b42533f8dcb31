"""scikit-learn's digits: 1,797 real scans of 8×8 pixels, ten classes; bundled, no download."""

from __future__ import annotations

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
    from sklearn.datasets import load_digits as load_bundled  # noqa: PLC0415 - a second

    bunch = load_bundled()
    images = (bunch.images / 16).astype(np.float32)[:, None]
    test_count = round(len(images) * test_fraction)
    return split_once(images, bunch.target.astype(np.int64), test_count, classes=10)
