"""Sharing the train part out among the clients.

The partitioners are named by ``_target_`` in ``conf/partition/``: ``partitioners``' own, or
flwr-datasets'. They see labels and row numbers, never the images.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError, expect
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.partitioners import Partitioner
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.seeds import derive_seed


def share_out(
    images: Images, partitioner: Any, validation_fraction: float, seed: int
) -> list[ClientData]:
    """Every client's share of the train part, by partition id.

    Parameters
    ----------
    images : Images
    partitioner : Partitioner
        A fresh one, or one of flwr-datasets whose column is ``label``; it sees the rows in an
        order that the seed decides.
    validation_fraction : float
        Share of a client's images that it keeps for reviewing, in (0, 1).
    seed : int

    Raises
    ------
    ConfigurationError
        The images cannot be shared out that way.
    """
    expect_share(validation_fraction)
    rng = np.random.default_rng(derive_seed(seed, "partition"))
    order = rng.permutation(len(images.train_labels))
    labels = images.train_labels[order]
    if isinstance(partitioner, Partitioner):
        shares = partitioner.divide(labels)
    else:
        shares = _divided_by_flower(partitioner, labels)
    return [
        _split(images, order[rows], validation_fraction, partition)
        for partition, rows in enumerate(shares)
    ]


def expect_share(validation_fraction: Any) -> None:
    """Raise ConfigurationError where it is no share of the images."""
    proper = isinstance(validation_fraction, (int, float)) and 0 < validation_fraction < 1
    expect(proper, "partition.validation_fraction", "in (0, 1)", validation_fraction)


def _divided_by_flower(partitioner: Any, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    from datasets import Dataset  # noqa: PLC0415 - pandas: seconds, for who asks for it

    rows = np.arange(len(labels))
    try:
        partitioner.dataset = Dataset.from_dict({"label": labels, "row": rows})
        with warnings.catch_warnings():
            # pyarrow's, about how datasets calls it when it sorts.
            warnings.filterwarnings("ignore", "Specifying null_placement", FutureWarning)
            # A Dirichlet draw is repeated where a client got too little; an error ends that.
            warnings.filterwarnings("ignore", "The specified min_partition_size", UserWarning)
            return [
                np.asarray(partitioner.load_partition(partition)["row"], np.int64)
                for partition in range(partitioner.num_partitions)
            ]
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        # how partitioners say that it cannot be done, knowingly or not
        raise ConfigurationError(
            f"partition: {len(labels)} images cannot be shared out that way: {error}"
        ) from error


def _split(
    images: Images, rows: NDArray[np.int64], validation_fraction: float, partition: int
) -> ClientData:
    if len(rows) < 2:
        raise ConfigurationError(
            f"partition: client {partition} gets {len(rows)} images and needs at least 2, one to "
            "train and one to review; have fewer clients, or a more even partition"
        )
    count = min(max(round(len(rows) * validation_fraction), 1), len(rows) - 1)
    validation, train = rows[:count], rows[count:]
    return ClientData(
        images.train_images[train],
        images.train_labels[train],
        images.train_images[validation],
        images.train_labels[validation],
    )
