"""A member in one round of its task: what it checks, and what it signs.

The server's message names a node, a contract, a round and the rules. The client reads the
same from the chain, through the node that its own configuration names where there is one,
and refuses what does not agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flwr.app import ArrayRecord, Context

from bcfl.consensus.contract.ledger import Ledger, View
from bcfl.consensus.contract.words import seal_of
from bcfl.consensus.member.kept import Kept
from bcfl.consensus.member.sign_once import signing_once
from bcfl.consensus.member.task import attach
from bcfl.consensus.records import (
    LONGEST_REASON,
    ProposalReply,
    ReviewOrder,
    ReviewReply,
    RoundOrder,
    TrainReply,
)
from bcfl.consensus.round_cache import RoundCache
from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    Proposal,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    members_in,
)
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import ProtocolError
from bcfl.core.model import Arrays
from bcfl.keys.public_keys import address_of
from bcfl.keys.signer import Wallet


@dataclass(frozen=True, slots=True)
class Membership:
    """One member in one round of one task."""

    signer: Wallet
    ledger: Ledger
    rules: Rules
    view: View
    index: int
    kept: Kept
    cache: RoundCache

    @classmethod
    def of(
        cls, order: RoundOrder | ReviewOrder, context: Context, signer: Wallet, *, pays: bool
    ) -> Membership:
        """Read the task from the chain and hold the server's order against it.

        Parameters
        ----------
        pays : bool
            Whether the member may send transactions of its own.

        Raises
        ------
        ProtocolError
            Another contract than the one joined before, other rules than the contract's, a
            round that is not the contract's, or an account that is not a member.
        LedgerError
            The chain cannot be read, or the contract is not bcfl's.
        """
        ledger, rules, view = attach(order, context, signer if pays else None)
        state, members = view.state, view.members
        if state.round != order.round:
            raise ProtocolError(f"the contract is in round {state.round}, not {order.round}")
        if signer.address not in members:
            raise ProtocolError(f"{signer.address} is not a member of {order.contract}")
        once = signing_once(signer, context, ledger.domain.chain_id)
        index = members.index(signer.address)
        kept = Kept(context, ledger.domain.contract, state.round)
        cache = RoundCache.of(ledger.rules, state.round, state.model)
        return cls(once, ledger, rules, view, index, kept, cache)

    @property
    def state(self) -> RoundState:
        """The round, as it was when the order came."""
        return self.view.state

    @property
    def members(self) -> tuple[str, ...]:
        """Addresses, by index."""
        return self.view.members

    @property
    def expected(self) -> bool:
        """Whether the round waits for this member; else it may end before it has been heard."""
        return bool(self.state.expected >> self.index & 1)

    def expect_base(self, record: ArrayRecord, arrays: Arrays) -> None:
        """The record received, and its arrays, are θ_g, the model that the chain names.

        Raises
        ------
        ProtocolError
            They are not.
        """
        if (found := self.cache.model_digest(record, arrays)) != self.state.model:
            raise ProtocolError(
                f"expected the global model {self.state.model.hex()[:16]}…, as on chain; "
                f"the server sent {found.hex()[:16]}…"
            )

    def sign_commitment(self, blob: bytes) -> TrainReply:
        """Digest, timestamp and sign an encoded update (S2, claim 3).

        Raises
        ------
        ProtocolError
            The chain has a commitment of this member, which this process does not remember.
        SignedAlready
            Its record has one.
        """
        if self.state.committed >> self.index & 1:
            raise ProtocolError(
                f"member {self.index} has committed in round {self.state.round}, before this "
                "process began; it commits to nothing else"
            )
        commitment = Commitment(
            self.state.round, self.state.model, self.cache.keep(blob), self.ledger.now()
        )
        signature = self.signer.sign(commitment_message(self.ledger.domain, commitment))
        self._keep_commitment(commitment, signature)
        return TrainReply(commitment.digest, commitment.timestamp, signature, "", blob)

    def renew(self, reply: TrainReply) -> TrainReply:
        """The same commitment, dated anew where the round's opening was taken back and repeated.

        The contract takes none that is older than the round.
        """
        if reply.timestamp >= self.state.opened_at or self.state.committed >> self.index & 1:
            return reply
        timestamp = self.ledger.now()
        commitment = Commitment(self.state.round, self.state.model, reply.digest, timestamp)
        signature = self.signer.sign(commitment_message(self.ledger.domain, commitment))
        self._keep_commitment(commitment, signature)
        return replace(reply, timestamp=timestamp, signature=signature, transaction="")

    def commit_direct(self, reply: TrainReply) -> TrainReply:
        """Send the commitment from the member's own account; once, and while it is taken."""
        if self.state.phase != Phase.COMMIT or self.state.committed >> self.index & 1:
            return reply
        commitment = Commitment(self.state.round, self.state.model, reply.digest, reply.timestamp)
        signed = SignedCommitment(self.index, commitment, reply.signature)
        return replace(reply, transaction=self.ledger.commit_direct(signed).hash)

    def expect_readers(self, readers: Sequence[bytes]) -> None:
        """The public keys to which a delta is to be sealed are the members' and the server's.

        Raises
        ------
        ProtocolError
            Somebody else's is among them.
        """
        active = members_in(self.view.active)
        known = {address for i, address in enumerate(self.members) if i in active}
        if strangers := {*map(address_of, readers)} - known - {self.ledger.coordinator}:
            raise ProtocolError(
                f"the server wants the delta sealed to {sorted(strangers)}, who are no members"
            )

    def expect_review(self) -> None:
        """Commitments have ended, so that a ballot can account for all of them.

        Raises
        ------
        ProtocolError
            They have not, or ballots have ended; or this member has not committed, or has voted
            already, which this process does not remember.
        """
        if self.state.phase not in (Phase.PROPOSE, Phase.SEAL, Phase.BALLOT):
            raise ProtocolError(
                f"the contract takes no ballots of round {self.state.round} now: its phase is "
                f"{self.state.phase.name}"
            )
        if not self.state.committed >> self.index & 1:
            raise ProtocolError(
                f"the chain has no commitment of member {self.index} in round "
                f"{self.state.round}, and who has not committed does not vote"
            )

    @property
    def asked_for(self) -> str:
        """What the phase takes of a reviewer: its proposal, its seal, or its ballot."""
        asked = {Phase.PROPOSE: "proposal", Phase.SEAL: "seal"}
        return asked.get(self.state.phase, "ballot")

    def expect_unsaid(self) -> None:
        """The chain has not what it is asked for, nor a seal of it. Raises ProtocolError."""
        state = self.state
        if state.phase == Phase.PROPOSE:
            if state.proposed >> self.index & 1:
                raise ProtocolError(
                    f"member {self.index} has proposed in round {state.round}, before this process "
                    "began; it proposes nothing else"
                )
            return
        done = state.voted | state.abstained
        if state.phase == Phase.SEAL:  # later, whoever forgot its ballot may find it again
            done |= state.sealed
        if done >> self.index & 1:
            raise ProtocolError(
                f"member {self.index} has voted in round {self.state.round}, before this process "
                "began; it says nothing else"
            )

    def sign_proposal(self, proposal: Proposal) -> ProposalReply:
        """Sign what is proposed. It is open: who copies it adds nothing to it."""
        members = proposal.encode()
        signature = self.signer.sign(proposal_message(self.ledger.domain, proposal))
        self.kept.signed("proposal", self.index, signature, members=members.hex())
        return ProposalReply(members, signature)

    def propose_direct(self, reply: ProposalReply) -> ProposalReply:
        """Send the proposal from the member's own account; once."""
        if self.state.proposed >> self.index & 1:
            return reply
        proposal = Proposal(self.state.round, int.from_bytes(reply.members, "big"))
        signed = SignedProposal(self.index, proposal, reply.signature)
        return replace(reply, transaction=self.ledger.propose_direct(signed).hash)

    def sign_ballot(self, ballot: Ballot, rejected: dict[int, str]) -> ReviewReply:
        """Sign the ballot; where ballots are sealed, its seal, and show it once seals are in.

        Whether they are, the contract's phase says, and not the server.
        """
        entries = ballot.encode()
        whom, why = list(rejected), [reason[:LONGEST_REASON] for reason in rejected.values()]
        said = ballot_message(self.ledger.domain, ballot)
        if self.rules.ballots == "open":
            signature = self.signer.sign(said)
            self._keep_ballot(entries, b"", signature)
            return ReviewReply(entries, b"", b"", signature, whom, why, "")
        salt = self._salt()
        if self.state.phase == Phase.BALLOT:
            # The seal proves it to the contract; a signer that may send it by itself needs this.
            self._keep_ballot(entries, salt, self.signer.sign(said))
            return ReviewReply(entries, salt, b"", b"", whom, why, "")
        seal = seal_of(entries, salt)
        signature = self.signer.sign(seal_message(self.ledger.domain, self.state.round, seal))
        self.kept.signed("seal", self.index, signature, seal=seal.hex())
        return ReviewReply(b"", b"", seal, signature, whom, why, "")

    def cast_direct(self, reply: ReviewReply) -> ReviewReply:
        """Send the ballot, or its seal, from the member's own account; once."""
        state = self.state
        done = state.sealed if reply.seal else state.voted | state.abstained
        if done >> self.index & 1:
            return reply
        if reply.seal:
            seal = SignedSeal(self.index, state.round, reply.seal, reply.signature)
            return replace(reply, transaction=self.ledger.seal_direct(seal).hash)
        ballot = Ballot.decode(state.round, reply.entries)
        signed = SignedBallot(self.index, ballot, reply.signature, reply.salt)
        return replace(reply, transaction=self.ledger.cast_ballot_direct(signed).hash)

    def _keep_commitment(self, commitment: Commitment, signature: bytes) -> None:
        self.kept.signed(
            "commitment",
            self.index,
            signature,
            base=commitment.base.hex(),
            digest=commitment.digest.hex(),
            timestamp=commitment.timestamp,
        )

    def _keep_ballot(self, entries: bytes, salt: bytes, signature: bytes) -> None:
        self.kept.signed("ballot", self.index, signature, entries=entries.hex(), salt=salt.hex())

    def heading(self, member: int) -> Heading:
        """What stands at the head of this member's update in this round."""
        author = bytes.fromhex(self.members[member].removeprefix("0x"))
        return Heading(author, self.state.round, self.state.model)

    def _salt(self) -> bytes:
        # A signature over words that are never published: secret, and the same after a crash.
        words = seal_message(self.ledger.domain, self.state.round, bytes(32))
        secret = hashlib.sha256(self.signer.sign(words)).digest()
        # The contract wants the member's index in it, so that nobody can use another's seal.
        return secret[:-1] + bytes([self.index])
