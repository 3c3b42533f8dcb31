"""One round, phase by phase: open, train, commit, review, ballot, select, aggregate, close.

The contract's phase decides what happens next, so that a round begun by a server that died
is finished here as any other. PROTOCOL, System A, S2 to S4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message

from bcfl.consensus.records import ReviewOrder, ReviewReply, RoundOrder
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.round_log import RoundLog
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
    bits,
    members_in,
)
from bcfl.core.errors import BcflError
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_array_record

__all__ = ["Configs", "ConsensusRound"]


@dataclass(frozen=True, slots=True)
class Configs:
    """What every message of the round carries beside the arrays."""

    train: ConfigRecord
    evaluate: ConfigRecord
    rpc_url: str
    seed: int
    direct: bool


class ConsensusRound:
    """Plays the round that the contract is in, or opens one.

    Parameters
    ----------
    coordinator : Coordinator
    conversation : Conversation
    log : RoundLog
    configs : Configs
    arrays : mapping of str to ndarray
        θ_g.
    combine : callable
        Gives the next θ_g once the winners stand.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        conversation: Conversation,
        log: RoundLog,
        configs: Configs,
        arrays: Arrays,
        combine: Callable[[Arrays], Arrays],
    ) -> None:
        self._coordinator = coordinator
        self._ledger = coordinator.ledger
        self._conversation = conversation
        self._log = log
        self._configs = configs
        self.arrays = arrays
        self._combine = combine
        self._record: ArrayRecord = to_array_record(arrays)
        self._size = sum(array.nbytes for array in arrays.values())
        self._asked: dict[int, int] = {}  # whom we asked to train: member to node

    def open(self, expected: list[int]) -> list[Message]:
        """Open a round, unless one is open; the messages that ask for what it still lacks."""
        if self._ledger.state().phase == Phase.IDLE:
            self._log.enter("open")
            self._coordinator.open(self.arrays, bits(expected))
        state = self._ledger.state()
        if state.phase != Phase.COMMIT:
            return []
        missing = state.expected & ~state.committed
        unsigned = set(members_in(missing)) - self._coordinator.signed.commitments.keys()
        present = self._conversation.present(self._coordinator.members)
        self._asked = {m: present[m] for m in sorted(unsigned) if m in present}
        order = RoundOrder(
            *self._heading(state),
            publish=self._coordinator.publishes,
            readers=self._coordinator.readers(),
        )
        self._log.bytes_down += self._size * len(self._asked)
        self._log.bytes_down_dense += self._size * len(self._asked)
        self._log.enter("train")
        return self._conversation.train(order, self._asked, self._record, self._configs.train)

    def finish(self, replies: list[Message]) -> Arrays | None:
        """Everything after training: θ_g of the next round, or None where the round is void."""
        self._commit(replies)
        while True:
            state = self._ledger.state()
            match state.phase:
                case Phase.IDLE:
                    return None
                case Phase.COMMIT:
                    self._ledger.wait_until(state.commit_deadline)
                case Phase.SEAL:
                    self._collect(state, state.sealed, state.seal_deadline)
                case Phase.BALLOT:
                    self._collect(state, state.voted, state.ballot_deadline)
                case Phase.SELECT:
                    self._log.enter("select")
                    self._ledger.select()
                case Phase.SELECTED:
                    return self._conclude()

    def _commit(self, replies: list[Message]) -> None:
        """S3: the hash of every delta goes on chain."""
        self._log.enter("commit")
        read, failures = self._conversation.trained(replies, self._asked)
        state = self._ledger.state()
        for member, (reply, content) in read.items():
            metrics: Mapping[str, Any] = next(iter(content.metric_records.values()), {})
            self._log.bytes_up += len(reply.blob) + len(reply.signature) + len(reply.digest)
            self._log.bytes_up_dense += self._size
            try:
                commitment = Commitment(state.round, state.model, reply.digest, reply.timestamp)
                signed = SignedCommitment(member, commitment, reply.signature)
                blob = self._coordinator.receive(reply.digest, reply.blob, reply.locator)
                self._coordinator.accept(signed, blob, metrics)
            except BcflError as error:
                failures[member] = str(error)
        self._log.left_out.update(failures)
        if state.phase == Phase.COMMIT:
            self._coordinator.commit()

    def _collect(self, state: RoundState, done: int, deadline: int) -> None:
        """S3: whoever committed reviews the others; the ballots, or their seals, go on chain."""
        self._log.enter("review")
        for member, reason in self._review(state, state.committed & ~done).items():
            self._log.left_out[member] = f"no ballot: {reason}"
        self._log.enter("ballot")
        if state.phase == Phase.SEAL:
            self._coordinator.seal()
        else:
            self._coordinator.cast()
        if self._ledger.state().phase == state.phase:
            self._ledger.wait_until(deadline)

    def _review(self, state: RoundState, missing: int) -> dict[int, str]:
        signed = self._coordinator.signed
        have = signed.seals if state.phase == Phase.SEAL else signed.ballots
        present = self._conversation.present(self._coordinator.members)
        nodes = {m: present[m] for m in members_in(missing) if m in present and m not in have}
        blobs, locators = self._coordinator.parcels(), self._coordinator.locators()
        order = ReviewOrder(
            *self._heading(state),
            members=list(blobs),
            transactions=[transaction for transaction, _ in blobs.values()],
            blobs=[blob for _, blob in blobs.values()],
            reveal=state.phase == Phase.BALLOT and state.sealed != 0,
            receipt=b"",
            locators=[locators[member] for member in blobs if member in locators],
            sealed=bool(self._coordinator.readers()),
        )
        handed = [n for n in nodes.values() if not (locators and self._conversation.fetches(n))]
        self._log.bytes_down += self._size * len(nodes)
        self._log.bytes_down += sum(map(len, order.blobs)) * len(handed)
        read, failures = self._conversation.review(
            order, nodes, self._record, self._configs.evaluate, self._coordinator.receipt
        )
        for member, (reply, _) in read.items():
            self._log.bytes_up += len(reply.entries) + len(reply.signature) + len(reply.seal)
            try:
                self._accept(state.round, member, reply)
            except BcflError as error:
                failures[member] = str(error)
        return failures

    def _accept(self, round_: int, member: int, reply: ReviewReply) -> None:
        if reply.seal:
            seal = SignedSeal(member, round_, reply.seal, reply.signature)
            self._coordinator.accept_seal(seal)
            return
        ballot = Ballot.decode(round_, reply.entries)
        signed = SignedBallot(member, ballot, reply.signature, reply.salt)
        rejected = dict(zip(reply.rejected, reply.reasons, strict=False))
        self._coordinator.accept_ballot(signed, rejected)

    def _conclude(self) -> Arrays:
        """S4: aggregate the winners, and put the digest of the new θ_g on chain."""
        self._log.enter("aggregate")
        arrays = self._combine(self.arrays)
        self._log.enter("close")
        self._coordinator.close(arrays)
        return arrays

    def _heading(self, state: RoundState) -> tuple[str, str, int, str, int, bool]:
        rules = json.dumps(self._coordinator.rules.to_json())
        configs = self._configs
        contract = self._ledger.domain.contract
        return configs.rpc_url, contract, state.round, rules, configs.seed, configs.direct
