"""What a verifier can be asked to bear: the most that a task may cost those who judge for it.

Who launches a task chooses its limits and its verification set, and verifiers do not choose
what they are drawn for. A verifier that runs out of memory or time loses its bond; so a task
beyond these costs is refused, and each submission to it reported as unopenable.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from bcfl.core.errors import ConfigurationError
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.spec.architecture import Limits
from bcfl.market.verification_set import VerificationSet

_MOST_STEPS: Final = 10_000
#: Multiplications for one model of a task, each with its addition: minutes on one core.
_MOST_MULTIPLY_ADDS: Final = 10**12
#: Features and logits of one model on the whole verification set: 512 MiB of doubles.
_MOST_OUTPUTS: Final = 1 << 26


def expect_within(asked: FitnessRules, allowed: Limits) -> None:
    """Refuse a task that may cost a verifier more than its machine's owner allows.

    Raises
    ------
    ConfigurationError
        Names the first limit that is too high.
    """
    for each in fields(Limits):
        limit, most = getattr(asked.limits, each.name), getattr(allowed, each.name)
        if limit > most:
            raise ConfigurationError(
                f"this task allows models of {limit:,} {each.name}; here at most {most:,} are "
                "allowed"
            )
    if asked.fusion.steps > _MOST_STEPS:
        raise ConfigurationError(
            f"this task asks for {asked.fusion.steps:,} steps of fusion; here at most "
            f"{_MOST_STEPS:,} are done"
        )


def expect_affordable(asked: FitnessRules, verification: VerificationSet) -> None:
    """Refuse a task whose verification set makes its largest models too costly to judge.

    Raises
    ------
    ConfigurationError
        Names what is too much.
    """
    samples, classes = len(verification.labels), verification.classes
    outputs = samples * (asked.limits.features + classes)
    running = samples * asked.limits.multiply_adds
    fusing = asked.fusion.steps * outputs * classes
    for what, found, most in (
        ("multiplications to run a model", running, _MOST_MULTIPLY_ADDS),
        ("multiplications to fuse a model", fusing, _MOST_MULTIPLY_ADDS),
        ("features and logits of a model", outputs, _MOST_OUTPUTS),
    ):
        if found > most:
            raise ConfigurationError(
                f"{samples:,} samples of {classes:,} classes: expected at most {most:,} {what}; "
                f"found up to {found:,}: fewer samples, or lower limits, are needed"
            )
