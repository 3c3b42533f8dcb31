"""``result.json`` and ``rounds.jsonl`` of a market's run, held against chain and models."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bcfl.audit.findings import Finding
from bcfl.audit.market.chain_checks import Note
from bcfl.audit.market.claims import MISFIT, unlike
from bcfl.audit.market.evidence import Evidence, place_of
from bcfl.audit.market.models import Fused, Opened
from bcfl.audit.plain_files import parse_json, read_file, read_lines
from bcfl.market.roles.history import MarketHistory, SubmissionLog
from bcfl.market.spec.report import to_ppm
from bcfl.market.spec.terms import MarketPhase
from bcfl.market.statement import transactions_of

_TOLERANCE: Final = 0.001  # of accuracy and loss: processors add up in different orders


def check_results(
    evidence: Evidence, history: MarketHistory, opened: Opened, note: Note
) -> Iterator[Finding]:
    """``result.json`` and ``rounds.jsonl``: every round, sum and measurement."""
    folder = evidence.folder
    result, lines = folder / "result.json", folder / "rounds.jsonl"
    checker = _Rounds(evidence, history, opened)
    if os.path.lexists(lines):
        try:
            entries = [parse_json(lines, line) for line in read_lines(lines)]
            yield from checker.check(lines.name, entries)
        except MISFIT as error:
            yield unlike(lines.name, "a line for each round and measurement", f"{error!r:.200}")
    if os.path.lexists(result):
        for name in ("config.yaml", "rounds.jsonl", "model.safetensors"):
            if not os.path.lexists(folder / name):
                yield unlike(name, f"{name} beside result.json", "none")
        try:
            told = parse_json(result, read_file(result))
            yield from checker.check(result.name, told["rounds"])
            yield from checker.check_ends(told)
        except MISFIT as error:
            yield unlike(result.name, "the result of a run", f"{error!r:.200}")
    if checker.claimed and opened.fused and not checker.bitwise:
        note(
            "no fused model that the folder names comes out bit for bit: it was made by another "
            "processor's arithmetic, or is another one"
        )


class _Rounds:
    """Claims about rounds, whichever file makes them."""

    def __init__(self, evidence: Evidence, history: MarketHistory, opened: Opened) -> None:
        self._evidence, self._history, self._opened = evidence, history, opened
        self._of_task = history.of_task(evidence.told.task)
        self._people: dict[int, str] = {}  # by the index that the run gives them
        self._rounds: dict[int, SubmissionLog | None] = {}
        self.claimed: set[str] = set()  #: digests of fused models

    @property
    def bitwise(self) -> bool:
        """Whether this machine's arithmetic is that of the run's."""
        return bool({each.digest for each in self._opened.fused.values()} & self.claimed)

    def check(self, file: str, entries: list[Any]) -> Iterator[Finding]:
        rounds = [e for e in entries if e.get("kind", "round") == "round"]
        told: set[bytes] = set()
        for entry in rounds:
            submitted = self._submitted(entry)
            if submitted is not None:
                told.add(submitted.digest)
                self._people.setdefault(entry["contributor"], submitted.contributor)
            self._rounds[entry["round"]] = submitted
        self.claimed |= {str(entry["model"]) for entry in entries if "model" in entry}
        numbers = [entry["round"] for entry in rounds]
        if numbers != list(range(1, len(numbers) + 1)):
            yield unlike(file, f"rounds 1 to {len(numbers)}", f"{numbers}"[:200])
        for entry in rounds:
            yield from self._check_round(file, entry)
        for entry in entries:
            yield from self._check_measures(file, entry)
        if any(not entry["submission"] for entry in rounds):
            return  # a node may have submitted, and not have said so
        for submitted in self._of_task:
            if submitted.digest not in told and submitted.outcome is not None:
                yield unlike(file, f"a round of {place_of(submitted.digest)}", "none")

    def check_ends(self, result: Mapping[str, Any]) -> Iterator[Finding]:
        rounds = result["rounds"]
        gas = sum(sum(entry["gas"].values()) for entry in rounds)
        if result["totals"]["gas"] != gas:
            yield unlike("result.json", f"{gas} gas in all", f"{result['totals']['gas']!r:.60}")
        last: dict[str, Any] = next((e for e in reversed(rounds) if "accuracy" in e), {})
        for name in ("round", "accuracy", "loss", "model"):
            if result["final"].get(name) != last.get(name):
                found = f"{result['final'].get(name)!r:.100}"
                yield unlike("result.json", f"final {name} {last.get(name)}", found)

    def _submitted(self, entry: Mapping[str, Any]) -> SubmissionLog | None:
        digest = bytes.fromhex(entry["submission"])
        if not digest:
            return None
        if (found := self._history.submissions.get(digest)) not in self._of_task or found is None:
            raise ValueError(f"round {entry['round']}: no submission {entry['submission']:.64}")
        return found

    def _check_round(self, file: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
        if (submitted := self._submitted(entry)) is None:
            return
        outcome = submitted.outcome.name.lower() if submitted.outcome else "pending"
        gas: dict[str, int] = {}
        for number, name in transactions_of(self._evidence.events, submitted.digest).items():
            gas[name] = gas.get(name, 0) + self._evidence.gas.get(number, 0)
        right: dict[str, object] = {
            "outcome": outcome,
            "contributor's address": submitted.contributor,
            "gas": gas,
            "reports": self._pairs(submitted),
        }
        said: dict[str, object] = {
            "outcome": entry["outcome"],
            "contributor's address": self._people.get(entry["contributor"]),
            "gas": entry["gas"],
            "reports": self._said_reports(entry, submitted),
        }
        if (size := self._opened.sizes.get(submitted.digest)) is not None:
            reports = len(submitted.reports)
            for name, value in (("bytes_up", size), ("bytes_down", size * reports)):
                right |= {name: value, f"{name}_dense": value}
                said |= {name: entry[name], f"{name}_dense": entry[f"{name}_dense"]}
        if (fused := self._fused_at(submitted)) is not None:
            right["fused"], said["fused"] = fused.models, entry["fused"]
        for what, wanted in right.items():
            if said[what] != wanted:
                found = f"{said[what]!r:.200}"
                expected = f"{what} {wanted!s:.200} in round {entry['round']}"
                yield unlike(file, expected, found, place_of(submitted.digest))

    def _said_reports(self, entry: Mapping[str, Any], submitted: SubmissionLog) -> object:
        """As the round tells them; of whom an index is known by now, under its own name."""
        fitness, reasons = entry["fitness"], entry["reasons"]
        said = {int(who): (to_ppm(value), str(reasons[who])) for who, value in fitness.items()}
        for who, one in said.items():
            right = submitted.reports.get(self._people.get(who, ""))
            if who in self._people and (
                right is None or one != (right.fitness, right.reason.name.lower())
            ):
                return f"{one} by verifier {who}"
        pairs = self._pairs(submitted)
        if self._evidence.told.seed is None and not Counter(said.values()) - Counter(pairs):
            return pairs  # strangers to the federation verify, too; a round does not tell of them
        return sorted(said.values())

    @staticmethod
    def _pairs(submitted: SubmissionLog) -> list[tuple[int, str]]:
        """Fitness and reason of all reports."""
        return sorted((r.fitness, r.reason.name.lower()) for r in submitted.reports.values())

    def _fused_at(self, submitted: SubmissionLog) -> Fused | None:
        """The fused model after a round; None where there is none, or none was made anew."""
        paid = submitted.outcome is MarketPhase.PAID
        bought = [*submitted.bought_before, *([submitted.digest] if paid else [])]
        return self._opened.fused.get(bought[-1]) if bought else None

    def _check_measures(self, file: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
        if "accuracy" not in entry:
            return
        number = entry["round"]
        submitted = self._rounds.get(number)
        if submitted is None or (fused := self._fused_at(submitted)) is None:
            return
        place = place_of(submitted.digest)
        if self.bitwise and entry["model"] != fused.digest:
            expected = f"fused model {fused.digest} after round {number}"
            yield unlike(file, expected, f"{entry['model']!r:.80}", place)
        for name, right in fused.measured.items():
            said = entry[name]
            number_ = isinstance(said, int | float) and not isinstance(said, bool)
            if not number_ or not math.isclose(said, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
                expected = f"{name} {right:.6f} of the fused model of round {number}"
                yield unlike(file, expected, f"{said!r:.40}", place)
