"""The shared verification set of a task, and its two parts.

**[reading]** The article fuses and measures "on the shared verification set" and does not say
what A and B are trained on. Here the initiator splits the set, class by class, into a *fusion
part*, on which A and B are trained and which is public, and a *measuring part*, on which alone
accuracies count and which nobody sees before a model is in. The alternatives: train and measure
on the whole set, which flatters the fused model; or a data set more, which the initiator would
have to bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError

#: Samples, float32, (count, *input_shape), and their labels, int64, (count,).
Samples: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64]]

_FEWEST = 2  #: samples of a class: one for each part


@dataclass(frozen=True, slots=True)
class VerificationSet:
    """Labelled samples that the initiator brings, or what a panel is shown of them.

    Parameters
    ----------
    samples : float32, (count, …), each of the input's shape
    labels : int64, (count,)
        In [0, classes); each class at least twice.
    classes : int
    fusion_share : float
        Share of each class that makes up the fusion part, in (0, 1).
    seed : int
        Decides which.
    fusion_count : int
        If not 0: the first so many samples are the fusion part, whatever share and seed say.

    Raises
    ------
    ConfigurationError
        The arrays are not that, or a class cannot be split.
    """

    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    fusion_share: float = 0.5
    seed: int = 0
    fusion_count: int = 0

    def __post_init__(self) -> None:
        if self.samples.dtype != np.float32 or not np.isfinite(self.samples).all():
            raise ConfigurationError(
                f"verification samples are finite float32; found {self.samples.dtype}"
                + (" with NaN or infinity" if self.samples.dtype == np.float32 else "")
            )
        if self.labels.dtype != np.int64 or self.labels.shape != self.samples.shape[:1]:
            raise ConfigurationError(
                f"verification labels are int64, one for each of {len(self.samples)} samples; "
                f"found {self.labels.dtype} {self.labels.shape}"
            )
        if not 0 < self.fusion_share < 1:
            raise ConfigurationError(f"fusion_share: expected in (0, 1); found {self.fusion_share}")
        if self.classes < 2 or (self.labels < 0).any() or (self.labels >= self.classes).any():
            raise ConfigurationError(f"labels lie in [0, {self.classes}), of 2 classes or more")
        counts = np.bincount(self.labels, minlength=self.classes)
        if counts.min() >= _FEWEST and self.fusion_count:
            # of a set that was put together from two parts, each has every class
            parts = self.labels[: self.fusion_count], self.labels[self.fusion_count :]
            found = [np.bincount(part, minlength=self.classes) for part in parts]
            counts = _FEWEST * np.minimum(*found)
        if counts.min() < _FEWEST:
            raise ConfigurationError(
                f"a verification set has {_FEWEST} samples or more of every class, one in each "
                f"part; found {counts.min()} of class {counts.argmin()}"
            )

    @classmethod
    def joined(cls, fusion: Samples, measuring: Samples, classes: int) -> Self:
        """The set with these two parts."""
        if fusion[0].shape[1:] != measuring[0].shape[1:]:
            raise ConfigurationError(
                f"the fusion part's samples are of shape {fusion[0].shape[1:]}; the measuring "
                f"part's of {measuring[0].shape[1:]}"
            )
        samples = np.concatenate([fusion[0], measuring[0]])
        labels = np.concatenate([fusion[1], measuring[1]])
        return cls(samples, labels, classes, fusion_count=len(fusion[1]))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What a model of this task takes, without the batch."""
        return self.samples.shape[1:]

    def parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row numbers of the fusion part and of the measuring part, ascending."""
        if self.fusion_count:
            rows = np.arange(len(self.labels))
            return rows[: self.fusion_count], rows[self.fusion_count :]
        generator = np.random.default_rng(self.seed)
        in_fusion = np.zeros(len(self.labels), bool)
        for label in range(self.classes):
            rows = generator.permutation(np.flatnonzero(self.labels == label))
            count = min(max(round(self.fusion_share * len(rows)), 1), len(rows) - 1)
            in_fusion[rows[:count]] = True
        return np.flatnonzero(in_fusion), np.flatnonzero(~in_fusion)

    def split(self, sets: int = 1) -> tuple[Samples, list[Samples]]:
        """The fusion part, and the measuring part in ``sets`` parts with every class in each.

        Raises
        ------
        ConfigurationError
            There are too few samples of a class.
        """
        fusion, measuring = self.parts()
        by_class = [measuring[self.labels[measuring] == label] for label in range(self.classes)]
        fewest = min(map(len, by_class))
        if not 1 <= sets <= fewest:
            raise ConfigurationError(
                f"measuring sets: expected 1 to {fewest}, one for each sample of the rarest class "
                f"in the measuring part; found {sets}"
            )
        dealt = [np.sort(np.concatenate([r[k::sets] for r in by_class])) for k in range(sets)]
        return self._at(fusion), [self._at(rows) for rows in dealt]

    def _at(self, rows: NDArray[np.intp]) -> Samples:
        return self.samples[rows], self.labels[rows]
