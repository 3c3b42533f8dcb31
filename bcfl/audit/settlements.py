"""Rounds that were settled optimistically: what was signed in them, and what was said of them.

What members signed is in the folder; it is played once more, so that everything else is checked
as of rounds that are on the chain in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bcfl.audit.ballots import seed_block
from bcfl.audit.findings import KEEPER, SERVER, Finding
from bcfl.audit.plain_files import parse_json, read_lines
from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.calldata import Call
from bcfl.consensus.contract.events import Committed, Selected
from bcfl.consensus.contract.played import PlayedLedger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.task_folder import BUNDLES
from bcfl.core.errors import AuditError, ProtocolError


class UnsettledError(Exception):
    """A round does not follow from what was signed: nothing after it is worth a look."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.words())
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Settled:
    """A task as it was played, and what is wrong with its end."""

    ledger: PlayedLedger
    calls: dict[str, Call]  #: by transaction number, of what is on no chain
    seeds: dict[int, bytes]  #: by number of block, what decided between equals
    findings: tuple[Finding, ...]


def replay(folder: Path, chain: SettlementLedger) -> Settled:
    """Hold every settled round against what was signed, and play it.

    Raises
    ------
    UnsettledError
        A round was settled otherwise, or what was signed in it is not there.
    """
    void_from, findings = chain.standing().void_from, []
    if void_from:
        expected = "rounds that the coordinator could answer for"
        found = "the contract has convicted it: this round and all after it are void"
        findings.append(Finding("settlement", SERVER, void_from, expected, found))
    try:
        bundles = list(_bundles(folder))
    except (AuditError, ProtocolError, KeyError, TypeError, ValueError) as error:
        expected = "what was signed in each round"
        finding = Finding(BUNDLES, KEEPER, None, expected, f"{error!r:.200}")
        raise UnsettledError(finding) from error
    roots = {bundle.root(): bundle for _, bundle in bundles}
    last = 0
    for event in chain.settled():
        if void_from and event.round >= void_from:
            break
        bundle, number = roots.get(event.record.root), event.round
        if bundle is None:
            expected = f"what was signed, with the root {event.record.root.hex()}"
            raise UnsettledError(Finding(BUNDLES, KEEPER, number, expected, "none"))
        if fault := fault_of(bundle, event.record, chain.terms, chain.domain, chain.members()):
            expected = "a round settled as it was signed"
            raise UnsettledError(Finding("settlement", SERVER, number, expected, fault))
        last = number
    ledger = PlayedLedger.find(chain, bundles, rounds=last)
    return Settled(ledger, dict(ledger.calls()), dict(_seeds(ledger)), tuple(findings))


def _bundles(folder: Path) -> Iterator[tuple[int, Bundle]]:
    path = folder / BUNDLES
    for line in read_lines(path) if path.exists() else ():
        entry = parse_json(path, line)
        yield int(entry["round"]), Bundle.from_json(entry)


def _seeds(ledger: PlayedLedger) -> Iterator[tuple[int, bytes]]:
    last: dict[int, int] = {}
    for event in ledger.events():
        if isinstance(event, Committed):
            last[event.round] = event.block
        elif isinstance(event, Selected):
            number = seed_block(last.get(event.round, 0), event.block)
            yield number, ledger.seeds[event.round]
