"""An audit for people, a line a round, and for machines, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from bcfl.amounts import in_words
from bcfl.audit.audit import Audit
from bcfl.audit.history import Round
from bcfl.consensus.contract.events import Voided

_FORMAT: Final = "bcfl audit, format 1"


def printable(line: str) -> str:
    """A line that is one: names of foreign files may hold what moves a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def lines(audit: Audit) -> Iterator[str]:
    """What is printed: a line a round, the findings, the notes, the verdict."""
    yield from map(printable, _lines(audit))


def _lines(audit: Audit) -> Iterator[str]:
    yield f"contract {audit.task.contract} on chain {audit.task.chain_id}"
    for round_ in audit.rounds:
        yield _line(round_, audit)
    for finding in audit.findings:
        yield f"  ! {finding.words(audit.addresses(finding.round))}"
    for note in audit.notes:
        yield f"  note: {note}"
    for what in audit.unchecked:
        yield f"  not checked: {what}"
    yield _verdict(audit)


def to_json(audit: Audit) -> bytes:
    """The same, machine-readable."""
    report = {
        "format": _FORMAT,
        "holds": audit.holds,
        "verdict": _verdict(audit),
        "contract": audit.task.contract,
        "chain_id": audit.task.chain_id,
        "rounds": [_entry(round_, audit) for round_ in audit.rounds],
        "date": audit.date,
        "coordinator": audit.name(audit.task.coordinator),
        "members": list(audit.members),
        "findings": [
            {**finding.to_json(), "who": finding.culprit.words(audit.addresses(finding.round))}
            for finding in audit.findings
        ],
        "notes": audit.notes,
        "checked": audit.checked,
        "unchecked": audit.unchecked,
    }
    return json.dumps(report, indent=2).encode() + b"\n"


def _verdict(audit: Audit) -> str:
    rounds = f"{len(audit.rounds)} round{'' if len(audit.rounds) == 1 else 's'}"
    if audit.holds:
        closed = sum(round_.closed is not None for round_ in audit.rounds)
        models = f"{len(audit.recomputed)} of {closed} global models recomputed bit for bit"
        return f"HOLDS: {rounds}, {models}"
    guilty = ", ".join(
        dict.fromkeys(
            finding.culprit.words(audit.addresses(finding.round)) for finding in audit.findings
        )
    )
    count = len(audit.findings)
    return f"DOES NOT HOLD: {count} finding{'' if count == 1 else 's'} in {rounds}, by: {guilty}"


def _line(round_: Round, audit: Audit) -> str:
    who = f"{len(round_.commitments)} committed, {len(round_.ballots)} voted"
    if round_.abstained:
        who += f", {len(round_.abstained)} abstained"
    when = f", {in_words(round_.opened.timestamp)}" if audit.live else ""
    place = f"round {round_.number} (chain round {round_.chain_round}{when}): {who}"
    faults = _faults(round_, audit)
    verdict = f"{faults} finding{'' if faults == 1 else 's'}" if faults else "holds"
    if isinstance(round_.outcome, Voided):
        return f"{place}, void: {verdict}"
    if round_.closed is None:
        return f"{place}, not closed yet: {verdict}"
    seen = "" if round_.chain_round in audit.recomputed else " (not recomputed)"
    model = f"model {round_.closed.model.hex()[:16]}…{seen}"
    return f"{place}, winners {', '.join(map(str, round_.winners))}, {model}: {verdict}"


def _entry(round_: Round, audit: Audit) -> dict[str, Any]:
    return {
        "round": round_.number,
        "chain_round": round_.chain_round,
        "void": isinstance(round_.outcome, Voided),
        "opened": in_words(round_.opened.timestamp),
        "closed": in_words(round_.closed.timestamp) if round_.closed else None,
        "committed": sorted(round_.commitments),
        "voted": sorted(round_.ballots),
        "abstained": sorted(round_.abstained),
        "winners": list(round_.winners),
        "model": round_.closed.model.hex() if round_.closed else None,
        "recomputed": round_.chain_round in audit.recomputed,
        "findings": _faults(round_, audit),
    }


def _faults(round_: Round, audit: Audit) -> int:
    return sum(finding.round == round_.chain_round for finding in audit.findings)
