"""What somebody without data reaches: the bar that ``FitnessRules.public_accuracy`` sets.

PROTOCOL, System B: "A contributor that has no data and trains on the public half is not above
MAFR."
"""

from __future__ import annotations

import math

from bcfl.core.errors import BcflError
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import ARCHITECTURES, shipped_architecture
from bcfl.market.models.training import ContributorTraining, train_contributor
from bcfl.market.verification_set import VerificationSet

_TRAINING = ContributorTraining(epochs=40)
_SEEDS = 2
#: By which another seed, or a little more care, may do better.
_MARGIN = 0.02


def public_accuracy(verification: VerificationSet, rules: FitnessRules) -> float:
    """The best accuracy, fused alone, of models that were trained on the fusion part.

    Some seconds of work for the initiator, before it launches. Where this is close to what
    honest contributors reach, fewer samples should be public.

    Returns
    -------
    float
        In [0, 1], with a margin, in whole hundredths.
    """
    fusion, _ = verification.split()
    found = 0.0
    for name in ARCHITECTURES:
        try:
            architecture = shipped_architecture(
                name, verification.input_shape, verification.classes
            )
        except BcflError:
            continue  # not for samples of this shape
        for seed in range(_SEEDS):
            model = train_contributor(architecture, *fusion, _TRAINING, seed, rules.limits)
            outputs = outputs_for_task(model, verification, rules.limits)
            fused = FusedModel().join(model, outputs, verification, rules.fusion)
            found = max(found, fused.accuracy)
    return min(math.ceil(100 * (found + _MARGIN)) / 100, 1.0)
