"""Who signed what: every event held against the transaction that it came from.

S2 (claim 3) and S3 (claim 1). The contract checks all of this; whoever audits takes nobody's
word for it, not even the contract's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from eth_utils.crypto import keccak

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding
from bcfl.audit.history import History, Round
from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import Call, SentBallot, SentCommitment, SentSeal
from bcfl.consensus.contract.events import BallotCast, Committed, Sealed
from bcfl.consensus.spec.domain import Ballot, Commitment, TypedDataDomain
from bcfl.consensus.spec.messages import ballot_message, commitment_message, seal_message
from bcfl.keys.accounts import signed_by

__all__ = [
    "check_signatures",
    "indirect",
    "signed_ballot",
    "signed_commitment",
    "signed_seal",
]

_Sent: TypeAlias = SentCommitment | SentSeal | SentBallot

_MEMORY = 2**14  # the journal repeats the chain: each signature is looked at once


@lru_cache(_MEMORY)
def signed_commitment(
    domain: TypedDataDomain, commitment: Commitment, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of this commitment."""
    return signed_by(commitment_message(domain, commitment), signature, address)


@lru_cache(_MEMORY)
def signed_seal(
    domain: TypedDataDomain, round_: int, seal: bytes, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of this seal."""
    return signed_by(seal_message(domain, round_, seal), signature, address)


@lru_cache(_MEMORY)
def signed_ballot(
    domain: TypedDataDomain, round_: int, entries: bytes, signature: bytes, address: str
) -> bool:
    """Whether it is the address's own signature of these entries, be they a ballot or not."""
    message = ballot_message(domain, Ballot(round_, ()))
    words = {**message, "message": {"round": round_, "entries": entries}}
    return signed_by(words, signature, address)


def check_signatures(round_: Round, history: History, evidence: Evidence) -> Iterator[Finding]:
    """Every commitment, seal and ballot of a round was signed, or sent, by its author."""
    checks = _Signatures(round_, history, evidence)
    for event in (*round_.commitments.values(), *round_.seals.values(), *round_.ballots.values()):
        if (reason := checks.fault(event)) is not None:
            name = type(event).__name__
            yield Finding("signature", CHAIN, round_.chain_round, f"{name} {reason[0]}", reason[1])
    yield from checks.unlogged()


def indirect(round_: Round, evidence: Evidence) -> list[str]:
    """Transactions that reached the contract through another one: what was signed is not seen."""
    numbers = dict.fromkeys(event.transaction for event in round_.events)
    return [n for n in numbers if (call := evidence.calls.get(n)) and not call.function]


class _Signatures:
    def __init__(self, round_: Round, history: History, evidence: Evidence) -> None:
        self._round = round_
        self._members = history.members
        self._evidence = evidence
        self._domain = evidence.terms.domain

    def fault(self, event: Event) -> tuple[str, str] | None:
        """What was expected of the event's transaction, and what it holds; None if all is well."""
        assert isinstance(event, (Committed, Sealed, BallotCast))
        call = self._evidence.calls.get(event.transaction)
        if call is None:
            return "in a transaction", f"no transaction {event.transaction}"
        if not call.function:
            return None  # sent through another contract: see `indirect`
        if event.member >= len(self._members):
            return "of a member", f"member {event.member}"
        sent = next(
            (s for s in _entries(call, event) if self._author(s, call) == event.member), None
        )
        if sent is None or call.round != event.round:
            return f"as in {event.transaction}", f"nothing of member {event.member} in it"
        match event, sent:
            case Committed(), SentCommitment():
                return self._commitment(event, sent)
            case Sealed(), SentSeal():
                return self._seal(event, sent)
            case BallotCast(), SentBallot():
                return self._ballot(event, sent)
        raise AssertionError

    def unlogged(self) -> Iterator[Finding]:
        """What a transaction brought, the contract logged, or it was there before."""
        round_ = self._round
        for number in dict.fromkeys(event.transaction for event in round_.events):
            call = self._evidence.calls.get(number)
            if call is None or call.function == "prove_equivocation":
                continue
            for sent, logged in _brought(call, round_):
                if (member := self._author(sent, call)) not in logged:
                    yield Finding(
                        "events",
                        CHAIN,
                        round_.chain_round,
                        f"an event for all that transaction {number} brought",
                        f"none for {type(sent).__name__} of member {member}",
                    )

    def _commitment(self, event: Committed, sent: SentCommitment) -> tuple[str, str] | None:
        if (event.digest, event.signed_at) != (sent.digest, sent.timestamp):
            return "as it was sent", f"digest {sent.digest.hex()[:16]}… at {sent.timestamp} sent"
        opened_at = self._round.opened.timestamp
        if not opened_at <= event.signed_at <= event.timestamp:
            return f"signed in [{opened_at}, {event.timestamp}]", f"{event.signed_at}"
        if sent.member is None:
            return None
        base = self._round.opened.base
        commitment = Commitment(event.round, base, event.digest, event.signed_at)
        address = self._members[event.member]
        if signed_commitment(self._domain, commitment, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _seal(self, event: Sealed, sent: SentSeal) -> tuple[str, str] | None:
        if event.seal != sent.seal:
            return "as it was sent", f"seal {sent.seal.hex()[:16]}… sent"
        address = self._members[event.member]
        if sent.member is None:
            return None
        if signed_seal(self._domain, event.round, event.seal, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _ballot(self, event: BallotCast, sent: SentBallot) -> tuple[str, str] | None:
        if event.entries != sent.entries:
            return "as it was sent", f"entries {sent.entries.hex()} sent"
        if self._evidence.terms.sealed:
            sealed = self._round.seals.get(event.member)
            if sealed is None or bytes(keccak(sent.entries + sent.salt)) != sealed.seal:
                return "that opens its seal", "another one, or no seal"
            if sent.salt[-1] != event.member:
                return "whose salt ends in the member's index", sent.salt.hex()
            return None
        if sent.member is None:
            return None
        address = self._members[event.member]
        if signed_ballot(self._domain, event.round, event.entries, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _author(self, sent: _Sent, call: Call) -> int | None:
        if sent.member is not None:
            return sent.member
        return self._members.index(call.sender) if call.sender in self._members else None


def _entries(call: Call, event: Event) -> tuple[_Sent, ...]:
    match event:
        case Committed():
            return call.commitments
        case Sealed():
            return call.seals
        case _:
            return call.ballots


def _brought(call: Call, round_: Round) -> Iterator[tuple[_Sent, Mapping[int, Event]]]:
    """Everything in a call, and where its event would be."""
    for commitment in call.commitments:
        yield commitment, round_.commitments
    for seal in call.seals:
        yield seal, round_.seals
    for ballot in call.ballots:
        yield ballot, round_.ballots
