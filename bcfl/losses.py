"""Losses for an app whose updates are reviewed, in NumPy and in PyTorch.

``from bcfl.losses import bounded_loss, class_balanced``: what an app's evaluate had best return
where ``rule=coalition`` or ``rule=referee`` decides. PROTOCOL, System A, *Rules*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["bounded_loss", "class_balanced"]

_Array = TypeVar("_Array", NDArray[Any], "Tensor")


def bounded_loss(logits: _Array, labels: _Array) -> _Array:
    """2·(1 − √p_y) of each sample, p_y the probability that the model gives the true class.

    The squared Hellinger distance of prediction and label: 0 where the model is right and sure,
    2 where it is wrong and sure, 2·(1 − 1/√classes) where it guesses. No single sample can outweigh
    the others, as under cross-entropy one can; and guessing models can be told apart, as by
    1 − p_y they cannot.

    Parameters
    ----------
    logits : ndarray or torch.Tensor, (count, classes)
        Before the softmax. Rows that are not finite are as wrong as can be.
    labels : ndarray or torch.Tensor, (count,)
        Of a whole-number dtype.

    Returns
    -------
    ndarray or torch.Tensor, (count,)
        In [0, 2], of the dtype of ``logits``; a tensor's gradients are bounded, too.
    """
    if isinstance(logits, np.ndarray):
        with np.errstate(invalid="ignore", over="ignore"):
            spread = np.exp(logits - logits.max(axis=1, keepdims=True))
            true = spread[np.arange(len(labels)), labels] / spread.sum(axis=1)
        bounded: NDArray[Any] = 2 - 2 * np.sqrt(np.nan_to_num(true, nan=0.0))
        return bounded
    chosen = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    return 2 - 2 * (chosen / 2).exp().nan_to_num(nan=0.0)


def class_balanced(losses: _Array, labels: _Array) -> float:
    """The mean, over the classes that occur, of the mean loss of each class's samples.

    Parameters
    ----------
    losses : ndarray or torch.Tensor, (count,)
    labels : ndarray or torch.Tensor, (count,)
        Whole numbers, 0 and above.

    Returns
    -------
    float
        NaN where there are no samples.
    """
    found = np.asarray(losses if isinstance(losses, np.ndarray) else losses.detach().cpu())
    classes = np.asarray(labels if isinstance(labels, np.ndarray) else labels.cpu())
    counts = np.bincount(classes)
    sums = np.bincount(classes, weights=found)
    held = counts > 0
    return float(np.mean(sums[held] / counts[held])) if held.any() else float("nan")
