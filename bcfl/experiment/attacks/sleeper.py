"""Accomplices are honest, and earn trust, until half of the run is over."""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.experiment.attacks.sign_flip import SignFlip


@dataclass(frozen=True, slots=True)
class Sleeper(SignFlip):
    """Sign flip, and lies, from a round on.

    Parameters
    ----------
    onset : float
        After which share of the rounds.
    """

    onset: float = 0.5

    def awake(self, round_: int, rounds: int) -> bool:
        """In the later rounds."""
        return round_ > self.onset * rounds
