"""MNIST and CIFAR-10, which torchvision downloads: 28×28 and 3×32×32 pixels, ten classes each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bcfl.core.errors import DatasetUnavailable
from bcfl.experiment.datasets.images import CIFAR10_PIXELS, MNIST_PIXELS, Images, scale_pixels

#: A connection, or a read, that takes longer than this is given up.
WAIT_S = 20.0


def load_mnist(folder: str, download: bool) -> Images:
    """60,000 and 10,000 images from torchvision's ``folder``, downloaded where it is not there.

    Raises
    ------
    DatasetUnavailable
        It is neither there nor to be downloaded (or ``download`` is false).
    """
    from torchvision.datasets import MNIST  # noqa: PLC0415 - seconds, and only here

    root = Path(folder).expanduser()
    with _downloading("mnist", root):
        train, test = (MNIST(root, train=part, download=download) for part in (True, False))
    return Images(
        scale_pixels(train.data.numpy()[:, None], *MNIST_PIXELS),
        train.targets.numpy().astype(np.int64),
        scale_pixels(test.data.numpy()[:, None], *MNIST_PIXELS),
        test.targets.numpy().astype(np.int64),
        classes=10,
    )


def load_cifar10(folder: str, download: bool) -> Images:
    """50,000 and 10,000 images; as :func:`load_mnist`."""
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - as above

    root = Path(folder).expanduser()
    with _downloading("cifar10", root):
        train, test = (CIFAR10(root, train=part, download=download) for part in (True, False))
    return Images(
        scale_pixels(train.data.transpose(0, 3, 1, 2), *CIFAR10_PIXELS),
        np.asarray(train.targets, np.int64),
        scale_pixels(test.data.transpose(0, 3, 1, 2), *CIFAR10_PIXELS),
        np.asarray(test.targets, np.int64),
        classes=10,
    )


@contextmanager
def _downloading(name: str, folder: Path) -> Iterator[None]:
    """Bound every wait of torchvision's downloader, which has no timeout of its own.

    Raises
    ------
    DatasetUnavailable
        What torchvision found missing, or could not fetch, and what to do.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(WAIT_S)
    try:
        yield
    except (OSError, RuntimeError) as error:  # urllib's URLError is an OSError
        reason = " ".join(str(error).split())
        raise DatasetUnavailable(
            f"{name} is not in {folder} and cannot be downloaded ({reason}): "
            "put torchvision's files there, name another folder with dataset.folder=…, or use "
            "dataset=digits, which needs no network"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
