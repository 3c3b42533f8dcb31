"""What the server does on the chain, and keeps: PROTOCOL, System A, S1 to S4. No Flower.

The contract says in which phase the round is; the coordinator does what that phase still lacks.
So a round that was cut off is finished by the same code: the chain says what is done, and the
journal holds what was signed and had not reached the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bcfl.chain.event import Transaction
from bcfl.consensus.contract.events import (
    Committed,
    Opened,
    Proposed,
    Refused,
    RoundEvent,
    Sealed,
    Selected,
    winning_sets,
)
from bcfl.consensus.contract.ledger import View
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import ReceiptOrder
from bcfl.consensus.round_cache import RoundCache
from bcfl.consensus.server.signed_checks import SignedChecks
from bcfl.consensus.server.signed_round import SignedRound
from bcfl.consensus.server.task import ConsensusTask
from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.domain import (
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    members_in,
)
from bcfl.consensus.spec.messages import ballot_receipt_message, receipt_message
from bcfl.consensus.spec.selection import best_first
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import (
    BlobError,
    ChainReorganised,
    CodecError,
    CommitmentRejected,
    ProtocolError,
)
from bcfl.core.model import Arrays
from bcfl.keys.sealing import MAX_OVERHEAD_BYTES
from bcfl.keys.signer import Signer

_E = TypeVar("_E", bound=RoundEvent)


class Coordinator:
    """Opens and closes rounds, and relays what members sign.

    Parameters
    ----------
    task : ConsensusTask
    parcels : Parcels
        Keeps, sends and gets the deltas.
    folder : TaskFolder
        Journal and checkpoints.
    signer : Signer
        The account that deployed the contract; it signs the receipts.
    """

    def __init__(
        self, task: ConsensusTask, parcels: Parcels, folder: TaskFolder, signer: Signer
    ) -> None:
        self.ledger, self.rules, self.updates = task.ledger, task.rules, task.updates
        self.reference = task.reference  #: the rules' reference set, if they have one
        self.parcels = parcels
        self._folder = folder
        self._signer = signer
        #: Whether rounds are opened apart from the end of those before, as much time lies between.
        self.apart = False
        self.owed: dict[int, ReceiptOrder] = {}  #: receipts for ballots, not handed out yet
        self._find_round()

    def open(self, arrays: Arrays, expected: int) -> Transaction:
        """S1: open a round for θ_g. The checkpoint comes first, the chain second."""
        sent = self.ledger.open_round(self._folder.save_checkpoint(arrays), expected)
        self.enter(sent)
        return sent

    def enter(self, opening: Transaction) -> None:
        """Begin with the round that this transaction has opened."""
        self.owed |= self.ballot_receipts()
        self.opening_block = opening.block
        self._enter_round()

    def accept(
        self,
        signed: SignedCommitment,
        blob: bytes,
        metrics: Mapping[str, Any],
        view: View,
    ) -> None:
        """Check a member's commitment, keep its blob, and remember it for relaying.

        ``view``, here and below, is what the contract said since it came.

        Raises
        ------
        CommitmentRejected
            It is none that the contract would take, or the blob is not a delta of this round
            with the digest that was signed. Such a member is left out.
        """
        commitment, member = signed.commitment, signed.member
        self._checks.expect_commitment(signed, view.state, view.time)
        if self.cache.digest(blob, commitment.digest) != commitment.digest:
            raise CommitmentRejected("the blob is not the one whose digest was signed")
        try:
            self._decode(member, commitment.digest, blob)
        except CodecError as error:
            raise CommitmentRejected(str(error)) from error
        earlier = self.signed.commitments.get(member)
        if earlier and earlier.commitment.digest != commitment.digest:
            self.ledger.prove_equivocation(earlier, signed)
            raise CommitmentRejected(f"member {member} signed two different deltas for one round")
        self.parcels.put(blob)
        self.signed.keep_commitment(signed, metrics)

    def commit(self) -> Transaction | None:
        """S3: the hashes of all accepted deltas go on chain, in one transaction."""
        state = self.ledger.state()
        # An equivocator's commitment would be refused.
        done = state.committed | state.equivocators
        return self._relay(self.signed.commitments, done, self.ledger.commit)

    def receipts(self, member: int) -> dict[str, bytes]:
        """The coordinator's signed word that it has what the member signed before its ballot.

        By the field of a ``ReviewOrder``: of the commitment, the proposal and the seal.
        """
        domain, round_ = self.ledger.domain, self.signed.round
        found = {}
        if (signed := self.signed.commitments.get(member)) is not None:
            message = receipt_message(domain, round_, member, signed.commitment.digest)
            found["receipt"] = self._signer.sign(message)
        said = {}
        if (proposal := self.signed.proposals.get(member)) is not None:
            said["proposal_receipt"] = proposal.proposal.encode()
        if (seal := self.signed.seals.get(member)) is not None:
            said["seal_receipt"] = seal.seal
        for name, words in said.items():
            message = ballot_receipt_message(domain, round_, member, words)
            found[name] = self._signer.sign(message)
        return found

    def ballot_receipts(self) -> dict[int, ReceiptOrder]:
        """By member: the coordinator's word that it has its ballot of this round."""
        domain, round_ = self.ledger.domain, self.signed.round
        return {
            member: ReceiptOrder(
                domain.contract,
                round_,
                self._signer.sign(
                    ballot_receipt_message(domain, round_, member, signed.ballot.encode())
                ),
            )
            for member, signed in self.signed.ballots.items()
        }

    def accept_proposal(self, signed: SignedProposal, view: View) -> None:
        """Remember a proposal. Raises ProtocolError if the contract refused it."""
        self._checks.expect_proposal(signed, view.state)
        if signed.member not in self.signed.proposals:
            self.signed.keep_proposal(signed)

    def propose(self) -> Transaction | None:
        """Where members propose: all proposals go on chain, in one transaction."""
        done = self.ledger.state().proposed
        return self._relay(self.signed.proposals, done, self.ledger.propose)

    def accept_seal(self, seal: SignedSeal, view: View) -> None:
        """Remember the promise of a ballot. Raises ProtocolError if the contract refused it."""
        self._checks.expect_seal(seal, view.state)
        if seal.member not in self.signed.seals:
            self.signed.keep_seal(seal)

    def seal(self) -> Transaction | None:
        """Sealed ballots only: the promises of all ballots go on chain."""
        return self._relay(self.signed.seals, self.ledger.state().sealed, self.ledger.seal)

    def accept_ballot(self, signed: SignedBallot, rejected: Mapping[int, str], view: View) -> None:
        """Remember a ballot. Raises ProtocolError for one that the contract would refuse."""
        self._checks.expect_ballot(signed, view.state, self._seals())
        if signed.member not in self.signed.ballots:
            self.signed.keep_ballot(signed, rejected)

    def cast(self) -> Transaction | None:
        """S3: the evaluation matrix goes on chain, in one transaction."""
        state = self.ledger.state()
        done = state.voted | state.abstained
        return self._relay(self.signed.ballots, done, self.ledger.cast_ballots)

    def deltas_to_send(self) -> dict[int, tuple[str, bytes]]:
        """By member: the transaction that commits its delta, and the bytes as members get them."""
        found = self._collect(self.parcels.parcel if self.parcels.readers() else self._get)
        return {member: (event.transaction, blob) for member, (event, blob) in found.items()}

    def locators(self) -> dict[int, str]:
        """By member: what leads others to its delta; empty where the store is only ours."""
        if not self.parcels.shared:
            return {}
        return {e.member: self.parcels.locator(e.digest) for e in self.events(Committed)}

    def receive(self, digest: bytes, sent: bytes, locator: str) -> bytes:
        """A delta that its member has sent, or published where ``sent`` is empty.

        Raises as :meth:`bcfl.consensus.parcels.Parcels.unpack`. Whether it is the one that was
        signed, :meth:`accept` finds out.
        """
        limit = self.updates.most_bytes(self.signed.round)
        most = limit + MAX_OVERHEAD_BYTES
        if len(sent) > most:
            raise ProtocolError(f"expected a delta of at most {most} bytes; found {len(sent)}")
        return self.parcels.unpack(digest, sent or None, locator, limit)

    def winners(self) -> dict[int, Any]:
        """The updates of U^O, as the contract selected it, limited as all reviewers did."""
        updates = {}
        for member, (event, blob) in self._collect(self._get).items():
            try:
                updates[member] = self._decode(member, event.digest, blob)
            except CodecError as error:
                self.unusable[member] = str(error)
        limited = self.cache.limited(self.updates, updates)
        return {m: limited[m] for m in members_in(self.ledger.state().winners) if m in limited}

    def _winning_sets(self, selected: Selected) -> list[dict[int, Any]]:
        """The updates of each winning set, the best first; see :meth:`Updates.combined`."""
        winners = self.winners()
        order = best_first(dict(enumerate(selected.scores)), winners, selected.seed)
        if not self.rules.proposes:
            return [{member: winners[member] for member in order}]
        sets = map(members_in, winning_sets(selected, self.events(Proposed)))
        return [{m: winners[m] for m in order if m in members} for members in sets]

    def aggregate(self, arrays: Arrays) -> Arrays | None:
        """S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O}); of several sets, their mean.

        None where a reorganisation has taken the choice back.
        """
        chosen = next(iter(self.events(Selected)), None)
        return None if chosen is None else self.updates.combined(arrays, self._winning_sets(chosen))

    def updated(self, arrays: Arrays) -> dict[int, Arrays]:
        """What every winner's train replied, θ_g + Δθ_j: what another strategy may aggregate."""
        reply = self.updates.replies(arrays)
        return {member: reply(update) for member, update in self.winners().items()}

    def close(self, arrays: Arrays, expected: int, memory: Arrays | None = None) -> Transaction:
        """The digest of the new θ_g goes on chain. The checkpoint is on disk before.

        And with it what an inner strategy remembers. Where anybody is expected (a bit field) it
        opens the next round, too: see :meth:`enter`.
        """
        digest = self._folder.save_checkpoint(arrays)
        if memory is not None:
            self._folder.save_memory(digest, memory)
        return self.ledger.close_round(self.signed.round, digest, expected)

    def events(self, kind: type[_E]) -> list[_E]:
        """The round's events of one kind, in the chain's order."""
        return [
            event
            for event in self.ledger.events(self.opening_block)
            if isinstance(event, kind) and event.round == self.signed.round
        ]

    def _collect(self, get: Callable[[bytes, int], bytes]) -> dict[int, tuple[Committed, bytes]]:
        limit = self.updates.most_bytes(self.signed.round)
        found = {}
        for event in self.events(Committed):
            try:
                found[event.member] = event, get(event.digest, limit)
            except (BlobError, CodecError) as error:
                self.unusable[event.member] = str(error)
        return found

    def _get(self, digest: bytes, max_bytes: int) -> bytes:
        """As ``Parcels.get``; but what this process has seen of the round it has at hand.

        In a simulation that is also what a member has committed to and not delivered.
        """
        blob = self.cache.blobs.get(digest)
        return self.parcels.get(digest, max_bytes) if blob is None else blob

    def _relay(self, signed: Mapping[int, Any], done: int, send: Any) -> Transaction | None:
        """Send what the chain lacks; what it passes over is not sent again."""
        batch = [
            signed[member]
            for member in sorted(signed)
            if not done >> member & 1 and (type(signed[member]), member) not in self._passed_over
        ]
        if not batch:
            return None
        sent: Transaction = send(batch)
        kind = type(batch[0])
        self._passed_over |= {(kind, event.member) for event in self._refusals(sent.hash)}
        return sent

    def _seals(self) -> list[Sealed]:
        return self.events(Sealed) if self.rules.ballots == "sealed" else []

    def _refusals(self, transaction: str) -> list[Refused]:
        return [e for e in self.ledger.events_of(transaction) if isinstance(e, Refused)]

    def follow(self) -> bool:
        """Whether the round's opening was taken back, and is repeated: what was signed is, too.

        What is held of the round is then held against it as it stands now.

        Raises
        ------
        ChainReorganised
            The chain is in another round.
        """
        state, before = self.ledger.state(), self._checks.opened
        if (state.round, state.opened_at) == (before.round, before.opened_at):
            return False
        if state.round != before.round:
            raise ChainReorganised(
                f"round {before.round} was open; the chain was reorganised and is in round "
                f"{state.round}: go on by `bcfl resume`"
            )
        self._find_round()
        return True

    def _find_round(self) -> None:
        opened = [event for event in self.ledger.events() if isinstance(event, Opened)]
        self.opening_block = opened[-1].block if opened else 0
        self._enter_round()

    def _enter_round(self) -> None:
        """Read once what does not change while a round is open."""
        state = self.ledger.state()
        self.members = self.ledger.members()
        self._base = state.model
        self.cache = RoundCache.of(self.rules.digest(), state.round, state.model)
        domain = self.ledger.domain
        sealed = self.rules.ballots == "sealed"
        self._checks = SignedChecks(domain, self.members, state, sealed, self.rules.rule)
        self.signed = SignedRound(self._folder.journal, domain.contract, state.round)
        self.unusable: dict[int, str] = {}  #: committed deltas that nobody can decode, and why
        self._passed_over: set[tuple[type, int]] = set()
        self._check_recalled(state)

    def _check_recalled(self, state: RoundState) -> None:
        """What the journal held of a round that is gone on with is not believed either."""
        if self.signed.empty:
            return
        now, seals = self.ledger.now(), self._seals()
        self.signed.forget_unless(
            lambda one: self._checks.expect_commitment(one, state, now),
            lambda one: self._checks.expect_proposal(one, state),
            lambda one: self._checks.expect_seal(one, state),
            lambda one: self._checks.expect_ballot(one, state, seals),
        )

    def _decode(self, member: int, digest: bytes, blob: bytes) -> Any:
        author = bytes.fromhex(self.members[member].removeprefix("0x"))
        heading = Heading(author, self.signed.round, self._base)
        return self.cache.decode(self.updates, digest, blob, heading)
