"""Every global model from the first to the last, bit for bit.

PROTOCOL, System A, S4 (claim 5), with the core's own functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bcfl.audit.deltas import RoundDeltas, first_model, read_deltas
from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import SERVER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.plain_files import MOST_MODEL_BYTES, read_file
from bcfl.consensus.contract.events import Selected, winning_sets
from bcfl.consensus.spec.domain import members_in
from bcfl.consensus.spec.selection import best_first
from bcfl.consensus.spec.update import Updates
from bcfl.core.errors import AuditError, BcflError, CodecError, ModelError, NobodyLeft
from bcfl.core.model import Arrays, decode_model, model_digest

#: A global model to its loss and accuracy on the test part, as its run measured them.
Measure: TypeAlias = Callable[[Arrays], Mapping[str, float]]

_HEADINGS_BYTES = 2**24  # what a file says of its arrays beside their values
_MANY = 16  # with more members than this, a wrong model is not explained, only found


@dataclass(slots=True)
class Models:
    """What came of recomputing the models."""

    updates: Updates[Any] | None = None
    order: tuple[str, ...] = ()  #: the arrays of the last model that is known
    recomputed: dict[int, bytes] = field(default_factory=dict)  #: digest, by chain round
    #: By chain round: whose deltas are there, as they were committed.
    readable: dict[int, frozenset[int]] = field(default_factory=dict)
    #: By the server's round, 0 being before the first: loss and accuracy, measured anew.
    measured: dict[int, Mapping[str, float]] = field(default_factory=dict)
    unmeasured: str = ""  #: why no more of them were
    findings: list[Finding] = field(default_factory=list)

    def measure(self, number: int, arrays: Arrays, measure: Measure | None) -> None:
        """Measure the model after a round, unless that has failed once."""
        if measure is None or self.unmeasured:
            return
        try:
            self.measured[number] = measure(arrays)
        except BcflError as error:
            self.unmeasured = str(error)

    @property
    def most_bytes(self) -> int:
        """The largest file that a model of this task fits in, whatever wrote it."""
        most = MOST_MODEL_BYTES
        return most if self.updates is None else self.updates.size_bytes(most) + _HEADINGS_BYTES


def check_models(
    history: History,
    evidence: Evidence,
    note: Callable[[str], None],
    measure: Measure | None = None,
) -> Models:
    """Fetch every blob, decode every delta, aggregate every round's winners; measure the models."""
    models, rules = Models(), evidence.task.rules
    if rules is None or rules.digest() != evidence.terms.rules:
        note("the contract's rules are not known: no delta and no model was checked")
        return models
    first = first_model(history, rules, evidence)
    if isinstance(first, Finding):
        models.findings.append(first)
        note("there is no first model: no delta and no model was checked")
        return models
    arrays: Arrays | None
    arrays, models.updates = first
    models.order = tuple(arrays)
    models.measure(0, arrays, measure)
    if rules.inner:
        note(
            f"{rules.inner} made the models of the winners' deltas: by the rules alone they "
            "cannot be recomputed; everything else was checked"
        )
    for round_ in history.rounds:
        read = read_deltas(round_, models.updates, evidence)
        models.findings += read.findings
        models.readable[round_.chain_round] = frozenset(read.deltas)
        if round_.closed is None:
            continue
        base = arrays or load_checkpoint(evidence.folder, round_.opened.base)
        arrays = None
        if base is not None and not rules.inner:
            arrays = _recompute(round_, base, read, models)
        if round_.chain_round not in models.recomputed and not rules.inner:
            note(f"chain round {round_.chain_round}: the model could not be recomputed")
        if arrays is None:
            arrays = load_checkpoint(evidence.folder, round_.closed.model)
        if arrays is not None:
            models.order = tuple(arrays)
            models.measure(round_.number, arrays, measure)
    return models


def load_checkpoint(folder: Path, digest: bytes) -> Arrays | None:
    """The model of that digest, if a checkpoint holds it."""
    try:
        content = read_file(folder / f"checkpoint-{digest.hex()[:32]}.model", MOST_MODEL_BYTES)
        return decode_model(content) if hashlib.sha256(content).digest() == digest else None
    except (AuditError, CodecError):
        return None


def _recompute(round_: Round, base: Arrays, read: RoundDeltas, models: Models) -> Arrays | None:
    """The next θ_g, if it is the one that the server closed the round with."""
    assert models.updates is not None
    assert round_.closed is not None
    said = round_.closed.model
    attempt = _Attempt(base, read.deltas, models.updates)
    sets = _winning(round_)
    new = attempt.model(*sets)
    if new is not None and model_digest(new) == said:
        models.recomputed[round_.chain_round] = said
        return new
    if read.missing:
        return None  # whether the server had them, and what they say, nobody knows
    expected = f"no model, as the winners {round_.winners} give none"
    if new is not None:
        models.recomputed[round_.chain_round] = model_digest(new)
        expected = f"model {model_digest(new).hex()}, made of the winners {round_.winners}"
    found = said.hex()
    if len(sets) == 1:
        found += attempt.explain(said, sets[0])
    models.findings.append(Finding("model", SERVER, round_.chain_round, expected, found))
    return None


def _winning(round_: Round) -> list[tuple[int, ...]]:
    """The sets that make the next model, the best member first; none where nobody has won."""
    selected = round_.outcome
    if not isinstance(selected, Selected):
        return [()]
    order = best_first(dict(enumerate(selected.scores)), round_.commitments, selected.seed)
    sets = map(members_in, winning_sets(selected, round_.proposals.values()))
    return [tuple(m for m in order if m in members) for members in sets]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One round's aggregation, by the rules or not."""

    base: Arrays
    deltas: Mapping[int, Any]
    updates: Updates[Any]

    def model(self, *sets: tuple[int, ...], clipped: bool = True) -> Arrays | None:
        """θ_g + η·(the mean of combine(set)); None if there is nothing to combine."""
        deltas = self.updates.limited(self.deltas) if clipped else self.deltas
        chosen = [{j: deltas[j] for j in members if j in deltas} for members in sets]
        try:
            return self.updates.combined(self.base, chosen)
        except (ModelError, NobodyLeft):
            return None

    def explain(self, said: bytes, winners: tuple[int, ...]) -> str:
        """Which other updates give the model that the server closed with, if any do."""
        for words, arrays in self._others(winners):
            if arrays is not None and model_digest(arrays) == said:
                return f", which is {words}"
        return ""

    def _others(self, winners: tuple[int, ...]) -> Iterator[tuple[str, Arrays | None]]:
        yield "the model as it was", self.base
        few = self.deltas if len(self.deltas) <= _MANY else ()
        for one in few:
            yield f"made of member {one} alone", self.model((one,))
        yield "made of all that were committed", self.model(tuple(self.deltas))
        yield "made of the winners, not clipped", self.model(winners, clipped=False)
        losers = tuple(member for member in few if member not in winners)
        if losers:
            yield f"made of the losers {losers}", self.model(losers)
        for one in few:
            changed = tuple(sorted({*winners} ^ {one}))
            yield f"made of {changed}", self.model(changed)
