"""Accomplices send values where nobody else does, so that no average holds them back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class SupportStuffing(Attack):
    """Large values, against the mean's sign, on the coordinates that the honest send least."""

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same; how long it is, clipping decides."""
        mean, count = known.honest.mean(axis=0), len(known.base)
        carriers = (known.honest != 0).sum(axis=0) + known.rng.random(count)
        drawn = known.rng.choice([-1.0, 1.0], count)
        signs = np.where(mean == 0, drawn, -np.sign(mean))
        if known.kept == count:  # everything is sent: as long as the honest are
            length = float(np.median(np.linalg.norm(known.honest, axis=1)))
            return known.alike(signs * length / np.sqrt(count))
        change = np.zeros(count)
        rarest = np.argsort(carriers, kind="stable")[: known.kept]
        change[rarest] = 1e3 * signs[rarest]
        return known.alike(change)
