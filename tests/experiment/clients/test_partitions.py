"""Sharing out: nothing lost, nothing twice, the same for the same seed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.client_data import ClientData, read_client, write_clients
from bcfl.experiment.clients.partitioners import (
    DirichletPartitioner,
    IidPartitioner,
    Partitioner,
    ShardPartitioner,
)
from bcfl.experiment.clients.partitions import share_out
from bcfl.experiment.datasets.images import Images


def images(count: int = 100) -> Images:
    """Images that know their own number."""
    numbers = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    labels = np.arange(count) % 10
    return Images(numbers, labels, numbers[:1], labels[:1], 10)


PARTITIONERS = {
    "iid": lambda: IidPartitioner(4),
    "dirichlet": lambda: DirichletPartitioner(
        4, alpha=0.5, min_partition_size=5, self_balancing=True, seed=1
    ),
    "shards": lambda: ShardPartitioner(4, num_shards_per_partition=2, seed=1),
}


def numbers(shares: list[ClientData]) -> list[int]:
    parts = [part for s in shares for part in (s.train_images, s.validation_images)]
    return sorted(int(number) for part in parts for number in part.ravel())


@pytest.mark.parametrize("name", PARTITIONERS)
def test_every_image_goes_to_one_client_with_its_label(name: str) -> None:
    shares = share_out(images(), PARTITIONERS[name](), 0.2, seed=1)
    expected = list(range(100))
    found = numbers(shares)
    assert len(set(found)) == len(found)
    assert set(found) <= set(expected)
    assert len(found) >= 96  # shards of equal size leave a few over
    for share in shares:
        assert (share.train_images.ravel() % 10 == share.train_labels).all()
        assert (share.validation_images.ravel() % 10 == share.validation_labels).all()


@pytest.mark.parametrize("name", PARTITIONERS)
def test_the_same_seed_shares_out_the_same(name: str) -> None:
    one, other = (share_out(images(), PARTITIONERS[name](), 0.2, seed=1) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert (a.train_images == b.train_images).all()
        assert (a.validation_images == b.validation_images).all()


def test_another_seed_shares_out_differently() -> None:
    one = share_out(images(), IidPartitioner(4), 0.2, seed=1)
    other = share_out(images(), IidPartitioner(4), 0.2, seed=2)
    assert (one[0].train_images != other[0].train_images).any()


def test_a_share_is_split_by_the_fraction() -> None:
    shares = share_out(images(), IidPartitioner(4), 0.2, seed=1)
    assert [len(share.validation_labels) for share in shares] == [5, 5, 5, 5]
    assert [len(share.train_labels) for share in shares] == [20, 20, 20, 20]


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_both_parts_of_a_share_hold_something(fraction: float) -> None:
    for share in share_out(images(8), IidPartitioner(4), fraction, seed=1):
        assert len(share.train_labels) == len(share.validation_labels) == 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, 2.0])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match=r"partition\.validation_fraction"):
        share_out(images(), IidPartitioner(4), fraction, seed=1)


def test_a_client_without_enough_images_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"client 3 gets 1 images and needs at least 2"):
        share_out(images(7), IidPartitioner(4), 0.2, seed=1)


def test_fewer_images_than_clients_are_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="client 0 gets 1 images and needs at least 2"):
        share_out(images(3), IidPartitioner(4), 0.2, seed=1)


def test_more_shards_than_images_are_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="100 images cannot be cut into 4000 shards"):
        share_out(images(), ShardPartitioner(4, num_shards_per_partition=1000), 0.2, seed=1)


def test_a_draw_that_leaves_a_client_nothing_is_a_configuration_error() -> None:
    uneven = DirichletPartitioner(4, alpha=0.001, min_partition_size=26, seed=1)
    with pytest.raises(ConfigurationError, match=r"11 draws with alpha=0\.001 left a client"):
        share_out(images(), uneven, 0.2, seed=1)


def test_a_concentration_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="alpha: expected above 0; found -1"):
        DirichletPartitioner(4, alpha=-1)


@pytest.mark.parametrize(
    ("partitioner", "expected"),
    [
        (
            DirichletPartitioner(7, 0.3, min_partition_size=3, self_balancing=True, seed=2),
            "c2987a4adcdf1038",
        ),
        (ShardPartitioner(7, 3, seed=2), "d9cc3c1ae1db478a"),
    ],
)
def test_the_rows_are_those_of_every_release(partitioner: Partitioner, expected: str) -> None:
    rows = np.concatenate(partitioner.divide(np.arange(203) % 10)).astype("<i8")
    assert hashlib.sha256(rows.tobytes()).hexdigest().startswith(expected)


@pytest.mark.skipif("BCFL_FUZZ" not in os.environ, reason="7 s to import: make fuzz")
def test_the_partitioners_share_out_as_those_of_flwr_datasets_do() -> None:
    from flwr_datasets import partitioner as flowers

    for clients, seed in ((4, 1), (7, 2)):
        balanced = {"min_partition_size": 3, "self_balancing": True, "seed": seed}
        pairs = (
            (IidPartitioner(clients), flowers.IidPartitioner(clients)),
            (
                DirichletPartitioner(clients, 0.3, **balanced),
                flowers.DirichletPartitioner(clients, "label", 0.3, **balanced),
            ),
            (
                DirichletPartitioner(clients, 2.0, min_partition_size=1, shuffle=False),
                flowers.DirichletPartitioner(clients, "label", 2.0, 1, shuffle=False),
            ),
            (
                ShardPartitioner(clients, 3, seed=seed),
                flowers.ShardPartitioner(clients, "label", 3, seed=seed),
            ),
        )
        for own, theirs in pairs:
            shares = (share_out(images(203), each, 0.2, seed) for each in (own, theirs))
            for a, b in zip(*shares, strict=True):
                assert (a.train_images == b.train_images).all()
                assert (a.validation_images == b.validation_images).all()


def test_what_another_partitioner_cannot_do_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="100 images cannot be shared out that way"):
        share_out(images(), object(), 0.2, seed=1)


def test_a_share_comes_back_from_its_file(tmp_path: Path) -> None:
    shares = share_out(images(), IidPartitioner(2), 0.2, seed=1)
    write_clients(shares, tmp_path)
    read = read_client(tmp_path, 1)
    assert (read.train_images == shares[1].train_images).all()
    assert read.train_images.dtype == np.float32
    assert read.validation_labels.tolist() == shares[1].validation_labels.tolist()
    assert read_client(tmp_path, 1) is read
