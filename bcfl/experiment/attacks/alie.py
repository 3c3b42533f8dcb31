"""A little is enough: a step aside that hides in the honest updates' own spread.

Baruch et al., *A Little Is Enough: Circumventing Defenses for Distributed Learning*, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class Alie(Attack):
    """μ − z·σ of the honest updates, coordinate by coordinate.

    Parameters
    ----------
    z : float
        How many standard deviations.
    """

    z: float = 1.5

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        spread = known.honest.std(axis=0, ddof=1)
        return known.alike(known.honest.mean(axis=0) - self.z * spread)
