"""What a tampering is: something done to the leavings of an honest run, and who did it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bcfl.audit.audit import Audit, audit_evidence, audit_run
from bcfl.audit.documents import read_task
from bcfl.audit.evidence import Evidence
from bcfl.audit.gather import gather, open_chain
from bcfl.chain.event import Event
from bcfl.keys.accounts import Account, derive_account


@dataclass
class Case:
    """A copy of a finished run, to be spoilt."""

    folder: Path
    evidence: Callable[[], Evidence]  #: of the run before it was spoilt
    bends: list[Callable[[Evidence], Evidence]] = field(default_factory=list)
    shown: list[Path] = field(default_factory=list)

    def audit(self) -> Audit:
        """The folder as it is; through a node that lies, where there are bends."""
        if not self.bends:
            return audit_run(self.folder, shown=self.shown)
        evidence = replace(self.evidence(), folder=self.folder)
        for bend in self.bends:
            evidence = bend(evidence)
        return audit_evidence(evidence)

    def blob(self, committed: int = 0) -> Path:
        """The file of the delta that the journal names first, second, and so on."""
        digests = [e["digest"] for e in self.lines("journal.jsonl") if e["kind"] == "commitment"]
        return self.blob_of(digests[committed])

    def blob_of(self, digest: str) -> Path:
        return self.folder / "blobs" / digest[:2] / digest

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def write_lines(self, name: str, entries: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (self.folder / name).write_text(text)

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def write_json(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value))

    def bend(self, change: Callable[[Event], Event | None]) -> None:
        """Let the node tell ``change(event)`` for each event; nothing where that is None."""

        def bent(evidence: Evidence) -> Evidence:
            told = [change(event) for event in evidence.events]
            return replace(evidence, events=tuple(event for event in told if event is not None))

        self.bends.append(bent)

    def bend_first(self, kind: type[Any], **fields: Any) -> None:
        """Let the node tell the first event of a kind with other fields; ``None``: not at all."""
        seen: list[Event] = []

        def change(event: Event) -> Event | None:
            if not isinstance(event, kind) or seen:
                return event
            seen.append(event)
            return replace(event, **fields) if fields else None

        self.bend(change)


def gathered(folder: Path) -> Evidence:
    """The evidence of a folder that is in order."""
    with open_chain(folder, None) as connection:
        evidence, findings = gather(folder, read_task(folder), connection, live=False)
    assert not findings
    return evidence


def member_key(member: int) -> Account:
    """The development key of a member of a run with seed 0."""
    return derive_account(0, "member", member)


@dataclass(frozen=True)
class Tampering:
    """One kind: what is done, to which run, and whom the audit must name for it."""

    culprit: str
    run: str  #: name of the run in ``runs.RUNS``
    spoil: Callable[[Case], None]

    @property
    def name(self) -> str:
        return self.spoil.__name__


TAMPERINGS: list[Tampering] = []


def by(culprit: str, run: str = "honest") -> Callable[[Callable[[Case], None]], None]:
    """Put the function into the list, with whom the audit must name, and nobody else."""
    return lambda spoil: TAMPERINGS.append(Tampering(culprit, run, spoil))
