"""The shared verification set of a task, and its two parts.

**[reading]** The article fuses and measures "on the shared verification set" and does not say
what A and B are trained on. Here every verifier splits the set, class by class and by the
task's seed, into a *fusion part*, on which A and B are trained, and a *measuring part*, on
which alone accuracies count. The alternatives: train and measure on the whole set, which
flatters the fused model; or a data set more, which the initiator would have to bring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ConfigurationError

__all__ = ["VerificationSet"]

_FEWEST = 2  #: samples of a class: one for each part


@dataclass(frozen=True, slots=True)
class VerificationSet:
    """Labelled samples that the initiator publishes with the task.

    Parameters
    ----------
    samples : float32, (count, *input_shape)
    labels : int64, (count,)
        In [0, classes); each class at least twice.
    classes : int
    fusion_share : float
        Share of each class that makes up the fusion part, in (0, 1).
    seed : int
        Decides which; the same for all verifiers of a task.

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
        if counts.min() < _FEWEST:
            raise ConfigurationError(
                f"a verification set has {_FEWEST} samples or more of every class; found "
                f"{counts.min()} of class {counts.argmin()}"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What a model of this task takes, without the batch."""
        return self.samples.shape[1:]

    def parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row numbers of the fusion part and of the measuring part, ascending."""
        generator = np.random.default_rng(self.seed)
        in_fusion = np.zeros(len(self.labels), bool)
        for label in range(self.classes):
            rows = generator.permutation(np.flatnonzero(self.labels == label))
            count = min(max(round(self.fusion_share * len(rows)), 1), len(rows) - 1)
            in_fusion[rows[:count]] = True
        return np.flatnonzero(in_fusion), np.flatnonzero(~in_fusion)
