"""The audit of a market's task for people, a line a submission, and for machines, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from bcfl.amounts import in_ether, in_words
from bcfl.audit.findings import Finding
from bcfl.audit.market.audit import MarketAudit
from bcfl.audit.report import printable

_FORMAT: Final = "bcfl audit, format 1"


def lines(audit: MarketAudit) -> Iterator[str]:
    """What is printed: a line a submission, the money, the findings, the notes, the verdict."""
    yield from map(printable, _lines(audit))


def _lines(audit: MarketAudit) -> Iterator[str]:
    told = audit.told
    yield f"market {told.market} on chain {told.chain_id}, task {told.task}"
    for panel in audit.statement.get("panels", []):
        yield _line(panel, audit)
    if audit.statement:
        yield _money(audit.statement)
    for finding in audit.findings:
        yield f"  ! {_words(finding, audit)}"
    for note in audit.notes:
        yield f"  note: {audit.named(note)}"
    for what in audit.unchecked:
        yield f"  not checked: {what}"
    yield verdict(audit)


def to_json(audit: MarketAudit) -> bytes:
    """The same, machine-readable."""
    report = {
        "format": _FORMAT,
        "holds": audit.holds,
        "verdict": verdict(audit),
        "contract": audit.told.market,
        "chain_id": audit.told.chain_id,
        "date": audit.date,
        "coordinator": audit.name(audit.told.initiator),
        "market": audit.statement,
        "fused": audit.fused,
        "findings": [
            {**finding.to_json(), "who": audit.named(finding.culprit.words())}
            for finding in audit.findings
        ],
        "notes": [audit.named(note) for note in audit.notes],
        "checked": audit.checked,
        "unchecked": audit.unchecked,
    }
    return json.dumps(report, indent=2).encode() + b"\n"


def verdict(audit: MarketAudit) -> str:
    """In one line."""
    panels = len(audit.statement.get("panels", []))
    counted = f"{panels} submission{'' if panels == 1 else 's'}"
    if audit.holds:
        sold = sum(p["outcome"] == "paid" for p in audit.statement["panels"])
        return (
            f"HOLDS: {counted}, {audit.examined} of {audit.reports} reports measured again, "
            f"{len(audit.fused)} of {sold} fused models made anew"
        )
    who = (audit.named(finding.culprit.words()) for finding in audit.findings)
    guilty = ", ".join(dict.fromkeys(who))
    count = len(audit.findings)
    return f"DOES NOT HOLD: {count} finding{'' if count == 1 else 's'} in {counted}, by: {guilty}"


def _words(finding: Finding, audit: MarketAudit) -> str:
    where = "task" if not finding.place else finding.place
    who = finding.culprit.words()
    said = f"expected {finding.expected}; found {finding.found}"
    return audit.named(f"{where}, {finding.kind}: {who}: {said}")


def _line(panel: dict[str, Any], audit: MarketAudit) -> str:
    place = f"submission {panel['submission'][:8]}"
    when = f", {in_words(panel['submitted'])}" if audit.live else ""
    reports = [_report(seat) for seat in panel["verifiers"] if seat["reason"]]
    outcome = panel["outcome"]
    if panel["reward"]:
        outcome += f" {in_ether(panel['reward'])}"
    if panel["burnt"]:
        outcome += f", {in_ether(panel['burnt'])} burnt"
    found = sum(finding.place == place for finding in audit.findings)
    holds = f"{found} finding{'' if found == 1 else 's'}" if found else "holds"
    return (
        f"{panel['number']}. {place}{when} by {audit.name(panel['contributor'])}: "
        f"{' '.join(reports) or 'no report'}; {outcome}: {holds}"
    )


def _report(seat: dict[str, Any]) -> str:
    return f"{seat['fitness'] / 1e6:.3f}" if seat["reason"] == "measured" else str(seat["reason"])


def _money(statement: dict[str, Any]) -> str:
    spent = ("rewards", "fees", "burnt", "returned", "left")
    parts = [f"{in_ether(statement[name])} {name}" for name in spent if statement[name]]
    return f"deposit {in_ether(statement['deposit'])}: {', '.join(parts)}"
