"""Aggregators that withstand f attackers, as far as they do; each is told f.

Rows are the clients' changes of θ_g, shape (m, n); what comes out is the global change, (n,).
"""

from __future__ import annotations

import numpy as np

from bcfl.experiment.attacks.attack import Vectors
from bcfl.experiment.attacks.min_max import squared_distances

_STEPS = 30  # of Weiszfeld's iteration
_LEAST = 1e-6


def trimmed_mean(rows: Vectors, f: int) -> Vectors:
    """The mean without the f largest and smallest of each coordinate. Yin et al., 2018."""
    cut = min(f, (len(rows) - 1) // 2)
    ordered = np.sort(rows, axis=0)
    mean: Vectors = ordered[cut : len(rows) - cut].mean(axis=0)
    return mean


def nearest_neighbours(rows: Vectors, f: int) -> Vectors:
    """Each row becomes the mean of its m − f nearest ones. NNM, Allouah et al., 2023."""
    nearest = np.argsort(squared_distances(rows, rows), axis=1, kind="stable")[:, : len(rows) - f]
    mixed: Vectors = rows[nearest].mean(axis=1)
    return mixed


def nnm_trimmed_mean(rows: Vectors, f: int) -> Vectors:
    """The trimmed mean of the rows mixed with their neighbours."""
    return trimmed_mean(nearest_neighbours(rows, f), f)


def geometric_median(rows: Vectors, f: int) -> Vectors:
    """The point with the smallest sum of distances. RFA, Pillutla et al., 2022."""
    point: Vectors = rows.mean(axis=0)
    for _ in range(_STEPS):
        weights = 1 / np.maximum(np.linalg.norm(rows - point, axis=1), _LEAST)
        point = weights @ rows / weights.sum()
    return point


def multi_krum(rows: Vectors, f: int) -> Vectors:
    """The mean of the m − f rows that lie nearest to others. Blanchard et al., 2017."""
    near = np.sort(squared_distances(rows, rows), axis=1)[:, 1 : max(len(rows) - f - 1, 2)]
    chosen = np.argsort(near.sum(axis=1), kind="stable")[: len(rows) - f]
    mean: Vectors = rows[chosen].mean(axis=0)
    return mean


def centered_clipping(rows: Vectors, before: Vectors, radius: float) -> Vectors:
    """The step before, moved by what differs from it, clipped. Karimireddy et al., 2021.

    Parameters
    ----------
    before : ndarray, shape (n,)
        The last global change; zeros in the first round.
    radius : float
        How far one row can move it.
    """
    point = before
    for _ in range(3):
        apart = rows - point
        lengths = np.maximum(np.linalg.norm(apart, axis=1), _LEAST)
        point = point + (apart * np.minimum(radius / lengths, 1)[:, None]).mean(axis=0)
    return point


def fltrust(rows: Vectors, root: Vectors) -> Vectors:
    """Rows weighted by their cosine to the server's own, and as long as it. Cao et al., 2021.

    Parameters
    ----------
    root : ndarray, shape (n,)
        What the server trained, on a reference set.
    """
    lengths, length = np.linalg.norm(rows, axis=1), float(np.linalg.norm(root))
    trust = np.maximum(rows @ root / np.maximum(lengths * length, 1e-12), 0)
    scaled = rows * (length / np.maximum(lengths, 1e-12))[:, None]
    step: Vectors = trust @ scaled / max(float(trust.sum()), 1e-12)
    return step
