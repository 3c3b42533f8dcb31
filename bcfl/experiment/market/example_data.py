"""A bundled data set shared out among contributors, as the files that ``bcfl market`` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.partitioners import IidPartitioner
from bcfl.experiment.clients.partitions import share_out
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.datasets.mnist_test import load_mnist_test

DATASETS = ("digits", "mnist_test")


def write_example(dataset: str, data_folder: Path | None, parts: int, seed: int, out: Path) -> None:
    """Share a data set out as ``verification.npz`` and ``part-0.npz`` to ``part-{parts-1}.npz``.

    Parameters
    ----------
    dataset : {"digits", "mnist_test"}
    data_folder : Path or None
        With MNIST's two ``t10k-*.gz`` files; digits need none.
    out : Path
        Made where it does not exist.

    Raises
    ------
    ConfigurationError, DatasetUnavailable
        There is no such data set.
    """
    images = _load(dataset, data_folder)
    shares = share_out(images, IidPartitioner(parts), 0.1, seed)
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "verification.npz", samples=images.test_images, labels=images.test_labels)
    for index, share in enumerate(shares):
        samples = np.concatenate([share.train_images, share.validation_images])
        labels = np.concatenate([share.train_labels, share.validation_labels])
        np.savez(out / f"part-{index}.npz", samples=samples, labels=labels)


def _load(dataset: str, data_folder: Path | None) -> Images:
    if dataset == "digits":
        return load_digits(1 / 3)
    if dataset == "mnist_test" and data_folder is not None:
        return load_mnist_test(str(data_folder), 2_000)
    raise ConfigurationError(
        f"dataset is one of {', '.join(DATASETS)}, the latter with --data-folder; found {dataset!r}"
    )
