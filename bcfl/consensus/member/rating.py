"""S3: what a member makes of models that others' deltas would make, by its own measure.

A measure takes models, one candidate after the other: the app's evaluate, or, where a reference
set decides, the app's function for that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from logging import WARNING
from typing import Any, TypeAlias

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.logger import log
from numpy.typing import NDArray

from bcfl.consensus.records import LONGEST_REASON, apps_own
from bcfl.consensus.spec.metric import choose_quality
from bcfl.consensus.spec.referee import draw
from bcfl.consensus.spec.reference import decode_reference
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import BcflError, ConfigurationError, ProtocolError
from bcfl.core.model import Arrays
from bcfl.flower import handlers

REVIEW = "bcfl-review"  #: in the config of an evaluation that rates another member's update
RULE = "bcfl-rule"  #: beside it, where members propose: which rule decides

#: A model and the samples of the reference set to its mean loss; smaller is better.
ReferenceLoss: TypeAlias = Callable[[ArrayRecord, Arrays], float]
#: These samples and a round's seed to what the round is rated on; it changes nothing in place.
Vary: TypeAlias = Callable[[Arrays, int], Arrays]
#: A model to how good it is; larger is better. It may raise anything.
Measure: TypeAlias = Callable[[ArrayRecord], float]


@dataclass(frozen=True, slots=True)
class Rateable:
    """What a member is to rate."""

    keys: Mapping[int, int]  #: by candidate; those with equal keys are the same
    make: Callable[[int], ArrayRecord]  #: key to model
    missing: dict[int, str]  #: by candidate: why it cannot be rated
    invalid: dict[int, str]


def app_measure(
    message: Message, context: Context, evaluate: ClientAppCallable, rules: Rules
) -> Measure:
    """What the app's evaluate reports, asked with the records of ``message`` that are its own."""
    key, _ = handlers.model_in(message.content)
    asked = _review_content(message.content, rules)

    def measure(model: ArrayRecord) -> float:
        message.content = copy.deepcopy(asked)
        message.content[key] = model
        metrics = handlers.call_evaluate(message, context, evaluate)
        return choose_quality(metrics, rules.metric)[1]

    return measure


def reference_measure(
    loss: ReferenceLoss,
    samples: bytes,
    rules: Rules,
    vary: Vary | None,
    digests: Mapping[int, bytes],
) -> Measure:
    """What the app's function makes of the reference set, or of what ``vary`` makes of that.

    Raises
    ------
    ProtocolError
        It is another set than the rules'.
    """
    held = _samples(samples, rules.reference)
    if vary is not None:
        held = vary(dict(held), draw(digests))

    def measure(model: ArrayRecord) -> float:
        return -float(loss(model, held))

    return measure


def expect_reference_loss(rules: Rules, loss: ReferenceLoss | None) -> None:
    """Raise ConfigurationError where the rule needs a function that the app does not have."""
    if rules.rule == "referee" and loss is None:
        raise ConfigurationError(
            "rule=referee rates on a reference set, and this app has no function for that: name "
            "one that takes a model (an ArrayRecord) and samples (name to array) and returns a "
            "loss, ClientApp(mods=[PeerConsensusMod(reference=…)]); or choose rule=coalition, "
            "which asks the app's own evaluate"
        )


def rate_all(measure: Measure, rateable: Rateable) -> tuple[dict[int, float], dict[int, str]]:
    """By candidate: the quality, or why it could not be measured.

    Raises
    ------
    ProtocolError
        Nothing could be measured at all.
    """
    qualities: dict[int, float] = {}
    failed: dict[int, str] = {}
    found: dict[int, float] = {}
    first = ""
    for candidate, key in rateable.keys.items():
        try:
            if key not in found:
                found[key] = measure(rateable.make(key))
            qualities[candidate] = found[key]
        except Exception as error:  # noqa: BLE001 - whatever a stranger's delta does to the app
            first = first or _named(error)
            failed[candidate] = f"evaluate failed on it: {_named(error)}"[:LONGEST_REASON]
    if len(found) > 1 and not any(map(math.isfinite, found.values())):
        log(
            WARNING, "evaluate gave no number on any of %s updates: all are rated alike", len(found)
        )
    if failed and not qualities:
        raise ProtocolError(f"evaluate failed on every delta of the round; first: {first}")
    return qualities, failed


def losses_of(
    measure: Measure, model: Callable[[NDArray[Any]], Arrays]
) -> Callable[[Iterable[NDArray[Any]]], list[float]]:
    """As ``candidates.Losses``; what cannot be measured is infinitely bad.

    ``model`` makes a model of a vector.

    Raises
    ------
    ProtocolError
        Of several vectors none could be measured, nor any before.
    """
    measured = False

    def losses(vectors: Iterable[NDArray[Any]]) -> list[float]:
        nonlocal measured
        found: list[float] = []
        reason = ""
        for vector in vectors:
            try:
                found.append(-measure(handlers.to_array_record(model(vector))))
                measured = True
            except Exception as error:  # noqa: BLE001 - as above
                found.append(math.inf)
                reason = reason or _named(error)
        if reason and len(found) > 1 and not measured:
            raise ProtocolError(f"evaluate failed on every set of deltas; first: {reason}")
        return found

    return losses


def _named(error: Exception) -> str:
    """Ours says what is wrong; of the app's the name does as well: ``KeyError: 'batches'``."""
    return str(error) if isinstance(error, BcflError) else f"{type(error).__name__}: {error}"


@lru_cache(maxsize=2)
def _samples(blob: bytes, digest: str) -> Arrays:
    return decode_reference(blob, digest)


def _review_content(content: RecordDict, rules: Rules) -> RecordDict:
    """What the app is asked to evaluate with, but for the arrays: its config, and the flags."""
    asked = apps_own(content)
    for key in list(asked.array_records):
        del asked[key]
    if not asked.config_records:
        asked["config"] = ConfigRecord()
    for record in asked.config_records.values():
        record[REVIEW] = True
        if rules.proposes:
            record[RULE] = rules.rule
    return asked
