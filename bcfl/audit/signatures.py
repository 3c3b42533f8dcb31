"""Who signed what: every event held against the transaction that it came from.

S2 (claim 3) and S3 (claim 1). The contract checks all of this; whoever audits takes nobody's
word for it, not even the contract's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from eth_utils.crypto import keccak

from bcfl.audit.ballots import ballot_fault
from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding
from bcfl.audit.history import Round
from bcfl.audit.signed import (
    signed_ballot,
    signed_commitment,
    signed_proposal,
    signed_seal,
)
from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import (
    Call,
    SentBallot,
    SentCommitment,
    SentProposal,
    SentSeal,
)
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Committed,
    Equivocated,
    Proposed,
    Sealed,
)
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Proposal,
    members_in,
)
from bcfl.consensus.spec.scoring import abstains

Sent: TypeAlias = SentCommitment | SentProposal | SentSeal | SentBallot
#: What was expected, and what was found; None where all is well.
_Fault: TypeAlias = tuple[str, str] | None

#: What comes of each, where it counts.
_EVENTS: Final[Mapping[type[Sent], tuple[type[Event], ...]]] = {
    SentCommitment: (Committed,),
    SentProposal: (Proposed,),
    SentSeal: (Sealed,),
    SentBallot: (BallotCast, Abstained),
}


def all_sent(call: Call) -> list[Sent]:
    """Everything that a call brought in somebody's name."""
    return [*call.commitments, *call.proposals, *call.seals, *call.ballots]


def check_signatures(round_: Round, evidence: Evidence) -> Iterator[Finding]:
    """Every commitment, seal and ballot of a round was signed, or sent, by its author.

    What the transactions brought beside, the contract had a reason to refuse.
    """
    checks = _Signatures(round_, evidence)
    spoken = round_.spoken.values()
    before = (*round_.commitments.values(), *round_.proposals.values(), *round_.seals.values())
    for event in (*before, *spoken):
        if (reason := checks.fault(event)) is not None:
            name = type(event).__name__
            yield Finding("signature", CHAIN, round_.chain_round, f"{name} {reason[0]}", reason[1])
    yield from checks.unlogged()
    yield from checks.refused()


def indirect(round_: Round, evidence: Evidence) -> list[str]:
    """Transactions that reached the contract through another one: what was signed is not seen."""
    numbers = dict.fromkeys(event.transaction for event in round_.events)
    return [n for n in numbers if (call := evidence.calls.get(n)) and not call.function]


def entries_of(event: BallotCast | Abstained, round_: Round, evidence: Evidence) -> bytes | None:
    """The bytes of a ballot; of one that gave no points they stand only in its transaction."""
    if isinstance(event, BallotCast):
        return event.entries
    return _Signatures(round_, evidence).entries(event)


