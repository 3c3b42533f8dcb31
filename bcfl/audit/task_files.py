"""The task, the configuration and the checkpoints on disk, held against the chain."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml  # type: ignore[import-untyped]

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.history import History
from bcfl.audit.models import Models
from bcfl.audit.plain_files import read_file
from bcfl.core.errors import AuditError

_MOST_CONFIG_BYTES = 2**20
_KNOB = re.compile(r"  (\w+): (.{0,200})")


def check_task(history: History, evidence: Evidence) -> Iterator[Finding]:
    """``task.json``: chain, coordinator, first model and rules are the contract's."""
    task, terms = evidence.task, evidence.terms
    opened = history.rounds[0].opened.base if history.rounds else history.model
    told = {
        "chain_id": (terms.domain.chain_id, task.chain_id),
        "coordinator": (terms.coordinator, task.coordinator),
        "genesis": (opened.hex(), task.genesis),
        "digest of the rules": (
            terms.rules.hex(),
            task.rules.digest().hex() if task.rules else "no rules",
        ),
    }
    for name, (by_chain, by_file) in told.items():
        if by_chain != by_file:
            yield Finding("task.json", KEEPER, None, f"{name} {by_chain}", f"{by_file!r:.100}")


def check_complete(evidence: Evidence) -> Iterator[Finding]:
    """Where ``bcfl run`` has left a result, it has left the rest as well."""
    if os.path.lexists(evidence.folder / "result.json"):
        for name in ("config.yaml", "rounds.jsonl", "model.safetensors"):
            if not os.path.lexists(evidence.folder / name):
                yield Finding(name, KEEPER, None, f"{name} beside result.json", "none")


def check_config(evidence: Evidence) -> Iterator[Finding]:
    """``config.yaml`` of a ``bcfl run``: the strategy's knobs are the rules that were agreed."""
    path, rules = evidence.folder / "config.yaml", evidence.task.rules
    by_us = os.path.lexists(path) and os.path.lexists(evidence.folder / "rounds.jsonl")
    if not by_us or rules is None or rules.digest() != evidence.terms.rules:
        return
    agreed = {name: value for name, value in rules.to_json().items() if name != "inner"}
    try:
        text = read_file(path, _MOST_CONFIG_BYTES).decode()
        knobs = {name: value for name, value in strategy_knobs(text) if name in agreed}
    except (AuditError, yaml.YAMLError, ValueError) as error:
        yield Finding("config.yaml", KEEPER, None, "a configuration", f"{error!r:.200}")
        return
    if not knobs:
        yield Finding("config.yaml", KEEPER, None, "the knobs of a strategy", "none")
    if knobs.get("combine", "") is None:  # what the rule's own is
        knobs["combine"] = replace(rules, combine=None).combination
    for name, value in knobs.items():
        if value != agreed[name]:
            yield Finding("config.yaml", KEEPER, None, f"{name} {agreed[name]!r}", f"{value!r:.80}")


def strategy_knobs(text: str) -> Iterator[tuple[str, Any]]:
    """The scalars right under ``strategy:``; line by line, so that nothing nests deeply."""
    _, _, block = f"\n{text}".partition("\nstrategy:\n")
    for line in block.split("\n"):
        if not line.startswith(" "):
            return
        if (knob := _KNOB.fullmatch(line)) is not None:
            yield knob[1], yaml.safe_load(knob[2])


def check_checkpoints(models: Models, evidence: Evidence) -> Iterator[Finding]:
    """Every checkpoint holds the model that it is named after."""
    for path in sorted(evidence.folder.glob("checkpoint-*.model")):
        name = path.stem.removeprefix("checkpoint-")
        try:
            found = hashlib.sha256(read_file(path, models.most_bytes)).hexdigest()
        except AuditError as error:
            found = str(error)
        if not name or not found.startswith(name):
            yield Finding("checkpoint", KEEPER, None, f"model {name}… in {path.name}", found)
