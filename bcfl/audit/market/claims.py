"""What the folder of a market's task says, held against chain and models.

``market.json``, ``result.json``, ``rounds.jsonl``, ``model.safetensors``, ``config.yaml``, and
what each role has written down under ``roles/``.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
import yaml  # type: ignore[import-untyped]

from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.market.chain_checks import Note
from bcfl.audit.market.evidence import Evidence, place_of
from bcfl.audit.market.models import Fused, Opened
from bcfl.audit.plain_files import MOST_MODEL_BYTES, parse_json, read_file, read_lines
from bcfl.audit.task_files import strategy_knobs
from bcfl.core.errors import AuditError, BlobMissing, CodecError
from bcfl.core.model import model_digest
from bcfl.market.roles.history import MarketHistory, SubmissionLog
from bcfl.market.spec.offer import MAX_OFFER_BYTES, Offer
from bcfl.market.spec.report import to_ppm
from bcfl.market.spec.terms import MarketPhase
from bcfl.market.statement import transactions_of
from bcfl.market.task_file import MARKET_FILE

_MISFIT: Final = (AuditError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
_TOLERANCE: Final = 0.001  # of accuracy and loss: processors add up in different orders
_NEAR: Final = 1e-3  # of fusion layers, which are trained


def check_market_file(evidence: Evidence, statement: Mapping[str, Any]) -> Iterator[Finding]:
    """``market.json``: the task is the chain's, and so is every sum in its statement."""
    told = evidence.told
    began = told.deployed_at if evidence.deployed else "another block"
    keys = {account.address for account in evidence.keys}
    said: dict[str, tuple[object, object]] = {
        "chain_id": (evidence.chain_id, told.chain_id),
        "initiator": (statement["initiator"], told.initiator),
        "description": (statement["description"], told.description),
        "deployed_at": (began, told.deployed_at),
    }
    if told.seed is not None:
        known = statement["initiator"] in keys
        said["seed"] = (told.seed if known else "that of the initiator's key", told.seed)
    if told.statement:
        said |= {f"statement.{k}": (statement[k], told.statement.get(k)) for k in statement}
        extra = {*told.statement} - {*statement}
        said["statement"] = (sorted(statement), sorted({*statement, *extra}))
    for name, (by_chain, by_file) in said.items():
        if by_chain != by_file:
            yield _finding(MARKET_FILE, f"{name} {by_chain!s:.200}", f"{by_file!r:.200}")


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
        except _MISFIT as error:
            yield _finding(lines.name, "a line for each round and measurement", f"{error!r:.200}")
    if os.path.lexists(result):
        for name in ("config.yaml", "rounds.jsonl", "model.safetensors"):
            if not os.path.lexists(folder / name):
                yield _finding(name, f"{name} beside result.json", "none")
        try:
            told = parse_json(result, read_file(result))
            yield from checker.check(result.name, told["rounds"])
            yield from checker.check_ends(told)
        except _MISFIT as error:
            yield _finding(result.name, "the result of a run", f"{error!r:.200}")
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
            yield _finding(file, f"rounds 1 to {len(numbers)}", f"{numbers}"[:200])
        for entry in rounds:
            yield from self._check_round(file, entry)
        for entry in entries:
            yield from self._check_measures(file, entry)
        if any(not entry["submission"] for entry in rounds):
            return  # a node may have submitted, and not have said so
        for submitted in self._of_task:
            if submitted.digest not in told and submitted.outcome is not None:
                yield _finding(file, f"a round of {place_of(submitted.digest)}", "none")

    def check_ends(self, result: Mapping[str, Any]) -> Iterator[Finding]:
        rounds = result["rounds"]
        gas = sum(sum(entry["gas"].values()) for entry in rounds)
        if result["totals"]["gas"] != gas:
            yield _finding("result.json", f"{gas} gas in all", f"{result['totals']['gas']!r:.60}")
        last: dict[str, Any] = next((e for e in reversed(rounds) if "accuracy" in e), {})
        for name in ("round", "accuracy", "loss", "model"):
            if result["final"].get(name) != last.get(name):
                found = f"{result['final'].get(name)!r:.100}"
                yield _finding("result.json", f"final {name} {last.get(name)}", found)

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
                yield _finding(file, expected, found, place_of(submitted.digest))

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
            yield _finding(file, expected, f"{entry['model']!r:.80}", place)
        for name, right in fused.measured.items():
            said = entry[name]
            number_ = isinstance(said, int | float) and not isinstance(said, bool)
            if not number_ or not math.isclose(said, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
                expected = f"{name} {right:.6f} of the fused model of round {number}"
                yield _finding(file, expected, f"{said!r:.40}", place)


def check_fused_file(evidence: Evidence, opened: Opened, note: Note) -> Iterator[Finding]:
    """``model.safetensors``, or what ``bcfl market collect`` wrote, is what was bought, fused."""
    last = next(reversed(opened.fused.values()), None)
    for name in ("model.safetensors", "fused.safetensors"):
        path = evidence.folder / name
        if not os.path.lexists(path):
            continue
        if last is None:
            note(f"{name} was not compared: no fused model could be made anew")
            continue
        try:
            yield from _check_arrays(path, last, note)
        except (*_MISFIT, safetensors.SafetensorError) as error:
            yield _finding(name, f"fused model {last.digest}", f"{error!r:.200}")


def _check_arrays(path: Path, right: Fused, note: Note) -> Iterator[Finding]:
    found = safetensors.numpy.load(read_file(path, MOST_MODEL_BYTES))
    if sorted(found) != sorted(right.arrays):
        raise ValueError(f"arrays {sorted(found)!s:.150}")
    if model_digest({key: found[key] for key in right.arrays}).hex() == right.digest:
        return
    for key, array in right.arrays.items():
        same = found[key].dtype == array.dtype and np.array_equal(found[key], array)
        trained = key.startswith("fusion.") and found[key].shape == array.shape
        if not same and not (trained and np.allclose(found[key], array, _NEAR, _NEAR)):
            yield _finding(path.name, f"fused model {right.digest}", f"another {key:.60}")
            return
    note(f"{path.name} is the fused model but for its last digits: another processor made it")


def check_config(evidence: Evidence, history: MarketHistory, opened: Opened) -> Iterator[Finding]:
    """``config.yaml`` of a ``bcfl run``: the strategy's knobs are the task's terms."""
    path = evidence.folder / "config.yaml"
    if not os.path.lexists(path):
        return
    terms = history.launched[evidence.told.task]
    rules, conditions = terms.rules, terms.conditions
    agreed: dict[str, object] = {
        "mafr": rules.mafr, "reward_wei": rules.reward, "fee_wei": rules.fee,
        "seats": rules.seats, "quorum": rules.quorum, "redraws": rules.redraws,
        "members_only": rules.members_only, "stake_wei": conditions.stake,
        "window_s": conditions.answer_window, "bond_wei": evidence.least_bond,
    }  # fmt: skip
    if opened.strategy:
        agreed |= {"fusion": opened.strategy, "least_gain_ppm": opened.least_gain_ppm}
    try:
        knobs = dict(strategy_knobs(read_file(path, 2**20).decode()))
        if not knobs.keys() & agreed.keys():
            yield _finding(path.name, "the knobs of a strategy", "none")
        if isinstance(knobs.get("mafr"), float):
            knobs["mafr"] = to_ppm(knobs["mafr"])
        if knobs.get("market") is not None:
            agreed.pop("bond_wei")  # another's market has a least bond of its own
    except (AuditError, yaml.YAMLError, ValueError) as error:
        yield _finding(path.name, "a configuration", f"{error!r:.200}")
        return
    for name, value in knobs.items():
        if name in agreed and value != agreed[name]:
            yield _finding(path.name, f"{name} {agreed[name]}", f"{value!r:.80}")


def check_roles(evidence: Evidence, history: MarketHistory) -> Iterator[Finding]:
    """What each role has written down is what it said on the chain and put into the store."""
    people = {who.lower(): who for who in history.public_keys}
    for path in sorted(evidence.folder.glob("roles/*/*.jsonl")):
        name = f"roles/{path.parent.name[:10]}…/{path.name}"
        owner = people.get(path.parent.name.lower(), "")
        try:
            for line in read_lines(path):
                entry = parse_json(path, line)
                if entry["market"] != evidence.market:
                    continue
                if path.name == "reports.jsonl":
                    yield from _check_report(entry, owner, history, name)
                elif path.name == "offers.jsonl":
                    yield from _check_offer(entry, evidence, history, name)
        except _MISFIT as error:
            yield _finding(name, "what a role writes down", f"{error!r:.200}")


def _check_report(
    entry: Mapping[str, Any], owner: str, history: MarketHistory, name: str
) -> Iterator[Finding]:
    submitted = history.submissions.get(bytes.fromhex(entry["submission"]))
    said = (entry["fitness"], entry["reason"])
    if submitted is None:
        yield _finding(name, "a report on a submission that was made", entry["submission"][:64])
    elif (told := submitted.reports.get(owner)) and said != (told.fitness, int(told.reason)):
        expected = f"fitness {told.fitness}, reason {int(told.reason)}"
        yield _finding(name, expected, f"{said}", place_of(submitted.digest))


def _check_offer(
    entry: Mapping[str, Any], evidence: Evidence, history: MarketHistory, name: str
) -> Iterator[Finding]:
    digest = bytes.fromhex(entry["offer"])
    submitted = history.submissions.get(digest)
    if submitted is None:
        return  # published, and never submitted
    if submitted.task != entry["task"]:
        yield _finding(name, f"task {submitted.task}", f"{entry['task']!r:.40}", place_of(digest))
    with suppress(BlobMissing, CodecError):  # what is lost is found where it is opened
        nonce = Offer.decode(evidence.blobs.get(digest, MAX_OFFER_BYTES)).nonce.hex()
        if nonce != entry["nonce"]:
            yield _finding(name, f"nonce {nonce}", f"{entry['nonce']!r:.60}", place_of(digest))


def _finding(kind: str, expected: str, found: str, place: str = "") -> Finding:
    return Finding(kind, KEEPER, None, expected, found, place)
