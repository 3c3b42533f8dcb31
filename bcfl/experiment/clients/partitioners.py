"""Ways of sharing images out, named by ``_target_`` in ``conf/partition/``.

They see labels, never images. Each gives the same rows as flwr-datasets' partitioner of its
name, which loads pandas and what draws pictures: seconds, before every run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError, expect

#: How often a draw is repeated that leaves a client with too little.
_DRAWS = 11


class Partitioner(ABC):
    """Divides rows among clients."""

    @abstractmethod
    def divide(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The rows of each client; ``labels`` has one label a row.

        Raises
        ------
        ConfigurationError
            They cannot be divided that way.
        """


@dataclass(frozen=True, slots=True)
class IidPartitioner(Partitioner):
    """Equal shares, in the order of the rows."""

    num_partitions: int

    def divide(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """As ``Partitioner.divide``."""
        return np.array_split(np.arange(len(labels)), self.num_partitions)


@dataclass(frozen=True, slots=True)
class DirichletPartitioner(Partitioner):
    """Each class divided by a draw of its own (Yurochkin et al., arXiv 1905.12022).

    Parameters
    ----------
    num_partitions : int
    alpha : float or sequence of float
        The concentration, for all clients or one a client; above 0.
    min_partition_size : int
        Draw again while a client has fewer rows.
    self_balancing : bool
        Give nothing more to a client that has more than its fair share.
    shuffle : bool
        Each client's rows.
    seed : int
    """

    num_partitions: int
    alpha: float
    min_partition_size: int = 10
    self_balancing: bool = False
    shuffle: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        expect(bool(np.all(np.asarray(self.alpha) > 0)), "alpha", "above 0", self.alpha)

    def divide(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """As ``Partitioner.divide``."""
        rng = np.random.default_rng(self.seed)
        for _ in range(_DRAWS):
            parts = self._draw(labels, rng)
            if min(map(len, parts)) >= self.min_partition_size:
                return _finished(parts, rng if self.shuffle else None)
        raise ConfigurationError(
            f"partition: {len(labels)} images cannot be shared out that way: {_DRAWS} draws with "
            f"alpha={self.alpha} left a client with fewer than {self.min_partition_size}; take a "
            "larger alpha, a smaller min_partition_size, or fewer clients"
        )

    def _draw(self, labels: NDArray[np.int64], rng: np.random.Generator) -> list[list[int]]:
        parts: list[list[int]] = [[] for _ in range(self.num_partitions)]
        fair = len(labels) / self.num_partitions
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            shares = list(rng.dirichlet(np.full(self.num_partitions, self.alpha, float)))
            if self.self_balancing:
                shares = [
                    0 if len(part) > fair else share
                    for part, share in zip(parts, shares, strict=True)
                ]
                whole = sum(shares)
                shares = [share / whole for share in shares]
            ends = (np.cumsum(shares) * len(rows)).astype(int)[:-1]
            for part, more in zip(parts, np.split(rows, ends), strict=True):
                part.extend(more.tolist())
        return parts


@dataclass(frozen=True, slots=True)
class ShardPartitioner(Partitioner):
    """The rows sorted by class and cut into shards, of which each client gets a few.

    Parameters
    ----------
    num_partitions, num_shards_per_partition : int
    shuffle : bool
        Each client's rows.
    seed : int
    """

    num_partitions: int
    num_shards_per_partition: int
    shuffle: bool = True
    seed: int = 42

    def divide(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """As ``Partitioner.divide``."""
        count = self.num_partitions * self.num_shards_per_partition
        if (size := len(labels) // count) == 0:
            raise ConfigurationError(
                f"partition: {len(labels)} images cannot be cut into {count} shards"
            )
        rng = np.random.default_rng(self.seed)
        chosen = rng.permutation(len(labels) // size)[:count]
        rows = np.argsort(labels, kind="stable")
        parts: list[list[int]] = [
            [row for shard in shards for row in rows[shard * size : (shard + 1) * size].tolist()]
            for shards in np.split(chosen, self.num_partitions)
        ]
        return _finished(parts, rng if self.shuffle else None)


def _finished(parts: list[list[int]], rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
    for part in parts if rng is not None else ():
        assert rng is not None
        rng.shuffle(part)
    return [np.asarray(part, np.int64) for part in parts]
