"""Is a model a copy of another? How much of each one's features the other's explain.

Both models' features are first freed of what all good models agree on, the class. What is left
of a copy and its original, each explains entirely, even if units were permuted, scaled or
mixed; models trained on data of their own explain each other in part. It has to go both ways:
else a very wide model, which explains much of everything, could be bought first to have all
later ones taken for copies.

Measured on the shipped architectures: a copy whose weights moved by 2 % of their deviation
scores 0.995 or more; honest models 0.87 or less, and up to 0.97 where two began with the same
random weights and saw the same two classes. Hence contributors should seed their own.

A thief who puts enough noise or foreign units into a copy is not found out here; it then has
to pass for a model that brings something.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bcfl.market.models.features import deterministic

#: Of each part of the verification set, at most so many samples are used.
_MOST_SAMPLES = 2_000
#: Ridge, relative to the mean squared length of a sample: far above rounding errors.
_RIDGE = 1e-6


def likeness(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    labels: NDArray[np.int64],
    fusion_part: NDArray[np.intp],
    measuring_part: NDArray[np.intp],
) -> float:
    """R² of one model's features given the other's, class means removed; the smaller way round.

    Parameters
    ----------
    one, other : float64, (count, width of either model)
    labels : int64, (count,)
    fusion_part, measuring_part : row numbers
        The linear map is fitted (ridge) on the first and judged on the second.

    Returns
    -------
    float
        1 for a copy; at most 0 where one explains nothing of the other.
    """
    fit, check = fusion_part[:_MOST_SAMPLES], measuring_part[:_MOST_SAMPLES]
    with deterministic():
        fitted_on = [_within_class(each, labels, fit) for each in (one, other)]
        judged_on = [_within_class(each, labels, check) for each in (one, other)]
        return min(
            _explained(fitted_on[0], fitted_on[1], judged_on[0], judged_on[1]),
            _explained(fitted_on[1], fitted_on[0], judged_on[1], judged_on[0]),
        )


def _explained(
    source_fit: torch.Tensor, target_fit: torch.Tensor, source: torch.Tensor, target: torch.Tensor
) -> float:
    gram = source_fit @ source_fit.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean() + torch.finfo(torch.float64).tiny)
    predicted = source @ (source_fit.T @ torch.linalg.solve(gram, target_fit))
    variance = float(target.square().sum())
    return 1 - float((target - predicted).square().sum()) / variance if variance else 1.0


def _within_class(
    features: NDArray[np.float64], labels: NDArray[np.int64], rows: NDArray[np.intp]
) -> torch.Tensor:
    """Features less the mean of their class among ``rows``, at the scale of 1."""
    samples, classes = torch.from_numpy(features[rows]), torch.from_numpy(labels[rows])
    members = torch.nn.functional.one_hot(classes).double()
    means = members.T @ samples / members.sum(0).clamp(min=1)[:, None]
    centred = samples - means[classes]
    largest = float(centred.abs().max())
    return centred / largest if largest else centred
