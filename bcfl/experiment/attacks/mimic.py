"""All accomplices repeat one honest client: nothing is wrong with it but its weight.

Karimireddy et al., *Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing*, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.experiment.attacks.attack import Attack, Known, Vectors


@dataclass(frozen=True, slots=True)
class Mimic(Attack):
    """The first honest client's update."""

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        return known.alike(known.honest[0])
