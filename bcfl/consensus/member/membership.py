"""A member in one round of its task: what it checks, and what it signs.

The server's message names a node, a contract, a round and the rules. The client reads the
same from the chain, through the node that its own configuration names where there is one,
and refuses what does not agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flwr.app import Context

from bcfl.consensus.contract.events import Committed
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.words import seal_of
from bcfl.consensus.member.task import attach
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import (
    ReviewOrder,
    ReviewReply,
    RoundOrder,
    TrainReply,
)
from bcfl.consensus.spec.codec import Heading, blob_size, digest_of, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
)
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    receipt_message,
    seal_message,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.verification import Expectation, OnChain, verify_delta
from bcfl.core.errors import BlobError, CodecError, CommitmentRejected, LedgerError, ProtocolError
from bcfl.core.model import Arrays, ModelSpec, model_digest
from bcfl.keys.accounts import signed_by
from bcfl.keys.public_keys import address_of
from bcfl.keys.signer import Wallet

__all__ = ["Membership"]


@dataclass(frozen=True, slots=True)
class Membership:
    """One member in one round of one task."""

    signer: Wallet
    ledger: Ledger
    rules: Rules
    state: RoundState
    index: int
    members: tuple[str, ...]

    @classmethod
    def of(cls, order: RoundOrder | ReviewOrder, context: Context, signer: Wallet) -> Membership:
        """Read the task from the chain and hold the server's order against it.

        Raises
        ------
        ProtocolError
            Another contract than the one joined before, other rules than the contract's, a
            round that is not the contract's, or an account that is not a member.
        LedgerError
            The chain cannot be read, or the contract is not bcfl's.
        """
        ledger, rules = attach(order, context, signer if order.direct else None)
        state = ledger.state()
        if state.round != order.round:
            raise ProtocolError(f"the contract is in round {state.round}, not {order.round}")
        members = ledger.members()
        if signer.address not in members:
            raise ProtocolError(f"{signer.address} is not a member of {order.contract}")
        return cls(signer, ledger, rules, state, members.index(signer.address), members)

    def expect_base(self, arrays: Arrays) -> None:
        """The arrays received are θ_g, the model that the chain names.

        Raises
        ------
        ProtocolError
            They are not.
        """
        if (found := model_digest(arrays)) != self.state.model:
            raise ProtocolError(
                f"expected the global model {self.state.model.hex()[:16]}…, as on chain; "
                f"the server sent {found.hex()[:16]}…"
            )

    def sign_commitment(self, delta: Delta) -> TrainReply:
        """Encode, digest, timestamp and sign (S2, claim 3)."""
        blob = encode_delta(delta, self._heading(self.index))
        commitment = Commitment(
            self.state.round, self.state.model, digest_of(blob), self.ledger.now()
        )
        signature = self.signer.sign(commitment_message(self.ledger.domain, commitment))
        return TrainReply(commitment.digest, commitment.timestamp, signature, "", blob)

    def commit_direct(self, reply: TrainReply) -> TrainReply:
        """Send the commitment from the member's own account."""
        sent = self.ledger.commit_direct(self._signed(reply))
        return replace(reply, transaction=sent.hash)

    def expect_readers(self, readers: Sequence[bytes]) -> None:
        """The public keys to which a delta is to be sealed are the members' and the server's.

        Raises
        ------
        ProtocolError
            Somebody else's is among them.
        """
        active = self.ledger.active()
        known = {address for i, address in enumerate(self.members) if active >> i & 1}
        if strangers := {*map(address_of, readers)} - known - {self.ledger.coordinator}:
            raise ProtocolError(
                f"the server wants the delta sealed to {sorted(strangers)}, who are no members"
            )

    def verify(
        self, order: ReviewOrder, spec: ModelSpec, parcels: Parcels
    ) -> tuple[dict[int, Delta], dict[int, str]]:
        """Check every commitment as claim 4 says; the deltas that pass, the reasons of the rest.

        What the order carries, or names, ``parcels`` turns into the deltas' bytes.
        """
        deltas: dict[int, Delta] = {}
        rejected: dict[int, str] = {}
        size = blob_size(spec.n, self.rules.kept(spec.n), spec.dtype)
        blobs: Sequence[bytes | None] = order.blobs or [None] * len(order.members)
        locators = order.locators or [""] * len(order.members)
        for member, transaction, sent, locator in zip(
            order.members, order.transactions, blobs, locators, strict=True
        ):
            try:
                chain = self._look_up(member, transaction)
                blob = parcels.unpack(chain.digest, sent, locator, size)
                deltas[member] = verify_delta(chain, blob, self._expectation(member, spec))
            except (BlobError, CodecError, CommitmentRejected, LedgerError) as error:
                rejected[member] = str(error)
        return deltas, rejected

    def sign_ballot(self, ballot: Ballot, rejected: dict[int, str], *, reveal: bool) -> ReviewReply:
        """Sign the ballot; where ballots are sealed, sign its seal first and show it later."""
        entries = ballot.encode()
        whom, why = list(rejected), list(rejected.values())
        if self.rules.ballots == "open":
            signature = self.signer.sign(ballot_message(self.ledger.domain, ballot))
            return ReviewReply(entries, b"", b"", signature, whom, why, "")
        salt = self._salt()
        if reveal:
            return ReviewReply(entries, salt, b"", b"", whom, why, "")
        seal = seal_of(entries, salt)
        signature = self.signer.sign(seal_message(self.ledger.domain, self.state.round, seal))
        return ReviewReply(b"", b"", seal, signature, whom, why, "")

    def cast_direct(self, reply: ReviewReply) -> ReviewReply:
        """Send the ballot, or its seal, from the member's own account; once."""
        done = self.state.sealed if reply.seal else self.state.voted
        if done >> self.index & 1:
            return reply
        if reply.seal:
            seal = SignedSeal(self.index, self.state.round, reply.seal, reply.signature)
            return replace(reply, transaction=self.ledger.seal_direct(seal).hash)
        ballot = Ballot.decode(self.state.round, reply.entries)
        signed = SignedBallot(self.index, ballot, reply.signature, reply.salt)
        return replace(reply, transaction=self.ledger.cast_ballot_direct(signed).hash)

    def expect_receipt(self, receipt: bytes, commitment: TrainReply) -> None:
        """``receipt`` is the coordinator's signed word that it holds this commitment.

        Raises
        ------
        ProtocolError
            The signature is not the coordinator's, or not over this commitment.
        """
        message = receipt_message(
            self.ledger.domain, self.state.round, self.index, commitment.digest
        )
        if not signed_by(message, receipt, self.ledger.coordinator):
            raise ProtocolError("the server's receipt is not one for this member's commitment")

    def _look_up(self, member: int, transaction: str) -> OnChain:
        found = [
            event
            for event in self.ledger.events_of(transaction)
            if isinstance(event, Committed) and event.member == member
        ]
        if not found:
            raise CommitmentRejected(
                f"transaction {transaction} holds no commitment of member {member} "
                f"in contract {self.ledger.domain.contract}"
            )
        event = found[0]
        return OnChain(event.round, member, event.digest, event.signed_at, event.timestamp)

    def _expectation(self, member: int, spec: ModelSpec) -> Expectation:
        heading = self._heading(member)
        return Expectation(
            self.state.round,
            member,
            heading.author,
            heading.base,
            spec.n,
            self.rules.kept(spec.n),
            spec.dtype,
            self.state.opened_at,
        )

    def _heading(self, member: int) -> Heading:
        author = bytes.fromhex(self.members[member].removeprefix("0x"))
        return Heading(author, self.state.round, self.state.model)

    def _signed(self, reply: TrainReply) -> SignedCommitment:
        commitment = Commitment(self.state.round, self.state.model, reply.digest, reply.timestamp)
        return SignedCommitment(self.index, commitment, reply.signature)

    def _salt(self) -> bytes:
        # A signature over words that are never published: secret, and the same after a crash.
        words = seal_message(self.ledger.domain, self.state.round, bytes(32))
        secret = hashlib.sha256(self.signer.sign(words)).digest()
        # The contract wants the member's index in it, so that nobody can use another's seal.
        return secret[:-1] + bytes([self.index])
