"""What was signed and never reached the chain, and what the journal says of it.

The coordinator cannot forge a signature, but it can leave one out. Two things prove that: a
receipt that it signed, where the chain has no commitment of the member; and its own journal,
which lists what it was given in that order, so that an entry above one that it relayed could
have been relayed as well. The last entries may have come too late: they are noted only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from eth_utils.crypto import keccak

from bcfl.audit.ballots import ballot_fault
from bcfl.audit.evidence import Evidence, Journaled, Receipt
from bcfl.audit.findings import KEEPER, SERVER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.reported_rounds import Note
from bcfl.audit.signatures import signed_ballot, signed_commitment, signed_seal
from bcfl.consensus.contract.events import BallotCast, Committed, Sealed, Voided
from bcfl.consensus.spec.domain import SignedBallot, SignedCommitment, SignedSeal
from bcfl.consensus.spec.messages import receipt_message
from bcfl.keys.accounts import signed_by

__all__ = ["check_journal", "check_receipts"]

_Kind: TypeAlias = type[SignedCommitment] | type[SignedSeal] | type[SignedBallot]

#: By what was signed: its name, where the round keeps what came on chain, how it is relayed.
_KINDS: Final[Mapping[_Kind, tuple[str, Callable[[Round], Mapping[int, Any]], str]]] = {
    SignedCommitment: ("commitment", lambda round_: round_.commitments, "commit"),
    SignedSeal: ("seal", lambda round_: round_.seals, "seal"),
    SignedBallot: ("ballot", lambda round_: round_.ballots, "cast_ballots"),
}
_BALLOTS_A_TRANSACTION = 32  # BALLOT_BATCH of the contract; what does not fit waits for the next


def check_receipts(history: History, evidence: Evidence, note: Note) -> Iterator[Finding]:
    """The commitments that the coordinator has signed for are on chain."""
    rounds = {round_.chain_round: round_ for round_ in history.rounds}
    for receipt in evidence.receipts:
        round_ = rounds.get(receipt.round)
        if not _genuine(receipt, evidence):
            note(f"{receipt.source}: not signed by the coordinator; it proves nothing")
        elif round_ is None or round_.outcome is None:
            note(f"{receipt.source}: chain round {receipt.round} has not ended; nothing to compare")
        else:
            yield from _without_receipt(receipt, round_, note)


def _without_receipt(receipt: Receipt, round_: Round, note: Note) -> Iterator[Finding]:
    event = round_.commitments.get(receipt.member)
    words = f"member {receipt.member}'s commitment {receipt.digest.hex()[:16]}… on chain"
    if event is None:
        expected = f"{words}, for which the coordinator signed the receipt in {receipt.source}"
        yield Finding("left out", SERVER, receipt.round, expected, "none")
    elif event.digest != receipt.digest:
        # the other one has the member's signature as well: who deceived whom is not to be seen
        note(f"{receipt.source}: not {words}, but {event.digest.hex()[:16]}…, by the same member")


def check_journal(history: History, evidence: Evidence, note: Note) -> Iterator[Finding]:
    """The journal's signatures hold, it has all that was relayed, and all of it was relayed."""
    if not evidence.journal_found and evidence.live:
        note("there is no journal.jsonl: what the server was given and left out cannot be seen")
        return
    rounds = {round_.chain_round: round_ for round_ in history.rounds}
    genuine: list[Journaled] = []
    for entry in evidence.journal:
        if _journal_signature(entry, history, evidence):
            genuine.append(entry)
        else:
            line = f"line {entry.line}, member {entry.signed.member}"
            expected = "signatures of members in journal.jsonl"
            yield Finding("journal", KEEPER, entry.round, expected, f"another one in {line}")
    yield from _left_out(genuine, rounds, history, evidence, note)
    for round_ in history.rounds:
        yield from _unwritten(round_, evidence)


