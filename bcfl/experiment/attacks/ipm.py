"""Inner product manipulation: the honest mean, reversed.

Xie et al., *Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation*, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class Ipm(Attack):
    """−ε·μ of the honest updates.

    Parameters
    ----------
    epsilon : float
        Below 1 it slows the mean down, and stays near it; above, it turns it round.
    """

    epsilon: float = 0.5

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        return known.alike(-self.epsilon * known.honest.mean(axis=0))
