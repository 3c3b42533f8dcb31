"""MNIST: 60,000 training and 10,000 test images of 28×28 pixels, ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST

from bcfl.experiment.datasets.downloads import downloading
from bcfl.experiment.datasets.images import Images, scale_pixels

__all__ = ["MEAN_AND_DEVIATION", "load_mnist"]

#: Of the training pixels, in [0, 1].
MEAN_AND_DEVIATION = (0.1307, 0.3081)


def load_mnist(folder: str, download: bool) -> Images:
    """MNIST from torchvision's ``folder``, downloaded first where it is not there.

    Raises
    ------
    DatasetUnavailable
        It is neither there nor to be downloaded (or ``download`` is false).
    """
    root = Path(folder).expanduser()
    with downloading("mnist", root):
        train, test = (MNIST(root, train=part, download=download) for part in (True, False))
    return Images(
        scale_pixels(train.data.numpy()[:, None], *MEAN_AND_DEVIATION),
        train.targets.numpy().astype(np.int64),
        scale_pixels(test.data.numpy()[:, None], *MEAN_AND_DEVIATION),
        test.targets.numpy().astype(np.int64),
        classes=10,
    )