class _Signatures:
    def __init__(self, round_: Round, evidence: Evidence) -> None:
        self._round = round_
        self._members = round_.members
        self._evidence = evidence
        self._domain = evidence.terms.domain

    def fault(self, event: Event) -> _Fault:
        """What was expected of the event's transaction, and what it holds; None if all is well."""
        assert isinstance(event, (Committed, Proposed, Sealed, BallotCast, Abstained))
        call = self._evidence.calls.get(event.transaction)
        if call is None:
            return "in a transaction", f"no transaction {event.transaction}"
        if not call.function:
            return None  # sent through another contract: see `indirect`
        if event.member >= len(self._members):
            return "of a member", f"member {event.member}"
        nothing = f"as in {event.transaction}", f"nothing of member {event.member} in it"
        if call.round != event.round:
            return nothing
        # a batch may bring several things in one member's name, of which one counted
        faults = [self._fault_of(event, sent) for sent in self._sent(call, event)]
        return None if None in faults else (faults or [nothing])[0]

    def unlogged(self) -> Iterator[Finding]:
        """What a transaction brought, the contract logged, refused, or had before."""
        refused = {(event.transaction, event.member) for event in self._round.refused}
        order: dict[str, int] = {}
        for event in self._round.events:
            order.setdefault(event.transaction, len(order))
        for number, call in self._calls():
            for sent, logged in _brought(call, self._round):
                member = self._author(sent, call)
                counted = None if member is None else logged.get(member)
                before = counted is not None and order[counted.transaction] <= order[number]
                if not before and (number, member) not in refused:
                    yield self._strange(
                        f"an event for all that transaction {number} brought",
                        f"none for {type(sent).__name__} of member {member}",
                    )

    def refused(self) -> Iterator[Finding]:
        """What was refused was in the transaction, and does not hold."""
        for event in self._round.refused:
            call = self._evidence.calls.get(event.transaction)
            if call is not None and not call.function:
                continue
            sent = [s for s in all_sent(call) if s.member == event.member] if call else []
            words = f"something to refuse of member {event.member} in {event.transaction}"
            if not sent:
                yield self._strange(words, "nothing of that member")
            elif all(self.acceptable(one, event) for one in sent):
                yield self._strange(words, "only what the contract takes")

    def acceptable(self, sent: Sent, at: Event) -> bool:
        """Whether the contract takes what somebody sent in a member's name at that event."""
        round_, member = self._round, sent.member
        if member is None or member >= len(self._members):
            return False
        if isinstance(sent, SentCommitment):
            proven = {e.member for e in round_.events if isinstance(e, Equivocated)}
            if member in proven or not round_.active >> member & 1:
                return False
            commitment = (at.transaction, at.block, at.log_index, at.timestamp)
            event: Event = Committed(
                *commitment, round_.chain_round, member, sent.digest, sent.timestamp
            )
            return self._fault_of(event, sent) is None
        if member not in round_.commitments:
            return False
        if isinstance(sent, SentProposal):
            return self._is_proposal(sent) and self._signed_proposal(member, sent) is None
        if isinstance(sent, SentSeal):
            address = self._members[member]
            return signed_seal(self._domain, round_.chain_round, sent.seal, sent.signature, address)
        authentic = self._authentic(member, sent) is None
        rule = self._evidence.terms.rule
        return authentic and ballot_fault(member, sent.entries, round_, rule) is None

    def entries(self, event: Abstained) -> bytes | None:
        """What an abstaining member sent, where its transaction says."""
        call = self._evidence.calls.get(event.transaction)
        for sent in self._sent(call, event) if call else ():
            if isinstance(sent, SentBallot) and self._fault_of(event, sent) is None:
                return sent.entries
        return None

    def _calls(self) -> Iterator[tuple[str, Call]]:
        for number in dict.fromkeys(event.transaction for event in self._round.events):
            call = self._evidence.calls.get(number)
            if call is not None and call.function != "prove_equivocation":
                yield number, call

    def _sent(
        self, call: Call, event: Committed | Proposed | Sealed | BallotCast | Abstained
    ) -> list[Sent]:
        own = (sent for sent in all_sent(call) if type(event) in _EVENTS[type(sent)])
        return [sent for sent in own if self._author(sent, call) == event.member]

    def _fault_of(self, event: Event, sent: Sent) -> _Fault:
        match event, sent:
            case Committed(), SentCommitment():
                return self._commitment(event, sent)
            case Proposed(), SentProposal():
                return self._proposal(event, sent)
            case Sealed(), SentSeal():
                return self._seal(event, sent)
            case BallotCast(), SentBallot():
                return self._ballot(event, sent)
            case Abstained(), SentBallot():
                return self._abstention(event, sent)
        raise AssertionError

    def _commitment(self, event: Committed, sent: SentCommitment) -> _Fault:
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

    def _proposal(self, event: Proposed, sent: SentProposal) -> _Fault:
        if event.members != sent.members:
            return "as it was sent", f"a proposal of {members_in(sent.members)} sent"
        if not self._is_proposal(sent):
            expected = "of members who had committed"
            return expected, f"of {members_in(event.members)}"
        return self._signed_proposal(event.member, sent)

    def _is_proposal(self, sent: SentProposal) -> bool:
        return bool(sent.members) and self._round.commitments.keys() >= {*members_in(sent.members)}

    def _signed_proposal(self, member: int, sent: SentProposal) -> _Fault:
        if sent.member is None:
            return None
        address, number = self._members[member], self._round.chain_round
        proposal = Proposal(number, sent.members)
        if signed_proposal(self._domain, proposal, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _seal(self, event: Sealed, sent: SentSeal) -> _Fault:
        if event.seal != sent.seal:
            return "as it was sent", f"seal {sent.seal.hex()[:16]}… sent"
        address = self._members[event.member]
        if sent.member is None:
            return None
        if signed_seal(self._domain, event.round, event.seal, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _ballot(self, event: BallotCast, sent: SentBallot) -> _Fault:
        if event.entries != sent.entries:
            return "as it was sent", f"entries {sent.entries.hex()} sent"
        return self._authentic(event.member, sent)

    def _abstention(self, event: Abstained, sent: SentBallot) -> _Fault:
        rule = self._evidence.terms.rule
        if (fault := ballot_fault(event.member, sent.entries, self._round, rule)) is not None:
            return "of a ballot", fault
        ballot = Ballot.decode(event.round, sent.entries)
        if ballot.missing != event.missing:
            said = members_in(ballot.missing)
            return f"of one who misses {members_in(event.missing)}", f"{said} in what was sent"
        if not abstains(ballot, self._round.rated_by(event.member, rule)):
            return "of one who misses more than a quarter", f"{members_in(ballot.missing)}"
        return self._authentic(event.member, sent)

    def _authentic(self, member: int, sent: SentBallot) -> _Fault:
        """Whether the member has signed these entries, sealed them, or sent them itself."""
        if self._evidence.terms.sealed:
            sealed = self._round.seals.get(member)
            if sealed is None or bytes(keccak(sent.entries + sent.salt)) != sealed.seal:
                return "that opens its seal", "another one, or no seal"
            if sent.salt[-1] != member:
                return "whose salt ends in the member's index", sent.salt.hex()
            return None
        if sent.member is None:
            return None
        address = self._members[member]
        number = self._round.chain_round
        if signed_ballot(self._domain, number, sent.entries, sent.signature, address):
            return None
        return f"signed by {address}", "a signature that is not"

    def _author(self, sent: Sent, call: Call) -> int | None:
        if sent.member is not None:
            return sent.member
        return self._members.index(call.sender) if call.sender in self._members else None

    def _strange(self, expected: str, found: str) -> Finding:
        return Finding("events", CHAIN, self._round.chain_round, expected, found)


def _brought(call: Call, round_: Round) -> Iterator[tuple[Sent, Mapping[int, Event]]]:
    """Everything in a call, and where its event would be."""
    for sent in all_sent(call):
        match sent:
            case SentCommitment():
                yield sent, round_.commitments
            case SentProposal():
                yield sent, round_.proposals
            case SentSeal():
                yield sent, round_.seals
            case SentBallot():
                yield sent, round_.spoken
