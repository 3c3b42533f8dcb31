"""Labelled samples in ``.npz`` files: what initiators and contributors bring along."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError

#: What numpy raises for files of another kind; TypeError for a .npy.
_NOT_NPZ = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def load_bytes(path: Path) -> bytes:
    """The file as it is; raises ConfigurationError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"expected a .npz file with the arrays samples and labels at {path}: {error}"
        ) from error


def load_samples(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the arrays ``samples`` and ``labels``; numbers are converted, pickles refused.

    Returns
    -------
    samples : float32, (count, …)
    labels : int64, (count,)

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
    return samples.astype(np.float32), labels.astype(np.int64)
