"""The same random direction in every round, so that no averaging cancels it.

Xie et al., *Model Poisoning Attacks to Federated Learning via Multi-Round Consistency*, 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors

_CONFIDENT = 1.28  # standard deviations: nine out of ten
_FADING, _LEAST = 0.7, 0.5


@dataclass(frozen=True, slots=True)
class PoisonedFl(Attack):
    """c·‖last step‖·v·s: signs s for the whole run, sizes v that the last step suggests.

    Parameters
    ----------
    strength : float
        c to begin with. It fades where the global model has not followed s by more than chance.
    """

    strength: float = 8.0

    def craft(self, known: Known) -> Vectors:
        """All accomplices send the same."""
        memory, count = known.memory, len(known.base)
        if "signs" not in memory:
            signs = known.rng.choice([-1.0, 1.0], count)
            memory |= {"signs": signs, "start": known.base, "strength": self.strength}
            memory["sent"] = np.zeros(count)
        moved = known.base - memory["start"]
        if np.any(moved):
            alike = np.mean(np.sign(moved) == memory["signs"])
            if alike < 0.5 + _CONFIDENT / 2 / np.sqrt(count):
                memory["strength"] = max(_FADING * memory["strength"], _LEAST)
        step = float(np.linalg.norm(known.last)) or float(
            np.median(np.linalg.norm(known.honest, axis=1))
        )
        sent = float(np.linalg.norm(memory["sent"])) or 1.0
        sizes = np.abs(known.last - memory["sent"] * step / sent).astype(np.float64)
        sizes = (
            sizes / float(np.linalg.norm(sizes)) if np.any(sizes) else np.full(count, count**-0.5)
        )
        memory["sent"] = memory["strength"] * step * sizes * memory["signs"]
        return known.alike(memory["sent"])
