"""What a run's folder claims of its rounds, held against what the chain says of them.

Losses, accuracies, seconds and bytes are the word of whoever ran it: no chain knows them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.models import Models
from bcfl.audit.plain_files import parse_json, read_lines
from bcfl.consensus.contract.events import (
    BallotCast,
    Selected,
    Voided,
    by_phase,
)
from bcfl.consensus.spec.domain import Ballot, members_in
from bcfl.core.errors import AuditError, ProtocolError

Note: TypeAlias = Callable[[str], None]


def told_by_the_chain(
    round_: Round, gas: Mapping[str, int], claim: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of a ``RoundRecord`` that follow from the chain alone, as JSON has them.

    Parameters
    ----------
    round_ : Round
    gas : mapping of str to int
        By transaction number.
    claim : mapping
        The record that it is to be compared with: a transaction that brought nothing but what
        was refused, or ballots that gave no points, is of the phase that this says, or of none.
    """
    selected = round_.outcome if isinstance(round_.outcome, Selected) else None
    transactions = by_phase(round_.events).get(round_.chain_round, {})
    _add_fruitless(transactions, round_, claim)
    proposed = {
        "proposals": {
            str(member): list(members_in(event.members))
            for member, event in sorted(round_.proposals.items())
        },
        "chosen": list(members_in(selected.chosen)) if selected else [],
    }
    return {
        **(proposed if round_.proposals else {}),
        "round": round_.number,
        "chain_round": round_.chain_round,
        "void": round_.closed is None,
        "base": round_.opened.base.hex(),
        "model": (round_.closed.model if round_.closed else round_.opened.base).hex(),
        "expected": list(members_in(round_.opened.expected)),
        "committed": sorted(round_.commitments),
        "voted": sorted(round_.ballots),
        "abstained": {
            str(member): list(members_in(event.missing))
            for member, event in sorted(round_.abstained.items())
        },
        "winners": list(round_.winners),
        "scores": {str(m): points for m, points in enumerate(selected.scores) if points}
        if selected
        else {},
        "ballots": {
            str(member): _values(event) for member, event in sorted(round_.ballots.items())
        },
        "transactions": transactions,
        "gas": {
            phase: sum(gas.get(number, 0) for number in numbers)
            for phase, numbers in transactions.items()
        },
    }


def _add_fruitless(
    transactions: dict[str, list[str]], round_: Round, claim: Mapping[str, Any]
) -> None:
    """Put transactions that are of no phase where the claim has them, if it has them once."""
    known = {number for numbers in transactions.values() for number in numbers}
    beside = {event.transaction for event in round_.events} - known
    claimed = claim.get("transactions")
    if not isinstance(claimed, dict) or not beside:
        return
    for phase, numbers in claimed.items():
        for at, number in enumerate(numbers if isinstance(numbers, list) else []):
            if isinstance(number, str) and number in beside:
                beside.discard(number)
                transactions.setdefault(phase, []).insert(at, number)


def check_rounds_file(
    history: History, models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    """``rounds.jsonl``: its lines agree with the chain, and leave no round out."""
    path = evidence.folder / "rounds.jsonl"
    if not os.path.lexists(path):
        return
    try:
        entries = [parse_json(path, line) for line in read_lines(path)]
    except AuditError as error:
        yield Finding(path.name, KEEPER, None, "a JSON object a line", str(error))
        return
    for strange in [entry for entry in entries if not _is_known(entry)][:1]:
        yield Finding(path.name, KEEPER, None, "rounds and evaluations", f"{strange!r:.80}")
    known = [entry for entry in entries if _is_known(entry)]
    rounds = [entry for entry in known if entry["kind"] == "round"]
    yield from compare_rounds(path.name, rounds, history, models, evidence, note)
    for entry in known:
        if entry["kind"] == "evaluation" and entry.get("model") is not None:
            yield from compare_model(path.name, entry, history, models)


def compare_rounds(
    file: str,
    claimed: list[dict[str, Any]],
    history: History,
    models: Models,
    evidence: Evidence,
    note: Note,
) -> Iterator[Finding]:
    """Every claim about a round agrees with the chain; only the newest rounds may be missing."""
    ended = {r.chain_round: r for r in history.rounds if _ended(r)}
    seen: set[int] = set()
    for claim in claimed:
        number = claim.get("chain_round")
        round_ = ended.get(number) if isinstance(number, int) else None
        if round_ is None:
            expected = f"rounds of the chain, 1 to {len(ended)}"
            yield Finding(file, KEEPER, None, expected, f"chain_round {number!r:.80}")
            continue
        seen.add(round_.chain_round)
        for name, fact in told_by_the_chain(round_, evidence.gas, claim).items():
            said = claim.get(name)
            if name == "scores" and isinstance(said, dict):
                said = {member: points for member, points in said.items() if points}
            if name == "model" and said in right_models(round_, models):
                continue
            if text_of(said) != text_of(fact):
                expected = f"{name} {_short(fact)}"
                yield Finding(file, KEEPER, round_.chain_round, expected, _short(said))
    last = max(seen, default=0)
    for number in sorted(ended.keys() - seen):
        if number < last:
            yield Finding(file, KEEPER, number, "an entry for the round", "none")
    if last < len(ended):
        # a run that was interrupted may not have come to write down what it had done
        note(f"{file} tells of the chain's rounds up to {last}; the chain goes on to {len(ended)}")


def compare_model(
    file: str, claim: dict[str, Any], history: History, models: Models
) -> Iterator[Finding]:
    """A claim ``round`` and ``model``: the digest is that round's, 0 being before the first."""
    number, said = claim.get("round"), claim.get("model")
    right: tuple[str, ...] = ()
    if text_of(number) == "0":
        right = ((history.rounds[0].opened.base if history.rounds else history.model).hex(),)
    for round_ in history.rounds:
        if round_.closed and text_of(round_.number) == text_of(number):
            right = right_models(round_, models)
    if said not in right:
        expected = f"model {right[0]} of round {number}" if right else "a round that was closed"
        yield Finding(file, KEEPER, None, expected, f"round {number!r:.20}, model {said!r:.80}")


def right_models(round_: Round, models: Models) -> tuple[str, ...]:
    """The model of a round: as the chain was told, and as it should have been told."""
    said = round_.closed.model if round_.closed else round_.opened.base
    return said.hex(), models.recomputed.get(round_.chain_round, said).hex()


def text_of(value: object) -> str:
    """One text a value: ``1``, ``1.0`` and ``true`` are equal in Python and three things here."""
    return json.dumps(value, sort_keys=True, default=repr)


def _is_known(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("kind") in ("round", "evaluation")


def _ended(round_: Round) -> bool:
    return round_.closed is not None or isinstance(round_.outcome, Voided)


def _values(event: BallotCast) -> dict[str, int]:
    try:
        ballot = Ballot.decode(event.round, event.entries)
    except ProtocolError:
        return {}  # found as a ballot that does not hold
    return {str(rating.member): rating.value for rating in ballot.ratings}


def _short(value: object) -> str:
    text = text_of(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
