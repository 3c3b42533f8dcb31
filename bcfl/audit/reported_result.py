"""``result.json`` and ``model.safetensors``: what a run says that it came to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import safetensors
import safetensors.numpy

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.history import History
from bcfl.audit.models import Models
from bcfl.audit.plain_files import parse_json, read_file
from bcfl.audit.reported_rounds import (
    Note,
    compare_model,
    compare_rounds,
    right_models,
    text_of,
    told_by_the_chain,
)
from bcfl.core.errors import AuditError
from bcfl.core.model import model_digest


def check_results(
    history: History, models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    """``result.json``: its rounds, its total of gas, its first and its final model."""
    path = evidence.folder / "result.json"
    if not os.path.lexists(path):
        return
    try:
        result = parse_json(path, read_file(path))
        rounds, gas = result["rounds"], result["totals"]["gas"]
        ends = [_object(result[name]) for name in ("initial", "final")]
        if not isinstance(rounds, list):
            raise TypeError("rounds is a list")
        claimed = [_object(entry) for entry in rounds]
    except (AuditError, KeyError, TypeError) as error:
        yield Finding(path.name, KEEPER, None, "the result of a run", f"{error!r:.200}")
        return
    yield from compare_rounds(path.name, claimed, history, models, evidence, note)
    by_round = {text_of(claim.get("chain_round")): claim for claim in claimed}
    fact = sum(
        sum(told_by_the_chain(round_, evidence.gas, claim)["gas"].values())
        for round_ in history.rounds
        if (claim := by_round.get(text_of(round_.chain_round))) is not None
    )
    if text_of(gas) != text_of(fact):
        yield Finding(path.name, KEEPER, None, f"{fact} gas in total", f"{gas!r:.80}")
    for end in ends:
        if end.get("model") is not None:
            yield from compare_model(path.name, end, history, models)


def check_model_file(
    history: History, models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    """``model.safetensors`` is the last global model, in the arrays of the first.

    A run that was interrupted may have left the model before the last; its ``result.json``
    names it then.
    """
    path = evidence.folder / "model.safetensors"
    if not os.path.lexists(path):
        if not os.path.lexists(evidence.folder / "result.json"):
            note("there is no result.json and no model.safetensors: the run wrote none, or not yet")
        return
    if models.updates is None:
        note(f"without the first model, the order of the arrays in {path.name} is not known")
        return
    right = {history.model.hex(), _claimed_model(evidence)}
    for round_ in history.rounds[-1:]:
        right.update(right_models(round_, models))
    expected = f"model {history.model.hex()} in {path.name}"
    try:
        arrays = safetensors.numpy.load(read_file(path, models.most_bytes))
        # a safetensors file keeps the arrays by name; their order is the model's
        order = models.order
        if sorted(order) != sorted(arrays):
            raise ValueError(f"arrays {sorted(arrays)!s:.100}")
        found = model_digest({key: arrays[key] for key in order}).hex()
    except (AuditError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        yield Finding("model file", KEEPER, None, expected, f"{error!r:.200}")
        return
    if found not in right:
        yield Finding("model file", KEEPER, None, expected, found)


def _claimed_model(evidence: Evidence) -> str:
    """What ``result.json`` says is the final model; whether it is one, ``check_results`` says."""
    path = evidence.folder / "result.json"
    try:
        return str(parse_json(path, read_file(path))["final"]["model"])
    except (AuditError, KeyError, TypeError):
        return ""


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object; found {value!r:.60}")
    return value
