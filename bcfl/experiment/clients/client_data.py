"""One client's share of the data, as a file between who shares out and who trains.

The shares are computed once, by the process that starts the run, and read by whichever
process runs a client: that spares every worker the data set and the libraries it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ClientData:
    """What one client trains on, and what it reviews with; each holds at least one image.

    Images are float32 of shape (count, channels, height, width), labels int64 of shape
    (count,).
    """

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    validation_images: NDArray[np.float32]
    validation_labels: NDArray[np.int64]


def write_clients(clients: Sequence[ClientData], folder: Path) -> None:
    """Write one uncompressed ``.npz`` a client, for :func:`read_client`."""
    for partition, data in enumerate(clients):
        np.savez(
            folder / f"{partition}.npz",
            train_images=data.train_images,
            train_labels=data.train_labels,
            validation_images=data.validation_images,
            validation_labels=data.validation_labels,
        )


@lru_cache(maxsize=256)
def read_client(folder: Path, partition: int) -> ClientData:
    """The share that :func:`write_clients` wrote.

    Kept in memory: a review asks for it anew for each of the deltas that it rates.
    """
    with np.load(folder / f"{partition}.npz") as file:
        return ClientData(
            file["train_images"],
            file["train_labels"],
            file["validation_images"],
            file["validation_labels"],
        )
