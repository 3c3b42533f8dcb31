"""A backdoor whose update is magnified, so that the mean becomes it.

Bagdasaryan et al., *How To Backdoor Federated Learning*, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bcfl.experiment.attacks.attack import Known, Vectors, expect_scale
from bcfl.experiment.attacks.backdoor import Backdoor


@dataclass(frozen=True, slots=True)
class ModelReplacement(Backdoor):
    """scale·Δθ of the backdoored training.

    Parameters
    ----------
    scale : float
        As many times as there are clients replaces the mean; positive.
    """

    scale: float = 10.0
    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Backdoor.__post_init__(self)
        expect_scale(self.scale)

    def craft(self, known: Known) -> Vectors:
        """Magnify."""
        return self.scale * known.own
