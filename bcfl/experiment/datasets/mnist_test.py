"""MNIST's 10,000 test images alone, from a folder: for machines that cannot download the rest."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import DatasetUnavailable, expect
from bcfl.experiment.datasets.images import MNIST_PIXELS, Images, scale_pixels, split_once

_HINT = (
    "put MNIST's t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into one folder and "
    "name it with dataset.folder=…, or use dataset=digits"
)


def load_mnist_test(folder: str, test_images: int) -> Images:
    """Split the 10,000 images, always in the same way, into a train and a test part.

    Parameters
    ----------
    folder : str
        Holds the two ``t10k-*.gz`` files.
    test_images : int
        How many of them become the central test part.

    Raises
    ------
    DatasetUnavailable
        A file is missing, or is not what its name says.
    """
    root = Path(folder).expanduser()
    images = _read_idx(root / "t10k-images-idx3-ubyte.gz", dimensions=3)
    labels = _read_idx(root / "t10k-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels):
        raise DatasetUnavailable(
            f"mnist_test: {root} holds {len(images)} images and {len(labels)} labels; {_HINT}"
        )
    expect(
        0 < test_images < len(images),
        "dataset.test_images",
        f"in (0, {len(images)})",
        test_images,
    )
    scaled = scale_pixels(images[:, None], *MNIST_PIXELS)
    return split_once(scaled, labels.astype(np.int64), test_images, classes=10)


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes: magic 0 0 8 d, then d big-endian sizes, then the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DatasetUnavailable(f"mnist_test: cannot read {path} ({reason}); {_HINT}") from error
    header = 4 + 4 * dimensions
    sizes = np.frombuffer(raw[4:header], ">u4").astype(int) if len(raw) >= header else ()
    if raw[:4] != bytes((0, 0, 8, dimensions)) or len(raw) != header + int(np.prod(sizes)):
        raise DatasetUnavailable(
            f"mnist_test: {path} is not an IDX file of bytes in {dimensions} dimensions; {_HINT}"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(sizes)
