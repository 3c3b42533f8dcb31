"""Is a model a copy of another? How much of its features the other's explain.

Both models' features are first freed of what every good model agrees on, the class. What is
left of a copy, its original explains entirely, even if units were permuted, scaled or mixed;
a model trained on other data only in part.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bcfl.apps.market.features import deterministic

__all__ = ["explained_share"]

#: Of each part of the verification set, at most so many samples are used.
_MOST_SAMPLES = 2_000
#: Ridge, relative to the mean squared length of a sample: far above rounding errors.
_RIDGE = 1e-6


def explained_share(
    known: NDArray[np.float64],
    candidate: NDArray[np.float64],
    labels: NDArray[np.int64],
    fusion_part: NDArray[np.intp],
    measuring_part: NDArray[np.intp],
) -> float:
    """R² of the candidate's features, class means removed, given those of a known model.

    Parameters
    ----------
    known, candidate : float64, (count, width of either model)
    labels : int64, (count,)
    fusion_part, measuring_part : row numbers
        The map from one to the other is fitted (ridge) on the first and judged on the second.

    Returns
    -------
    float
        1 for a copy; at most 0 where nothing is explained. A candidate whose features never
        vary within a class counts as explained.
    """
    fit, check = fusion_part[:_MOST_SAMPLES], measuring_part[:_MOST_SAMPLES]
    with deterministic():
        source_fit, target_fit = (_within_class(x, labels, fit) for x in (known, candidate))
        source, target = (_within_class(x, labels, check) for x in (known, candidate))
        gram = source_fit @ source_fit.T
        ridge = _RIDGE * gram.diagonal().mean() + torch.finfo(torch.float64).tiny
        gram.diagonal().add_(ridge)
        fitted = source @ (source_fit.T @ torch.linalg.solve(gram, target_fit))
        variance = float(target.square().sum())
        return 1 - float((target - fitted).square().sum()) / variance if variance else 1.0


def _within_class(
    features: NDArray[np.float64], labels: NDArray[np.int64], rows: NDArray[np.intp]
) -> torch.Tensor:
    """Features less the mean of their class among ``rows``."""
    samples, classes = torch.from_numpy(features[rows]), torch.from_numpy(labels[rows])
    members = torch.nn.functional.one_hot(classes).double()
    means = members.T @ samples / members.sum(0).clamp(min=1)[:, None]
    return samples - means[classes]
