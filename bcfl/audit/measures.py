"""Losses and accuracies that a run's folder tells of, held against models measured anew."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, Final

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.models import Models
from bcfl.audit.plain_files import parse_json, read_file, read_lines
from bcfl.core.errors import AuditError

#: Processors add up in different orders: one image of a large test part may change sides.
_TOLERANCE: Final = {"accuracy": 0.001, "loss": 0.001}


def check_measures(models: Models, evidence: Evidence) -> Iterator[Finding]:
    """``result.json`` and ``rounds.jsonl`` say of each model what it is measured to be."""
    for file, claim in _claims(evidence):
        number = claim.get("round")
        measured = models.measured.get(number) if isinstance(number, int) else None
        for name, tolerance in _TOLERANCE.items():
            if measured is None or name not in claim:
                continue
            said, right = claim[name], measured[name]
            if not _near(said, right, tolerance):
                expected = f"{name} {right:.6f} of the model of round {number}"
                yield Finding(file, KEEPER, None, expected, f"{said!r:.40}")


def _near(said: object, right: float, tolerance: float) -> bool:
    if not isinstance(said, (int, float)) or isinstance(said, bool):
        return said is None and not math.isfinite(right)  # JSON has no NaN
    return math.isclose(said, right, rel_tol=tolerance, abs_tol=tolerance)


def _claims(evidence: Evidence) -> Iterator[tuple[str, dict[str, Any]]]:
    """File and claim; what is no claim at all is found where the files are read for it."""
    result, lines = evidence.folder / "result.json", evidence.folder / "rounds.jsonl"
    found: list[tuple[str, Any]] = []
    try:
        if os.path.lexists(result):
            told = parse_json(result, read_file(result))
            found += [(result.name, told[name]) for name in ("initial", "final")]
            found += [(result.name, entry) for entry in told["rounds"]]
        if os.path.lexists(lines):
            found += [(lines.name, parse_json(lines, line)) for line in read_lines(lines)]
    except (AuditError, KeyError, TypeError):
        pass
    for file, claim in found:
        # a void round has the number of the one that repeats it, and no measurement
        if isinstance(claim, dict) and not claim.get("void"):
            yield file, claim
