"""CIFAR-10: 50,000 training and 10,000 test images of 3×32×32, ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10

from bcfl.experiment.datasets.downloads import downloading
from bcfl.experiment.datasets.images import Images, scale_pixels

__all__ = ["load_cifar10"]

#: Of the training pixels, all three colours together, in [0, 1].
MEAN_AND_DEVIATION = (0.4734, 0.2516)


def load_cifar10(folder: str, download: bool) -> Images:
    """CIFAR-10 from torchvision's ``folder``, downloaded first where it is not there.

    Raises
    ------
    DatasetUnavailable
        It is neither there nor to be downloaded (or ``download`` is false).
    """
    root = Path(folder).expanduser()
    with downloading("cifar10", root):
        train, test = (CIFAR10(root, train=part, download=download) for part in (True, False))
    return Images(
        scale_pixels(train.data.transpose(0, 3, 1, 2), *MEAN_AND_DEVIATION),
        np.asarray(train.targets, np.int64),
        scale_pixels(test.data.transpose(0, 3, 1, 2), *MEAN_AND_DEVIATION),
        np.asarray(test.targets, np.int64),
        classes=10,
    )
