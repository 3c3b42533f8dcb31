"""What members show: the coordinator's receipts, and what they signed themselves.

The coordinator signs a receipt for each commitment, ballot and seal that it was given. Where
the chain has nothing of that member in the round, the receipt convicts it. What a member has
signed, without a receipt, proves nothing: nobody knows that it was ever sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bcfl.audit.evidence import Evidence, Receipt, Signed, round_of
from bcfl.audit.findings import SERVER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.reported_rounds import Note
from bcfl.audit.signatures import all_sent, entries_of
from bcfl.audit.signed import has_signed, opens
from bcfl.consensus.contract.calldata import (
    Call,
    SentBallot,
    SentCommitment,
    SentProposal,
    SentSeal,
)
from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import (
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
)
from bcfl.consensus.spec.messages import ballot_receipt_message, receipt_message
from bcfl.keys.accounts import signed_by

_KINDS = {SignedCommitment: "commitment", SignedProposal: "proposal", SignedSeal: "seal"}


def check_receipts(history: History, evidence: Evidence, note: Note) -> Iterator[Finding]:
    """All that the coordinator has signed for is on chain; what members show beside is noted."""
    rounds = {round_.chain_round: round_ for round_ in history.rounds}
    for receipt in evidence.receipts:
        round_ = rounds.get(receipt.round)
        if not _genuine(receipt, evidence):
            note(f"{receipt.source}: not signed by the coordinator; it proves nothing")
        elif round_ is None or round_.outcome is None:
            note(f"{receipt.source}: chain round {receipt.round} has not ended; nothing to compare")
        else:
            yield from _left_out(receipt, round_, evidence, note)
    for shown in evidence.shown:
        _note_shown(shown, rounds.get(round_of(shown)), evidence, note)


def _genuine(receipt: Receipt, evidence: Evidence) -> bool:
    terms = evidence.terms
    about = terms.domain, receipt.round, receipt.member
    message = receipt_message(*about, receipt.digest)
    if receipt.ballot:
        message = ballot_receipt_message(*about, b"")
        message["message"]["ballot"] = receipt.digest  # the hash, not what was hashed
    return signed_by(message, receipt.signature, terms.coordinator)


def _left_out(receipt: Receipt, round_: Round, evidence: Evidence, note: Note) -> Iterator[Finding]:
    of = _kind_of(receipt, round_, evidence)
    kind = "ballot" if of is None else _KINDS.get(of, "ballot")
    kind = kind if receipt.ballot else "commitment"
    words = f"member {receipt.member}'s {kind} {receipt.digest.hex()[:16]}… on chain"
    found = _on_chain(receipt.member, round_, evidence, ballot=receipt.ballot, of=of)
    if receipt.digest in found:
        return
    if found and not _of_what_is_sealed(receipt, round_, evidence):
        # the other one has the member's signature as well: who deceived whom is not to be seen
        others = ", ".join(digest.hex()[:16] + "…" for digest in found)
        note(f"{receipt.source}: not {words}, but {others}, by the same member")
    elif (reason := _refusal(receipt, round_, evidence)) is not None:
        note(f"{receipt.source}: the contract refused member {receipt.member}'s {kind}: {reason}")
    else:
        expected = f"{words}, for which the coordinator signed the receipt in {receipt.source}"
        yield Finding("left out", SERVER, receipt.round, expected, "none")


def _kind_of(receipt: Receipt, round_: Round, evidence: Evidence) -> type[Signed] | None:
    """What the receipt is for, where members propose and somebody has what was signed."""
    if not (receipt.ballot and evidence.terms.proposes):
        return None
    for one in [*evidence.shown, *(entry.signed for entry in evidence.journal)]:
        about = one.member, round_of(one), _digest(one)
        if about == (receipt.member, receipt.round, receipt.digest) and has_signed(
            one, round_.members, evidence
        ):
            return type(one)
    return None


def _on_chain(
    member: int,
    round_: Round,
    evidence: Evidence,
    *,
    ballot: bool,
    of: type[Signed] | None = None,
) -> list[bytes]:
    """What receipts would name of what the chain has of this member.

    Of a receipt for no commitment: its proposal, its seal, its ballot; ``of`` names one of them.
    """
    if not ballot:
        committed = round_.commitments.get(member)
        return [] if committed is None else [committed.digest]
    said = []
    if of in (None, SignedProposal) and (proposed := round_.proposals.get(member)) is not None:
        said.append(Proposal(round_.chain_round, proposed.members).encode())
    if of in (None, SignedSeal) and (sealed := round_.seals.get(member)) is not None:
        said.append(sealed.seal)
    if of in (None, SignedBallot) and (spoken := round_.spoken.get(member)) is not None:
        said.append(entries_of(spoken, round_, evidence) or b"")
    return [hashlib.sha256(one).digest() for one in said]


def _of_what_is_sealed(receipt: Receipt, round_: Round, evidence: Evidence) -> bool:
    """Whether somebody shows that the receipt is for the ballot that a seal on chain promises."""
    seal = round_.seals.get(receipt.member)
    ballots = [*evidence.shown, *(entry.signed for entry in evidence.journal)]
    return receipt.ballot and any(
        isinstance(one, SignedBallot)
        and hashlib.sha256(one.ballot.encode()).digest() == receipt.digest
        and opens(one, seal)
        for one in ballots
    )


def _refusal(receipt: Receipt, round_: Round, evidence: Evidence) -> str | None:
    """Why the contract refused the very thing, relayed as it was given; None if it was not.

    A receipt says that the coordinator found the signature good: where the contract did not,
    the coordinator has relayed another one.
    """
    if not receipt.ballot and round_.barred >> receipt.member & 1:
        return "it was proven to have signed two deltas"
    for event in round_.refused:
        call = evidence.calls.get(event.transaction)
        if call is None or event.member != receipt.member or event.reason == Refusal.SIGNATURE:
            continue
        if receipt.digest in set(_named(call, receipt)):
            return Refusal(event.reason).name
    return None


def _named(call: Call, receipt: Receipt) -> Iterator[bytes]:
    """What receipts of that kind would name, of all that a call brought of that member."""
    for sent in all_sent(call):
        if sent.member != receipt.member or isinstance(sent, SentCommitment) == receipt.ballot:
            continue
        match sent:
            case SentCommitment():
                yield sent.digest
            case SentProposal():
                yield hashlib.sha256(sent.members.to_bytes(32, "big")[-16:]).digest()
            case SentSeal():
                yield hashlib.sha256(sent.seal).digest()
            case SentBallot():
                yield hashlib.sha256(sent.entries).digest()


def _note_shown(shown: Signed, round_: Round | None, evidence: Evidence, note: Note) -> None:
    number, member = round_of(shown), shown.member
    kind = _KINDS.get(type(shown), "ballot")
    words = f"what was shown, a {kind} of member {member} for chain round {number}"
    if round_ is None:
        note(f"{words}: there is no such round")
        return
    if not has_signed(shown, round_.members, evidence):
        note(f"{words}: not signed by that member; it proves nothing")
        return
    sealed = shown if isinstance(shown, SignedBallot) and evidence.terms.sealed else None
    if sealed is not None and not opens(sealed, round_.seals.get(member)):
        note(f"{words}: it opens no seal on chain; it proves nothing")
        return
    of = type(shown) if evidence.terms.proposes else None
    found = _on_chain(member, round_, evidence, ballot=kind != "commitment", of=of)
    if _digest(shown) in found:
        return
    if found and sealed is None:
        note(f"{words}: another one is on chain; the member has signed both")
    else:
        note(f"{words}: not on chain; without a receipt nobody knows that the server was given it")


def _digest(shown: Signed) -> bytes:
    """What a receipt names of what was signed."""
    if isinstance(shown, SignedCommitment):
        return shown.commitment.digest
    if isinstance(shown, SignedProposal):
        said = shown.proposal.encode()
    else:
        said = shown.seal if isinstance(shown, SignedSeal) else shown.ballot.encode()
    return hashlib.sha256(said).digest()
