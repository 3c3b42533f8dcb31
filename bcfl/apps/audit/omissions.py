"""What was signed and never reached the chain, and what the journal says of it.

The coordinator can forge nothing; what it can do is leave out. Proof of that is a receipt
that it signed (PROTOCOL, "a client keeps a receipt and can show it"), or its own journal: the
server writes down what it has been given before it relays all of it, so that whatever stands
in the journal above something that it relayed was there to be relayed as well. What came last
may have come too late, and is only noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from bcfl.adapters.accounts import signed_by
from bcfl.apps.audit.ballots import ballot_fault
from bcfl.apps.audit.claims import Note
from bcfl.apps.audit.evidence import Evidence, Journaled, Receipt
from bcfl.apps.audit.findings import KEEPER, SERVER, Finding
from bcfl.apps.audit.history import History, Round
from bcfl.apps.audit.signatures import signed_ballot, signed_commitment, signed_seal
from bcfl.core.domain import SignedBallot, SignedCommitment, SignedSeal
from bcfl.core.typed_data import receipt_message
from bcfl.ports.ledger import BallotCast, Committed, Sealed, Voided

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
            event = round_.commitments.get(receipt.member)
            if event is None or event.digest != receipt.digest:
                yield Finding(
                    "left out",
                    SERVER,
                    receipt.round,
                    f"member {receipt.member}'s commitment {receipt.digest.hex()[:16]}… on chain, "
                    f"for which the coordinator signed the receipt in {receipt.source}",
                    f"{event.digest.hex()[:16]}…" if event else "none",
                )


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
    for entry in genuine:
        if entry.round in rounds:
            yield from _left_out(entry, genuine, rounds[entry.round], history, evidence, note)
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
    entry: Journaled,
    journal: list[Journaled],
    round_: Round,
    history: History,
    evidence: Evidence,
    note: Note,
) -> Iterator[Finding]:
    kind, member = type(entry.signed), entry.signed.member
    name, on_chain, _ = _KINDS[kind]
    logged = on_chain(round_)
    if member in logged or round_.outcome is None or not _acceptable(entry, round_, history):
        return
    words = f"member {member}'s signed {name} of journal.jsonl, line {entry.line}, on chain"
    for other in journal:
        if other.line <= entry.line or type(other.signed) is not kind or other.round != entry.round:
            continue
        event = logged.get(other.signed.member)
        if event is not None and _relayed_without(entry, event, evidence):
            found = f"none, but member {event.member}'s later one, relayed in {event.transaction}"
            yield Finding("left out", SERVER, round_.chain_round, words, found)
            return
    late = "it may have come too late, or the server may have left it out"
    note(f"chain round {round_.chain_round}: {words}: not found; {late}")


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
        return not signed.salt or signed.member in round_.seals
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
