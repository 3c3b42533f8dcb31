"""What every data set comes as."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

#: Splits belong to a data set's definition: they stay the same whatever the run's seed.
SPLIT_SEED = 2021
#: Mean and deviation of the training pixels, all colours together, in [0, 1].
MNIST_PIXELS, CIFAR10_PIXELS = (0.1307, 0.3081), (0.4734, 0.2516)


@dataclass(frozen=True, slots=True)
class Images:
    """A data set in memory: what the clients share out among them, and the central test part.

    ``train_images`` and ``test_images`` are float32 of shape (count, channels, height,
    width); ``train_labels`` and ``test_labels`` are int64 in [0, classes).
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width


def split_once(
    images: NDArray[np.float32], labels: NDArray[np.int64], test_count: int, classes: int
) -> Images:
    """Shuffle, always in the same way, and cut the first ``test_count`` off as the test part."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    test, train = order[:test_count], order[test_count:]
    return Images(images[train], labels[train], images[test], labels[test], classes)


def take_reference(
    images: Images, size: int, seed: int
) -> tuple[Images, NDArray[np.float32], NDArray[np.int64]]:
    """Draw a reference set from the training part; what is left, and its images and labels."""
    order = np.random.default_rng(seed).permutation(len(images.train_labels))
    drawn, left = order[:size], np.sort(order[size:])
    x, y = images.train_images, images.train_labels
    rest = replace(images, train_images=x[left], train_labels=y[left])
    return rest, x[drawn], y[drawn]


def scale_pixels(pixels: NDArray[np.uint8], mean: float, deviation: float) -> NDArray[np.float32]:
    """Bytes to float32 of about zero mean and unit deviation; both are given in [0, 1]."""
    return ((pixels.astype(np.float32) / 255 - mean) / deviation).astype(np.float32)
