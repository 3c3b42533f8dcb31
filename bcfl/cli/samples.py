"""Labelled samples in ``.npz`` files: what initiators and contributors bring along."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr_datasets.partitioner import IidPartitioner
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.partitions import share_out
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.datasets.mnist_test import load_mnist_test

__all__ = ["DATASETS", "Samples", "load_samples", "write_example"]

DATASETS = ("digits", "mnist_test")
#: What numpy raises for files of another kind; TypeError for a .npy.
_NOT_NPZ = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Samples:
    """float32 ``samples`` of shape (count, …) and int64 ``labels`` of shape (count,)."""

    samples: NDArray[np.float32]
    labels: NDArray[np.int64]


def load_samples(path: Path) -> Samples:
    """Read the arrays ``samples`` and ``labels``; numbers are converted, pickles refused.

    Raises
    ------
    ConfigurationError
        There is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            samples, labels = file["samples"], file["labels"]
    except _NOT_NPZ as error:
        raise ConfigurationError(
            f"expected a .npz file with the arrays samples and labels at {path}: {error}"
        ) from error
    if samples.dtype.kind not in "fiu" or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ConfigurationError(
            f"{path}: samples are numbers, labels a row of whole numbers; found "
            f"{samples.dtype} {samples.shape} and {labels.dtype} {labels.shape}"
        )
    if len(samples) != len(labels):
        raise ConfigurationError(
            f"{path}: one label for each of {len(samples)} samples; found {len(labels)}"
        )
    return Samples(samples.astype(np.float32), labels.astype(np.int64))


def write_example(dataset: str, data_folder: Path | None, parts: int, seed: int, out: Path) -> None:
    """Share a data set out as ``verification.npz`` and ``part-0.npz`` to ``part-{parts-1}.npz``.

    Parameters
    ----------
    dataset : {"digits", "mnist_test"}
    data_folder : Path or None
        With MNIST's two ``t10k-*.gz`` files; digits need none.
    parts : int
    seed : int
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
