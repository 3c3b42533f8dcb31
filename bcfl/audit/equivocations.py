"""Two different deltas signed by one member for one round: proof of cheating, wherever found.

The signatures may stand in the transactions, in the server's journal, or in what somebody
shows to the auditor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding, author
from bcfl.audit.history import History, Round
from bcfl.audit.signed import signed_commitment
from bcfl.consensus.contract.events import Equivocated
from bcfl.consensus.spec.domain import Commitment, SignedCommitment
from bcfl.core.errors import ProtocolError


def check_equivocations(history: History, evidence: Evidence) -> Iterator[Finding]:
    """Name every member that signed two digests for one round, by all evidence there is."""
    digests: dict[tuple[int, int], dict[bytes, str]] = {}
    for round_, member, digest, source in _signed(history, evidence):
        digests.setdefault((round_, member), {}).setdefault(digest, source)
    for (number, member), sources in sorted(digests.items()):
        if len(sources) > 1:
            found = "; ".join(f"{d.hex()[:16]}… in {source}" for d, source in sources.items())
            yield Finding("equivocation", author(member), number, "one signed delta", found)
    for event, address in history.proven:
        if not {event.digest, event.other_digest} <= _shown(event, address, evidence):
            expected = f"two signatures of member {event.member} in {event.transaction}"
            yield Finding("equivocation", CHAIN, event.round, expected, "fewer")


def _shown(event: Equivocated, address: str, evidence: Evidence) -> set[bytes]:
    """What ``address``, whose the seat is when it is proven, signed in the proof."""
    call = evidence.calls.get(event.transaction)
    if call is None or not call.function:
        return {event.digest, event.other_digest} if call else set()  # see signatures.indirect
    domain, found = evidence.terms.domain, set()
    for sent in call.commitments:
        with suppress(ProtocolError):
            commitment = Commitment(event.round, sent.base, sent.digest, sent.timestamp)
            if signed_commitment(domain, commitment, sent.signature, address):
                found.add(sent.digest)
    return found


def _signed(history: History, evidence: Evidence) -> Iterator[tuple[int, int, bytes, str]]:
    """Round, member, digest and source of everything that bears its member's signature."""
    rounds = {round_.chain_round: round_ for round_ in history.rounds}
    for round_ in history.rounds:
        for event in round_.commitments.values():
            yield event.round, event.member, event.digest, f"transaction {event.transaction}"
    for source, signed in _candidates(rounds, evidence):
        member, commitment = signed.member, signed.commitment
        members = rounds[commitment.round].members if commitment.round in rounds else ()
        if member < len(members) and signed_commitment(
            evidence.terms.domain, commitment, signed.signature, members[member]
        ):
            yield commitment.round, member, commitment.digest, source


def _candidates(
    rounds: dict[int, Round], evidence: Evidence
) -> Iterator[tuple[str, SignedCommitment]]:
    for number, call in evidence.calls.items():
        for sent in call.commitments:
            base = sent.base or (rounds[call.round].opened.base if call.round in rounds else b"")
            if sent.member is None or not base:
                continue
            try:
                commitment = Commitment(call.round, base, sent.digest, sent.timestamp)
                signed = SignedCommitment(sent.member, commitment, sent.signature)
            except ProtocolError:
                continue  # out of range: nobody can have signed it, and the contract refuses it
            yield f"transaction {number}", signed
    for entry in evidence.journal:
        if isinstance(entry.signed, SignedCommitment):
            yield f"journal.jsonl, line {entry.line}", entry.signed
    for shown in evidence.shown:
        if isinstance(shown, SignedCommitment):
            yield "what was shown", shown
