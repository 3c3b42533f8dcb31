"""The largest step against the honest that Krum would still choose.

Fang et al., *Local Model Poisoning Attacks to Byzantine-Robust Federated Learning*, 2020, the
attack on Krum with full knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors
from bcfl.experiment.attacks.min_max import squared_distances

_LEAST = 1e-5


@dataclass(frozen=True, slots=True)
class FangKrum(Attack):
    """−λ·sign(μ), λ halved until Krum, told of f accomplices, chooses one of them."""

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        honest, count = known.honest, len(known.own)
        against = -np.sign(honest.mean(axis=0))
        size = float(np.abs(honest).max())
        while size > _LEAST:
            rows = np.concatenate([known.alike(size * against), honest])
            near = np.sort(squared_distances(rows, rows), axis=1)[
                :, 1 : max(len(rows) - count - 1, 2)
            ]
            if int(near.sum(axis=1).argmin()) < count:
                break
            size /= 2
        return known.alike(size * against)
