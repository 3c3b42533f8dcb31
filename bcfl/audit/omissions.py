"""What was signed and never reached the chain, by the server's own journal.

The coordinator cannot forge a signature, but it can leave one out, or relay it spoilt so that
the contract refuses it. Receipts prove that (``receipts``), and so does its journal, which lists
what it was given in that order, so that an entry above one that it relayed could have been
relayed as well. The last entries may have come too late: they are noted only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from bcfl.audit.ballots import ballot_fault
from bcfl.audit.evidence import Evidence, Journaled
from bcfl.audit.findings import KEEPER, SERVER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.reported_rounds import Note
from bcfl.audit.signatures import all_sent, entries_of
from bcfl.audit.signed import has_signed, opens
from bcfl.chain.event import Event
from bcfl.consensus.contract.batches import fit
from bcfl.consensus.contract.calldata import SentBallot, SentCommitment, SentProposal, SentSeal
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Committed,
    Proposed,
    Refusal,
    Sealed,
    Voided,
)
from bcfl.consensus.spec.domain import (
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    bits,
)
from bcfl.consensus.spec.rules import Rule

_Kind: TypeAlias = (
    type[SignedCommitment] | type[SignedProposal] | type[SignedSeal] | type[SignedBallot]
)

#: By what was signed: its name, where the round keeps what came on chain, how it is relayed.
_KINDS: Final[Mapping[_Kind, tuple[str, Callable[[Round], Mapping[int, Any]], str]]] = {
    SignedCommitment: ("commitment", lambda round_: round_.commitments, "commit"),
    SignedProposal: ("proposal", lambda round_: round_.proposals, "propose"),
    SignedSeal: ("seal", lambda round_: round_.seals, "seal"),
    SignedBallot: ("ballot", lambda round_: round_.spoken, "cast_ballots"),
}


def check_journal(history: History, evidence: Evidence, note: Note) -> Iterator[Finding]:
    """The journal's signatures hold, it has all that was relayed, and all of it was relayed."""
    if not evidence.journal_found and evidence.live:
        note("there is no journal.jsonl: what the server was given and left out cannot be seen")
        return
    rounds = {round_.chain_round: round_ for round_ in history.rounds}
    genuine: list[Journaled] = []
    for entry in evidence.journal:
        round_ = rounds.get(entry.round)
        if has_signed(entry.signed, round_.members if round_ else history.members, evidence):
            genuine.append(entry)
        else:
            line = f"line {entry.line}, member {entry.signed.member}"
            expected = "signatures of members in journal.jsonl"
            yield Finding("journal", KEEPER, entry.round, expected, f"another one in {line}")
    yield from _left_out(genuine, rounds, evidence, note)
    for entry in genuine:
        if (round_ := rounds.get(entry.round)) is not None:
            yield from _spoilt(entry, round_, evidence)
    for round_ in history.rounds:
        yield from _unwritten(round_, evidence)


def _left_out(
    journal: list[Journaled],
    rounds: Mapping[int, Round],
    evidence: Evidence,
    note: Note,
) -> Iterator[Finding]:
    first: dict[tuple[_Kind, int, int], Journaled] = {}  # of what is not on chain
    last: dict[tuple[_Kind, int, int], Journaled] = {}  # of what is
    for entry in journal:
        key = type(entry.signed), entry.round, entry.signed.member
        round_ = rounds.get(entry.round)
        if round_ is None or round_.outcome is None:
            continue
        if entry.signed.member in _KINDS[key[0]][1](round_):
            last[key] = entry
        elif _acceptable(entry, round_, evidence.terms.rule):
            first.setdefault(key, entry)
    for (kind, number, member), entry in first.items():
        name, on_chain, _ = _KINDS[kind]
        words = f"member {member}'s signed {name} of journal.jsonl, line {entry.line}, on chain"
        later = [
            event
            for other, event in on_chain(rounds[number]).items()
            if (line := last.get((kind, number, other))) and line.line > entry.line
            if _relayed_without(entry, event, rounds[number], evidence)
        ]
        if later:
            found = f"none, but member {later[0].member}'s later one, in {later[0].transaction}"
            yield Finding("left out", SERVER, number, words, found)
        else:
            late = "it may have come too late, or the server may have left it out"
            note(f"chain round {number}: {words}: not found; {late}")


