"""What members signed, held against what the contract takes.

Nothing that the contract would refuse is written down or relayed: here are its conditions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bcfl.consensus.contract.events import Sealed
from bcfl.consensus.contract.words import compact, seal_of
from bcfl.consensus.spec.domain import (
    MAX_MEMBERS,
    Phase,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    TypedDataDomain,
    members_in,
)
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import expect_ballot, rated_by
from bcfl.core.errors import CommitmentRejected, LedgerError, ProtocolError
from bcfl.keys.accounts import signed_by


@dataclass(frozen=True, slots=True)
class SignedChecks:
    """The conditions of one round. Each method raises ProtocolError where one is not met."""

    domain: TypedDataDomain
    members: tuple[str, ...]
    opened: RoundState  #: as the round began, or was found
    sealed: bool  #: whether ballots are
    rule: Rule = "borda"

    def expect_commitment(self, signed: SignedCommitment, state: RoundState, now: int) -> None:
        """It is for this round and model, signed by a member that may commit, and not later."""
        said = signed.commitment
        if (said.round, said.base) != (self.opened.round, self.opened.model):
            raise CommitmentRejected("the commitment is for another round or model")
        self._expect_signature(
            commitment_message(self.domain, said), signed.signature, signed.member
        )
        if not (least := self.opened.opened_at) <= said.timestamp <= now:
            raise CommitmentRejected(
                f"expected a timestamp in [{least}, {now}]; found {said.timestamp}"
            )
        if state.phase != Phase.COMMIT and not state.committed >> signed.member & 1:
            raise CommitmentRejected("it came when commitments had ended")
        if state.equivocators >> signed.member & 1:
            raise CommitmentRejected(
                f"member {signed.member} was shown to have signed two deltas for one round"
            )

    def expect_proposal(self, signed: SignedProposal, state: RoundState) -> None:
        """It is for this round, of members who committed, by one of them."""
        proposal, member = signed.proposal, signed.member
        self._expect_committed(proposal.round, member, state)
        if state.phase != Phase.PROPOSE and not state.proposed >> member & 1:
            raise ProtocolError("it came when proposals had ended")
        if others := proposal.members & ~state.committed:
            raise ProtocolError(
                f"a proposal is of members who committed; found {members_in(others)}"
            )
        message = proposal_message(self.domain, proposal)
        self._expect_signature(message, signed.signature, member)

    def expect_seal(self, signed: SignedSeal, state: RoundState) -> None:
        """It is for this round, of a member that has committed."""
        if not self.sealed:
            raise ProtocolError("expected an open ballot, as the rules say; found a sealed one")
        self._expect_committed(signed.round, signed.member, state)
        if state.phase != Phase.SEAL and not state.sealed >> signed.member & 1:
            raise ProtocolError("it came when sealing had ended")
        message = seal_message(self.domain, signed.round, signed.seal)
        self._expect_signature(message, signed.signature, signed.member)

    def expect_ballot(
        self, signed: SignedBallot, state: RoundState, seals: Iterable[Sealed]
    ) -> None:
        """It speaks of the others who committed, and is signed, or is what was sealed."""
        ballot, member = signed.ballot, signed.member
        self._expect_committed(ballot.round, member, state)
        if state.phase != Phase.BALLOT and not (state.voted | state.abstained) >> member & 1:
            raise ProtocolError(f"no ballots are taken now: the phase is {state.phase.name}")
        candidates = rated_by(self.rule, member, state.committed, state.proposed)
        expect_ballot(ballot, candidates, MAX_MEMBERS + 1)
        if not self.sealed:
            if signed.salt:
                raise ProtocolError("an open ballot has no salt; found one")
            self._expect_signature(ballot_message(self.domain, ballot), signed.signature, member)
            return
        seal = {event.member: event.seal for event in seals}.get(member)
        if seal is None or seal != seal_of(ballot.encode(), signed.salt):
            raise ProtocolError("the ballot is not the one that was sealed")
        if signed.salt[-1] != member:
            raise ProtocolError(f"the salt of a ballot ends in its author's index, {member}")

    def _expect_committed(self, round_: int, member: int, state: RoundState) -> None:
        if round_ != self.opened.round:
            raise ProtocolError(f"expected a ballot of round {self.opened.round}; found {round_}")
        if not state.committed >> member & 1:
            raise ProtocolError(f"member {member} has not committed, and so does not vote")

    def _expect_signature(self, message: dict[str, Any], signature: bytes, member: int) -> None:
        try:
            compact(signature)
        except LedgerError as error:
            raise ProtocolError(str(error)) from None
        if not signed_by(message, signature, self.members[member]):
            raise ProtocolError(f"the signature is not member {member}'s")
