"""What somebody without data reaches: the bar that ``FitnessRules.public_accuracy`` sets.

PROTOCOL, System B: "A contributor that has no data and trains on the public half is not above
MAFR."
"""

from __future__ import annotations

import math

from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.features import model_outputs
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.spec.architecture import Architecture
from bcfl.market.verification_set import VerificationSet

__all__ = ["public_accuracy"]

_TRAINING = ContributorTraining(epochs=30)
_SEEDS = 3
#: By which another seed, or a little more care, may do better.
_MARGIN = 0.02


def public_accuracy(
    verification: VerificationSet, architecture: Architecture, rules: FitnessRules
) -> float:
    """The best accuracy on the measuring part of models that were trained on the fusion part.

    Some seconds of work for the initiator, before it launches. Where this is close to what
    honest contributors reach, fewer samples should be public.

    Returns
    -------
    float
        In [0, 1], with a margin, in whole hundredths.
    """
    fusion, measuring = verification.split()
    samples, labels = measuring[0]
    found = 0.0
    for seed in range(_SEEDS):
        model = train_contributor(architecture, *fusion, _TRAINING, seed, rules.limits)
        right = model_outputs(model, samples, rules.limits).predictions == labels
        found = max(found, float(right.mean()))
    return min(math.ceil(100 * (found + _MARGIN)) / 100, 1.0)
