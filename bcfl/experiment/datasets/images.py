"""What every data set comes as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Splits belong to a data set's definition: they stay the same whatever the run's seed.
SPLIT_SEED = 2021
#: The largest share of an image that patches are expected to hide.
_MOST_PATCHED = 0.4
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


def patch(images: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The same images under random patches: a model that knows a mark shows itself on some.

    Patches are squares of a grid of random width and place, each there by the same chance, up to
    ``_MOST_PATCHED``. Those of an image are as bright as can be, or, of every second one, of any
    brightness.
    """
    rng = np.random.default_rng(seed)
    darkest, brightest = images.min(), images.max()
    patched = images.copy()
    height, width = images.shape[-2:]
    for image in patched:
        side = int(rng.integers(1, max(int(0.4 * height), 1), endpoint=True))
        squares = (height // side + 2, width // side + 2)
        there = rng.random(squares) < rng.uniform(0, _MOST_PATCHED)
        top, left = rng.integers(side, size=2)
        where = np.kron(there, np.ones((side, side), bool))[top:, left:][:height, :width]
        image[:, where] = rng.choice([brightest, rng.uniform(darkest, brightest)])
    return patched


def vary(samples: Mapping[str, NDArray[Any]], seed: int) -> dict[str, NDArray[Any]]:
    """A reference set's ``images`` and ``labels``, and each once more under patches."""
    images, labels = samples["images"], samples["labels"]
    return {
        "images": np.concatenate([images, patch(images, seed)]),
        "labels": np.concatenate([labels, labels]),
    }


def scale_pixels(pixels: NDArray[np.uint8], mean: float, deviation: float) -> NDArray[np.float32]:
    """Bytes to float32 of about zero mean and unit deviation; both are given in [0, 1]."""
    return ((pixels.astype(np.float32) / 255 - mean) / deviation).astype(np.float32)