def _relayed_without(entry: Journaled, event: Any, round_: Round, evidence: Evidence) -> bool:
    """Whether the coordinator relayed ``event`` when it could have relayed ``entry`` with it."""
    call = evidence.calls.get(event.transaction)
    relaying = _KINDS[type(entry.signed)][2]
    if call is None or (call.sender, call.function) != (evidence.terms.coordinator, relaying):
        return False
    signed = entry.signed
    if isinstance(signed, SignedCommitment):
        return signed.commitment.timestamp <= int(event.timestamp)
    if isinstance(signed, SignedBallot):
        # What does not fit waits for the next transaction; what counts in none takes no room.
        brought = {(each.member, each.entries) for each in call.ballots}
        counted = [
            said
            for member, each in round_.spoken.items()
            if (said := _content_of(each, round_, evidence)) and (member, said) in brought
        ]
        return fit([*counted, signed.ballot.encode()])
    return True


def _acceptable(entry: Journaled, round_: Round, rule: Rule) -> bool:
    """Whether the contract would have taken it; if not, there was no point in sending it."""
    signed = entry.signed
    if isinstance(signed, SignedCommitment):
        if not (round_.active & ~round_.barred) >> signed.member & 1:
            return False
        commitment = signed.commitment
        at_least = round_.opened.timestamp
        return commitment.base == round_.opened.base and commitment.timestamp >= at_least
    if signed.member not in round_.commitments or isinstance(round_.outcome, Voided):
        return False
    if isinstance(signed, SignedProposal):
        return not signed.proposal.members & ~bits(round_.commitments)
    if isinstance(signed, SignedBallot):
        if ballot_fault(signed.member, signed.ballot.encode(), round_, rule) is not None:
            return False
        return not signed.salt or opens(signed, round_.seals.get(signed.member))
    return True


def _unwritten(round_: Round, evidence: Evidence) -> Iterator[Finding]:
    """What the coordinator relayed, it had written down before."""
    written = {
        (type(entry.signed), entry.signed.member, _content(entry.signed))
        for entry in evidence.journal
        if entry.round == round_.chain_round
    }
    for kind, (name, on_chain, relaying) in _KINDS.items():
        for member, event in on_chain(round_).items():
            call = evidence.calls.get(event.transaction)
            relayed = (evidence.terms.coordinator, relaying)
            if call is None or (call.sender, call.function) != relayed:
                continue
            if (kind, member, _content_of(event, round_, evidence)) not in written:
                expected = f"member {member}'s {name} in journal.jsonl, as it was relayed"
                yield Finding("journal", KEEPER, round_.chain_round, expected, "none")


def _spoilt(entry: Journaled, round_: Round, evidence: Evidence) -> Iterator[Finding]:
    """What the coordinator relayed in a member's name had the signature that it was given."""
    signed, number = entry.signed, entry.round
    if isinstance(signed, SignedBallot) and evidence.terms.sealed:
        return  # what opens a seal has no signature, and the wrong salt is the member's own
    for event in round_.refused:
        call = evidence.calls.get(event.transaction)
        if call is None or (call.sender, event.reason) != (
            evidence.terms.coordinator,
            Refusal.SIGNATURE,
        ):
            continue
        for sent in all_sent(call):
            same = (sent.member, _content(sent)) == (signed.member, _content(signed))
            if same and sent.signature != signed.signature:
                name = _KINDS[type(signed)][0]
                expected = f"member {signed.member}'s {name} of journal.jsonl, line {entry.line}, "
                expected += f"as it was signed, in {event.transaction}"
                yield Finding("spoilt", SERVER, number, expected, "another signature")


def _content_of(event: Event, round_: Round, evidence: Evidence) -> bytes | None:
    if isinstance(event, (BallotCast, Abstained)):
        return entries_of(event, round_, evidence)
    return _content(event)


def _content(signed: Any) -> bytes:
    match signed:
        case SignedCommitment():
            return signed.commitment.digest
        case Committed() | SentCommitment():
            return signed.digest
        case SignedProposal():
            return signed.proposal.encode()
        case Proposed() | SentProposal():
            return signed.members.to_bytes(32, "big")[-16:]
        case SignedSeal() | Sealed() | SentSeal():
            return signed.seal
        case SignedBallot():
            return signed.ballot.encode()
        case SentBallot():
            return signed.entries
    raise AssertionError(f"nobody signs a {type(signed).__name__}")


def note_refusals(history: History, evidence: Evidence, note: Note) -> None:
    """Who sent what the contract refused, and in whose name: that says nothing of the latter."""
    for round_ in history.rounds:
        for event in round_.refused:
            call = evidence.calls.get(event.transaction)
            sender = call.sender if call else "somebody"
            if sender == evidence.terms.coordinator:
                sender = f"the coordinator, {sender}"
            known = {reason.value: reason.name for reason in Refusal}
            reason = known.get(event.reason, str(event.reason))
            note(
                f"chain round {round_.chain_round}: the contract refused what {sender} sent in the "
                f"name of {round_.name(event.member)}: {reason}; anybody can send anything in "
                "anybody's name, so that it says nothing of that member"
            )