def _genuine(receipt: Receipt, evidence: Evidence) -> bool:
    terms = evidence.terms
    message = receipt_message(terms.domain, receipt.round, receipt.member, receipt.digest)
    return signed_by(message, receipt.signature, terms.coordinator)


def _journal_signature(entry: Journaled, history: History, evidence: Evidence) -> bool:
    signed, domain = entry.signed, evidence.terms.domain
    if signed.member >= len(history.members):
        return False
    address = history.members[signed.member]
    match signed:
        case SignedCommitment():
            return signed_commitment(domain, signed.commitment, signed.signature, address)
        case SignedSeal():
            return signed_seal(domain, signed.round, signed.seal, signed.signature, address)
        case SignedBallot():
            if evidence.terms.sealed:
                return bool(signed.salt)  # nobody signs what opens a seal
            ballot = signed.ballot
            return signed_ballot(domain, ballot.round, ballot.encode(), signed.signature, address)


def _left_out(
    journal: list[Journaled],
    rounds: Mapping[int, Round],
    history: History,
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
        elif _acceptable(entry, round_, history):
            first.setdefault(key, entry)
    for (kind, number, member), entry in first.items():
        name, on_chain, _ = _KINDS[kind]
        words = f"member {member}'s signed {name} of journal.jsonl, line {entry.line}, on chain"
        later = [
            event
            for other, event in on_chain(rounds[number]).items()
            if (line := last.get((kind, number, other))) and line.line > entry.line
            if _relayed_without(entry, event, evidence)
        ]
        if later:
            found = f"none, but member {later[0].member}'s later one, in {later[0].transaction}"
            yield Finding("left out", SERVER, number, words, found)
        else:
            late = "it may have come too late, or the server may have left it out"
            note(f"chain round {number}: {words}: not found; {late}")


def _relayed_without(entry: Journaled, event: Any, evidence: Evidence) -> bool:
    """Whether the coordinator relayed ``event`` when it could have relayed ``entry`` with it."""
    call = evidence.calls.get(event.transaction)
    relaying = _KINDS[type(entry.signed)][2]
    if call is None or (call.sender, call.function) != (evidence.terms.coordinator, relaying):
        return False
    signed = entry.signed
    if isinstance(signed, SignedCommitment):
        return signed.commitment.timestamp <= int(event.timestamp)
    return len(call.ballots) < _BALLOTS_A_TRANSACTION


def _acceptable(entry: Journaled, round_: Round, history: History) -> bool:
    """Whether the contract would have taken it; if not, there was no point in sending it."""
    signed = entry.signed
    if history.barred >> signed.member & 1:
        return False
    if isinstance(signed, SignedCommitment):
        commitment = signed.commitment
        at_least = round_.opened.timestamp
        return commitment.base == round_.opened.base and commitment.timestamp >= at_least
    if signed.member not in round_.commitments or isinstance(round_.outcome, Voided):
        return False
    if isinstance(signed, SignedBallot):
        if ballot_fault(signed.member, signed.ballot.encode(), round_) is not None:
            return False
        return not signed.salt or _opens(signed, round_.seals.get(signed.member))
    return True


def _opens(ballot: SignedBallot, sealed: Sealed | None) -> bool:
    """Whether a ballot is what its member has sealed."""
    words = ballot.ballot.encode() + ballot.salt
    return sealed is not None and bytes(keccak(words)) == sealed.seal


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
            if (kind, member, _content(event)) not in written:
                expected = f"member {member}'s {name} in journal.jsonl, as it was relayed"
                yield Finding("journal", KEEPER, round_.chain_round, expected, "none")


def _content(signed: Any) -> bytes:
    match signed:
        case SignedCommitment():
            return signed.commitment.digest
        case Committed():
            return signed.digest
        case SignedSeal() | Sealed():
            return signed.seal
        case SignedBallot():
            return signed.ballot.encode()
        case BallotCast():
            return signed.entries
    raise AssertionError(f"nobody signs a {type(signed).__name__}")
