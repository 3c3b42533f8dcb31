"""One of Flower's server rounds, step by step: PROTOCOL, System A, S2 to S4.

A step does only what the contract's phase still lacks, so that a round begun by a server that
died is finished as any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp.strategy import Strategy

from bcfl.consensus.contract.ledger import View
from bcfl.consensus.records import ProposalReply, ReviewOrder, ReviewReply, RoundOrder
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.inner_memory import InnerMemory
from bcfl.consensus.server.inner_state import InnerState
from bcfl.consensus.server.inner_strategy import Training, aggregate_with, train_metrics
from bcfl.consensus.server.members import Members
from bcfl.consensus.server.metrics import read_metrics
from bcfl.consensus.server.round_log import RoundLog, in_one_line
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
    bits,
    members_in,
)
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import (
    BcflError,
    ContractReverted,
    NobodyLeft,
    ProtocolError,
    RoundVoid,
)
from bcfl.core.model import Arrays

_VOTING = (Phase.COMMIT, Phase.PROPOSE, Phase.SEAL, Phase.BALLOT)
#: Why a contract does not choose in the block of the last commitment.
_TOO_SOON = "consensus: wait for a block"
#: How often in one phase the chain may take back what it was given.
_MOST_REORGANISATIONS = 8


@dataclass(frozen=True, slots=True)
class Configs:
    """What every message of the round carries beside the arrays."""

    training: Training
    evaluate: ConfigRecord
    rpc_url: str
    seed: int
    direct: bool


class Round:
    """A round of the contract, and another while that one is void.

    Parameters
    ----------
    number : int
        Flower's server round.
    record : ArrayRecord
        θ_g.
    arrays : mapping of str to ndarray
        Those of ``record``.
    coordinator : Coordinator
    conversation : Conversation
    members : Members
    configs : Configs
    inner : Strategy, optional
        Aggregates the winners instead of the coordinator.
    memory : InnerMemory, optional
        Of the inner strategy.
    max_attempts : int
        How often the round may be void.
    on_phase, on_round : callable
        Told (round, phase) when a phase begins, and the record of every attempt.
    """

    def __init__(
        self,
        number: int,
        record: ArrayRecord,
        arrays: Arrays,
        coordinator: Coordinator,
        conversation: Conversation,
        members: Members,
        configs: Configs,
        *,
        inner: Strategy | None,
        memory: InnerMemory | None,
        max_attempts: int,
        on_phase: Callable[[int, str], None],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self._number = number
        self._arrays = arrays
        self._coordinator = coordinator
        self._ledger = coordinator.ledger
        self._conversation = conversation
        self._members = members
        self._configs = configs
        self._inner = inner
        self._memory = memory
        self._inner_before: InnerState | None = None
        self._max_attempts = max_attempts
        self._on_phase = on_phase
        self._on_round = on_round
        self._attempts = 0
        self._winners = 0
        self._named = (0, "")  # the block that the last order named
        self._asked: dict[int, int] = {}  # whom we asked to train: member to node
        self._record = record
        self._size = sum(array.nbytes for array in arrays.values())

    def open(self) -> list[Message]:
        """S2: open a round, unless one is open; the messages that ask for what it still lacks."""
        self._attempts += 1
        self._replies: dict[int, RecordDict] = {}  # to train, without arrays; by member
        self._log = RoundLog(self._number, self._on_phase)
        self._asked = {}
        self._named = self._ledger.anchor()
        self._log.enter("open")
        if self._phase_at_its_opening() == Phase.IDLE:
            training = self._configs.training
            expected = self._members.sample(self._ledger, self._number, training)
            self._coordinator.open(self._arrays, bits(expected))
        self._log.recall(self._coordinator.signed, self._coordinator.parcels, self._size)
        return self._ask_to_train()

    def _phase_at_its_opening(self) -> Phase:
        """Where the contract stands, mostly: a round was opened with the end of the one before."""
        view = self._ledger.look()
        state, window = view.state, self._coordinator.rules.commit_window_s
        if state.phase == Phase.COMMIT and view.time > state.opened_at + window // 2:
            self._coordinator.apart = True
        if state.phase != Phase.SELECT or state.committed:
            return state.phase
        # It was over before anybody was asked, and is no attempt.
        self._ledger.select()
        self._report()
        self._log = RoundLog(self._number, self._on_phase)
        return Phase.IDLE

    def _ask_to_train(self) -> list[Message]:
        """The messages to those of whom the open round lacks a commitment."""
        state = self._ledger.state()
        if state.phase != Phase.COMMIT:
            return []
        missing = set(members_in(state.expected & ~state.committed))
        self._asked = self._present(missing - self._coordinator.signed.commitments.keys())
        parcels = self._coordinator.parcels
        order = RoundOrder(
            *self._heading(state),
            publish=parcels.shared,
            readers=parcels.readers(),
            **self._anchor(self._asked),
        )
        self._log.bytes_down += self._size * len(self._asked)
        self._log.bytes_down_dense += self._size * len(self._asked)
        self._log.enter("train")
        owed = self._coordinator.owed
        receipts = {member: owed.pop(member) for member in self._asked if member in owed}
        return self._conversation.train(order, self._asked, self._configs.training, receipts)

    def commit(self, replies: Iterable[Message]) -> None:
        """S3: check what members signed; the digests of their deltas go on chain."""
        self._log.enter("commit")
        self._accept_commitments(replies)
        for _ in range(_MOST_REORGANISATIONS):
            if self._taken_back():
                self._accept_commitments(self._conversation.send(self._ask_to_train()))
            if self._ledger.state().phase == Phase.COMMIT:
                self._unless_changed(self._coordinator.commit)
            if not self._taken_back():
                break
        if self._ledger.state().phase == Phase.COMMIT:
            self._await_the_end_of(Phase.COMMIT)

    def _taken_back(self) -> bool:
        """Whether a reorganisation took back what the members, or the contract, were asked by.

        Asked again, they answer as before.
        """
        begun_anew = self._coordinator.follow()
        number, block_hash = self._named
        return begun_anew or not self._ledger.has_block(number, block_hash)

    def _unless_changed(self, send: Callable[[], object]) -> None:
        """What the contract refuses, as the round is another by now, is sent in its time."""
        before = self._ledger.state()
        try:
            send()
        except ContractReverted:
            if not self._coordinator.follow() and self._ledger.state() == before:
                raise

    def _accept_commitments(self, replies: Iterable[Message]) -> None:
        read, failures = self._conversation.trained(replies, self._asked)
        view = self._ledger.look()
        state = view.state
        for member, (reply, content) in read.items():
            self._replies[member] = content
            metrics = read_metrics(content)
            self._log.bytes_up += len(reply.blob) + len(reply.signature) + len(reply.digest)
            self._log.bytes_up_dense += self._size
            try:
                commitment = Commitment(state.round, state.model, reply.digest, reply.timestamp)
                signed = SignedCommitment(member, commitment, reply.signature)
                blob = self._coordinator.receive(reply.digest, reply.blob, reply.locator)
                self._coordinator.accept(signed, blob, metrics, view)
            except BcflError as error:
                failures[member] = str(error)
            else:
                self._log.left_out.pop(member, None)
        self._log.left_out.update(failures)

    def review(self) -> None:
        """S3: whoever committed rates the others; the ballots, first their seals, go on chain.

        Where members propose, their proposals come before, and are what is rated.
        """
        taken_back = 0
        while (state := self._ledger.state()).phase in _VOTING:
            if state.phase == Phase.COMMIT:  # once more, after a reorganisation
                self.commit([])
                continue
            proposing, sealing = state.phase == Phase.PROPOSE, state.phase == Phase.SEAL
            self._log.enter("consider" if proposing else "review")
            done = state.sealed if sealing else state.voted | state.abstained
            failures = self._ask_for_reviews(state, state.proposed if proposing else done)
            if self._taken_back() and (taken_back := taken_back + 1) < _MOST_REORGANISATIONS:
                continue
            for member, reason in failures.items():
                self._log.left_out[member] = f"no {'proposal' if proposing else 'ballot'}: {reason}"
            self._log.enter("propose" if proposing else "ballot")
            if proposing:
                self._unless_changed(self._coordinator.propose)
                self._await_the_end_of(Phase.PROPOSE)
            elif sealing:
                self._unless_changed(self._coordinator.seal)
                self._await_the_end_of(Phase.SEAL)
            else:
                self._unless_changed(self._coordinator.cast)
                self._await_the_end_of(Phase.BALLOT)

    def select(self) -> bool:
        """S4: let the contract select U^O; False where it finds the round void.

        Where nobody is silent, the last ballot has done it.
        """
        self._log.enter("select")
        for _ in range(_MOST_REORGANISATIONS):
            state = self._ledger.state()
            if state.phase in _VOTING:  # once more, after a reorganisation
                self.review()
            elif state.phase == Phase.SELECT:
                self._unless_changed(self._choose)
            else:
                break
        self._winners = state.winners
        return state.phase == Phase.SELECTED

    def _choose(self) -> None:
        """Select; not in the block of the last commitment, where a reorganisation can leave all."""
        try:
            self._ledger.select()
        except ContractReverted as refusal:
            if refusal.reason != _TOO_SOON:
                raise
            self._ledger.wait_until(self._ledger.now())
            self._ledger.select()

    def repeat(self) -> list[Message]:
        """After a void round: open another, and let members train; their replies.

        Raises
        ------
        NobodyLeft, RoundVoid
            The attempts are used up.
        """
        record = self._report()
        if self._attempts == self._max_attempts:
            tries = f"round {self._number} came to nothing {self._attempts} times"
            if not record.committed:
                raise NobodyLeft(f"{tries}: nobody committed: {record.reasons}")
            quorum = self._coordinator.rules.quorum
            raise RoundVoid(
                f"{tries}: expected {quorum} commitments and ballots; found "
                f"{len(record.committed)} and {len(record.voted)}: {record.reasons}"
            )
        log(WARNING, "round %s: once more", self._number)
        return self._conversation.send(self.open())

    def aggregate(self) -> tuple[Arrays | None, MetricRecord | None]:
        """S4: θ_g ← θ_g + η·combine({Δθ_j : j in U^O}), or what the inner strategy makes of them.

        None where a reorganisation has taken the choice back. And the metrics of the training: of
        all that committed, or the inner strategy's own.

        Raises
        ------
        NobodyLeft
            The inner strategy made nothing of them.
        """
        self._log.enter("aggregate")
        metrics = train_metrics(self._members.fedavg, self._coordinator, self._replies)
        if self._inner is None:
            return self._coordinator.aggregate(self._arrays), metrics
        if self._ledger.state().phase != Phase.SELECTED:
            return None, metrics
        if self._inner_before is None:
            self._inner_before = InnerState(self._inner)
        else:  # once more, after a reorganisation
            self._inner_before.restore()
        return aggregate_with(
            self._inner,
            self._coordinator,
            self._number,
            self._arrays,
            self._replies,
            self._conversation.present(self._coordinator.members),
        )

    def close(self, arrays: Arrays, rounds: int) -> bool:
        """S4: the digest of the new θ_g goes on chain; and if more rounds follow, the next opens.

        False where a reorganisation has changed who won, or whether: select once more.

        Parameters
        ----------
        rounds : int
            How many there are to be.
        """
        self._log.enter("close")
        state = self._ledger.state()
        if (state.phase, state.winners) != (Phase.SELECTED, self._winners):
            return False
        try:
            expected = self._expected_next(rounds)
            memory = self._memory.told() if self._memory else None
            sent = self._coordinator.close(arrays, bits(expected), memory)
        except ContractReverted:
            if self._ledger.state().phase == Phase.SELECTED:
                raise
            return False
        self._inner_before = None
        self._report()
        if expected:
            self._coordinator.enter(sent)
        return True

    def _expected_next(self, rounds: int) -> list[int]:
        """Whom the next round waits for that is opened with the end of this one; if it can be.

        An inner strategy says only later whom it asks; a settlement opens the next by itself.
        """
        settles = self._coordinator.rules.settlement == "optimistic"
        if self._number >= rounds or self._coordinator.apart or self._inner or settles:
            return []
        return self._members.expected_next(self._ledger, self._number + 1, self._configs.training)

    def _report(self) -> RoundRecord:
        record = self._log.record(self._coordinator)
        log(WARNING if record.left_out else INFO, "%s", in_one_line(record))
        self._on_round(record)
        return record

    def _await_the_end_of(self, phase: Phase) -> None:
        """Somebody may still act by an own transaction: let ``phase`` end, if it has not."""
        state = self._ledger.state()
        deadlines = {
            Phase.COMMIT: state.commit_deadline,
            Phase.PROPOSE: state.proposal_deadline,
            Phase.SEAL: state.seal_deadline,
            Phase.BALLOT: state.ballot_deadline,
        }
        if state.phase == phase:
            self._ledger.wait_until(deadlines[phase])

    def _ask_for_reviews(self, state: RoundState, done: int) -> dict[int, str]:
        """Ask for what is missing; why it does not come, by member."""
        signed = self._coordinator.signed
        said: dict[Phase, Mapping[int, Any]] = {
            Phase.PROPOSE: signed.proposals,
            Phase.SEAL: signed.seals,
        }
        have = said.get(state.phase, signed.ballots)
        nodes = self._present(set(members_in(state.committed & ~done)) - have.keys())
        deltas, locators = self._coordinator.deltas_to_send(), self._coordinator.locators()
        order = ReviewOrder(
            *self._heading(state),
            members=list(deltas),
            transactions=[transaction for transaction, _ in deltas.values()],
            blobs=[blob for _, blob in deltas.values()],
            locators=[locators[member] for member in deltas if member in locators],
            sealed=bool(self._coordinator.parcels.readers()),
            opening_block=self._coordinator.opening_block,
            reference=self._coordinator.reference,
            **self._anchor(),
        )
        handed = [n for n in nodes.values() if not (locators and self._conversation.fetches(n))]
        self._log.bytes_down += self._size * len(nodes)
        self._log.bytes_down += sum(map(len, order.blobs)) * len(handed)
        self._log.bytes_down += len(order.reference) * len(nodes)
        kind = ProposalReply if state.phase == Phase.PROPOSE else ReviewReply
        receipts = self._coordinator.receipts
        read, failures = self._conversation.review(
            order, nodes, self._record, self._configs.evaluate, receipts, kind
        )
        view = self._ledger.look()
        for member, reply in read.items():
            try:
                self._accept(state.round, member, reply, view)
            except BcflError as error:
                failures[member] = str(error)
        return failures

    def _accept(
        self, round_: int, member: int, reply: ProposalReply | ReviewReply, view: View
    ) -> None:
        if isinstance(reply, ProposalReply):
            self._log.bytes_up += len(reply.members) + len(reply.signature)
            proposal = Proposal(round_, int.from_bytes(reply.members, "big"))
            signed = SignedProposal(member, proposal, reply.signature)
            self._coordinator.accept_proposal(signed, view)
            return
        self._log.bytes_up += len(reply.entries) + len(reply.signature) + len(reply.seal)
        if reply.seal:
            seal = SignedSeal(member, round_, reply.seal, reply.signature)
            self._coordinator.accept_seal(seal, view)
            return
        if len(reply.rejected) != len(reply.reasons):
            raise ProtocolError(
                f"expected a reason for each of {len(reply.rejected)} rejected members; found "
                f"{len(reply.reasons)}"
            )
        ballot = Ballot.decode(round_, reply.entries)
        cast = SignedBallot(member, ballot, reply.signature, reply.salt)
        rejected = dict(zip(reply.rejected, reply.reasons, strict=True))
        self._coordinator.accept_ballot(cast, rejected, view)

    def _present(self, members: set[int]) -> dict[int, int]:
        """Member to node, of those of ``members`` that are connected, in their order."""
        present = self._conversation.present(self._coordinator.members)
        return {member: present[member] for member in sorted(members) if member in present}

    def _anchor(self, trained: Collection[int] = ()) -> dict[str, Any]:
        """Which block an order names, and what is not on the chain; of members that train, more."""
        self._named = self._ledger.anchor()
        shown = self._ledger.off_chain(trained)
        return {"block": self._named[0], "block_hash": self._named[1], "off_chain": shown}

    def _heading(self, state: RoundState) -> tuple[str, str, int, str, int, bool]:
        rules = json.dumps(self._coordinator.rules.to_json())
        configs = self._configs
        contract = self._ledger.domain.contract
        return configs.rpc_url, contract, state.round, rules, configs.seed, configs.direct
