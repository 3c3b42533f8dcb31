"""What may be done to the leavings of an honest market, and who did it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bcfl.audit.gather import open_chain
from bcfl.audit.market.audit import MarketAudit, audit_evidence, audit_market
from bcfl.audit.market.evidence import Evidence
from bcfl.audit.market.gather import gather, read_told
from bcfl.audit.market.models import Opened, check_models
from bcfl.chain.event import Event
from bcfl.experiment.market.market_simulation import FusionEvaluation
from bcfl.flower.handlers import to_array_record
from bcfl.market.roles.history import history_of
from bcfl.store.local import LocalStore
from tests.strategies.sold_market import digits


def measure(arrays: Mapping[str, Any]) -> dict[str, float]:
    """As the run measured."""
    metrics = FusionEvaluation(digits())(0, to_array_record(dict(arrays)))
    return {name: float(str(metrics[name])) for name in ("loss", "accuracy")}


@dataclass
class Gathered:
    """The evidence of the honest task, and what came of opening its blobs."""

    evidence: Evidence
    opened: Opened


def gathered(folder: Path) -> Gathered:
    store = LocalStore(folder / "blobs")
    with open_chain(folder, None) as connection:
        evidence = gather(folder, read_told(folder), connection, store, live=False)
    history = history_of(evidence.events)
    return Gathered(evidence, check_models(evidence, history, print, measure))


@dataclass
class Case:
    """A copy of the task, to be spoilt."""

    folder: Path
    honest: Gathered
    anew: bool = False  #: the blobs are opened once more
    replayed: bool = False  #: the chain, too
    bends: list[Callable[[Evidence], Evidence]] = field(default_factory=list)

    def audit(self) -> MarketAudit:
        store = LocalStore(self.folder / "blobs")
        if self.replayed:
            return audit_market(self.folder, store)
        told = read_told(self.folder)
        evidence = replace(self.honest.evidence, folder=self.folder, blobs=store, told=told)
        for bend in self.bends:
            evidence = bend(evidence)
        return audit_evidence(evidence, measure, None if self.anew else self.honest.opened)

    def blob(self, digest: bytes | str) -> Path:
        name = digest if isinstance(digest, str) else digest.hex()
        return self.folder / "blobs" / name[:2] / name

    def edit(self, name: str, change: Callable[[Any], None]) -> None:
        """Change a JSON file."""
        value = json.loads((self.folder / name).read_text())
        change(value)
        (self.folder / name).write_text(json.dumps(value))

    def edit_line(self, name: str, line: int, change: Callable[[Any], None]) -> None:
        """Change a line of a file that has a JSON object in each."""
        path = next(self.folder.glob(name))
        lines = path.read_text().splitlines()
        value = json.loads(lines[line])
        change(value)
        lines[line] = json.dumps(value)
        path.write_text("\n".join(lines) + "\n")

    def first(self, kind: type[Any]) -> Any:
        return next(event for event in self.honest.evidence.events if isinstance(event, kind))

    def lie(self, **fields: Any) -> None:
        """Let the node tell something else of the task."""
        self.bends.append(lambda evidence: replace(evidence, **fields))

    def bend_first(self, kind: type[Any], **fields: Any) -> None:
        """Let the node tell the first event of a kind with other fields; none: not at all."""
        events: list[Event] = list(self.honest.evidence.events)
        at = events.index(self.first(kind))
        events[at : at + 1] = [replace(events[at], **fields)] if fields else []
        self.lie(events=tuple(events))


@dataclass(frozen=True)
class Tampering:
    """One kind: what is done, and whom the audit must name for it."""

    culprit: str
    spoil: Callable[[Case], None]
    name: str


TAMPERINGS: list[Tampering] = []


def by(culprit: str) -> Callable[[Callable[[Case], None]], None]:
    """Put the function into the list, with whom the audit must name, and nobody else."""
    return lambda spoil: add(culprit, spoil.__name__, spoil)


def add(culprit: str, name: str, spoil: Callable[[Case], None]) -> None:
    TAMPERINGS.append(Tampering(culprit, spoil, name))
