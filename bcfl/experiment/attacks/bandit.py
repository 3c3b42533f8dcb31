"""A coalition that tries attacks, sees what they do to the global model, and learns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bcfl.experiment.attacks.alie import Alie
from bcfl.experiment.attacks.attack import Attack, Known, Vectors
from bcfl.experiment.attacks.ipm import Ipm
from bcfl.experiment.attacks.mimic import Mimic
from bcfl.experiment.attacks.min_max import MinMax
from bcfl.experiment.attacks.sign_flip import SignFlip
from bcfl.experiment.attacks.support_stuffing import SupportStuffing


def _arms() -> tuple[Attack, ...]:
    return SignFlip(), Ipm(), Alie(), MinMax(), Mimic(), SupportStuffing()


@dataclass(frozen=True, slots=True)
class Bandit(Attack):
    """Each attack once, then the one that has paid most so far.

    What a round pays is by how much the honest's loss has grown by it. Whatever the rule is, it
    shows in that.

    Parameters
    ----------
    arms : sequence of Attack
        Which attacks.
    """

    arms: tuple[Attack, ...] = field(default_factory=_arms)

    def craft(self, known: Known) -> Vectors:
        """What the chosen attack sends."""
        memory = known.memory
        paid: list[list[float]] = memory.setdefault("paid", [[] for _ in self.arms])
        (now,) = known.losses(known.base[None])
        if "arm" in memory:
            paid[memory["arm"]].append(now - memory["loss"])
        means = [float(np.mean(each)) if each else np.inf for each in paid]
        memory |= {"arm": int(np.argmax(means)), "loss": now}
        chosen: Attack = self.arms[memory["arm"]]
        return chosen.craft(known)
