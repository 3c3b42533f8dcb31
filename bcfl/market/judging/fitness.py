"""How good a submitted model is for the whole: what a verifier measures and reports.

Deterministic: the same models in the same order, verification set and rules give the same
parts per million on every verifier's machine, so that one who differs stands out.

**[reading]** The article's verifiers measure "whether the whole improves", and the contract
holds what they report against one number, MAFR. Reported is the accuracy of the fused model
with the newcomer in it, on the measuring part, if four conditions hold, and 0 otherwise:

1. The model knows something by itself. Training A and B makes something of the features of a
   random network, too; so its own output layer has to do better than guessing.
2. It is no copy: there is no accepted model such that each explains nearly all that the
   other's features say beyond the class (``originality``).
3. The whole does not get worse by it, or gains what the initiator demands.
4. It brings data: fused alone it does better than what the public part of the verification
   set gives, or the whole becomes clearly better by it. A contributor without data could else
   train on that part, and be paid for every place of a task.

The alternative, to report the gain itself, would pay the first model for everything and later
ones for next to nothing, whatever they cost to train.
PROTOCOL, System B, verification contributor and contract event 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ArchitectureError, ModelError, expect
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.originality import likeness
from bcfl.market.models.features import ModelOutputs
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.report import Reason, Report, to_ppm
from bcfl.market.verification_set import VerificationSet


@dataclass(frozen=True, slots=True)
class FitnessRules:
    """How verifiers of a task judge; part of the task's description.

    Raises
    ------
    ConfigurationError
        A rule is out of its range.
    """

    fusion: FusionSettings = field(default_factory=FusionSettings)
    limits: Limits = DEFAULT_LIMITS
    own_lift: float = 1.5  #: own accuracy at least this times the largest class's share
    own_names: float = 0.8  #: … and this share of what renaming its outputs could make of it
    copy_likeness: float = 0.98  #: so much like one accepted model: a copy
    least_gain_ppm: int = 0  #: of accuracy, by joining; negative to forgive noise
    public_accuracy: float = 0.0  #: of a model of public samples, fused alone; see ``baseline``
    data_gain_ppm: int = 20_000  #: demanded of a model that does no better than that

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("own_lift", self.own_lift >= 0, "0 or more"),
            ("own_names", 0 <= self.own_names <= 1, "in [0, 1]"),
            ("copy_likeness", 0 < self.copy_likeness <= 1, "in (0, 1]"),
            ("public_accuracy", 0 <= self.public_accuracy <= 1, "in [0, 1]"),
            ("data_gain_ppm", abs(self.data_gain_ppm) <= 1_000_000, "within ±1,000,000"),
            ("least_gain_ppm", abs(self.least_gain_ppm) <= 1_000_000, "within ±1,000,000"),
        ):
            expect(valid, f"fitness.{name}", expected, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Fitness:
    """A verifier's finding. ``report`` is what goes on chain; the rest explains it."""

    report: Report
    finding: str  #: for a person: why the reported fitness is what it is
    accuracy: float = 0.0  #: of the fused model with the newcomer, on the measuring part
    before: float = 0.0  #: of the fused model without it
    own: float = 0.0  #: of the newcomer by itself, on the measuring part
    likeness: float = 0.0  #: to the accepted model that it is most like
    fused: FusedModel | None = None  #: with the newcomer in it; None if it could not join


def judge(
    candidate: TrainedModel,
    accepted: FusedModel,
    verification: VerificationSet,
    rules: FitnessRules,
) -> Fitness:
    """Fuse a newcomer with the models accepted so far, measure, and report.

    Parameters
    ----------
    candidate : TrainedModel
        As ``decode_model_blob`` gave it. Where that raises, report ``Reason.MALFORMED``.
    accepted : FusedModel
        Of the models bought before this one was submitted; ``FusedModel()`` if there is none.

    Returns
    -------
    Fitness
        Raises nothing on account of the candidate: a model that cannot be run is reported.
    """
    try:
        outputs = outputs_for_task(candidate, verification, rules.limits)
        fused = accepted.join(candidate, outputs, verification, rules.fusion)
        alone = fused
        if accepted.models and rules.public_accuracy:
            alone = FusedModel().join(candidate, outputs, verification, rules.fusion)
    except (ArchitectureError, ModelError) as error:
        return Fitness(Report(0, Reason.MALFORMED), str(error), before=accepted.accuracy)
    _, measuring = verification.parts()
    predictions, labels = outputs.predictions[measuring], verification.labels[measuring]
    own = float((predictions == labels).mean())
    alike = _most_alike(outputs, accepted, verification)
    if objection := _guesses(predictions, labels, own, rules):
        report, finding = Report(0), objection
    elif alike >= rules.copy_likeness:
        finding = f"an accepted model and this one explain {alike:.4f} of each other: a copy"
        report = Report(0, Reason.DUPLICATE)
    elif objection := _harms(fused, accepted, rules) or _has_no_data(alone, fused, accepted, rules):
        report, finding = Report(0), objection
    else:
        report = Report(to_ppm(fused.accuracy))
        finding = f"accuracy {accepted.accuracy:.4f} → {fused.accuracy:.4f}"
    return Fitness(report, finding, fused.accuracy, accepted.accuracy, own, alike, fused)


def _most_alike(
    outputs: ModelOutputs, accepted: FusedModel, verification: VerificationSet
) -> float:
    parts = verification.parts()
    return max(
        (
            likeness(known.features, outputs.features, verification.labels, *parts)
            for known in accepted.outputs
        ),
        default=0.0,
    )


def _guesses(
    predictions: NDArray[np.intp], labels: NDArray[np.int64], own: float, rules: FitnessRules
) -> str | None:
    classes = int(max(predictions.max(), labels.max())) + 1
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, predictions), 1)
    guessing = confusion.sum(axis=1).max() / confusion.sum()
    if own < rules.own_lift * guessing:
        return (
            f"by itself the model reaches {own:.4f}; expected {rules.own_lift} times the "
            f"{guessing:.4f} of who always says the same"
        )
    # Give every output the class that it hits most: what the model knows, whatever the names.
    renamed = confusion.max(axis=0).sum() / confusion.sum()
    if own < rules.own_names * renamed:
        return (
            f"by itself the model reaches {own:.4f}, and {renamed:.4f} if its outputs are renamed"
        )
    return None


def _harms(fused: FusedModel, accepted: FusedModel, rules: FitnessRules) -> str | None:
    gain = to_ppm(fused.accuracy) - to_ppm(accepted.accuracy)
    if accepted.models and gain < rules.least_gain_ppm:
        return f"the fused model gains {gain} ppm by it; expected {rules.least_gain_ppm} or more"
    return None


def _has_no_data(
    alone: FusedModel, fused: FusedModel, accepted: FusedModel, rules: FitnessRules
) -> str | None:
    known = max(accepted.accuracy, rules.public_accuracy)
    gain = to_ppm(fused.accuracy) - to_ppm(known)
    if alone.accuracy <= rules.public_accuracy and gain < rules.data_gain_ppm:
        return (
            f"fused alone it reaches {alone.accuracy:.4f}, no more than public samples give; the "
            f"whole gains {gain} ppm by it; expected {rules.data_gain_ppm} or more"
        )
    return None
