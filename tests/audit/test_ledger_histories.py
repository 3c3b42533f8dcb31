"""What the strategy never does but the contract allows: members come, go, cheat and pay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bcfl.audit.audit import audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.server.signed_round import SignedRound
from bcfl.consensus.spec.aggregation import aggregate
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.codec import Heading, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    SignedBallot,
    SignedCommitment,
    members_in,
)
from bcfl.consensus.spec.messages import ballot_message, commitment_message
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.task_folder import TaskDescription, TaskFolder
from bcfl.core.model import encode_model, model_digest
from bcfl.store.local import LocalStore
from tests.audit.tampering import member_key

RULES = Rules(gamma=0.5, kappa=0.5)
MODEL = {"w": np.zeros(4, np.float32)}


class Task:
    """A task by hand: the ledger, the store and the journal, and no server."""

    def __init__(self, chain: EmbeddedChain, folder: Path, members: int, stake: int = 0) -> None:
        self.chain = chain
        self.folder = TaskFolder(folder)
        self.store = LocalStore(folder / "blobs")
        genesis = self.store.put(encode_model(MODEL))
        self.ledger = Ledger.deploy(
            chain.connect(chain.coordinator),
            chain.wait_until,
            members=[member_key(member).address for member in range(members)],
            genesis=genesis,
            rules=RULES.digest(),
            kappa_ppm=RULES.kappa_ppm,
            quorum=RULES.quorum,
            commit_window_s=RULES.commit_window_s,
            ballot_window_s=RULES.ballot_window_s,
            sealed=False,
            stake=stake,
        )
        domain, coordinator = self.ledger.domain, self.ledger.coordinator
        self.folder.describe(
            TaskDescription(domain.chain_id, domain.contract, coordinator, genesis.hex(), RULES, 0)
        )

    def signed(self) -> SignedRound:
        round_ = self.ledger.state().round
        return SignedRound(self.folder.journal, self.ledger.domain.contract, round_)

    def commitment(self, member: int, delta: Delta) -> SignedCommitment:
        state, key = self.ledger.state(), member_key(member)
        heading = Heading(bytes.fromhex(key.address[2:]), state.round, state.model)
        digest = self.store.put(encode_delta(delta, heading))
        commitment = Commitment(state.round, state.model, digest, self.ledger.now())
        signature = key.sign(commitment_message(self.ledger.domain, commitment))
        return SignedCommitment(member, commitment, signature)

    def ballot(self, member: int, values: dict[int, int]) -> SignedBallot:
        ballot = Ballot.from_values(self.ledger.state().round, values)
        signature = member_key(member).sign(ballot_message(self.ledger.domain, ballot))
        return SignedBallot(member, ballot, signature)

    def joined(self, member: int) -> Ledger:
        """The ledger as an account sees it that has deposited the stake."""
        key = member_key(member)
        self.chain.fund(key.address, 10**18)
        ledger = Ledger.attach(self.chain.connect(key), self.ledger.domain.contract)
        ledger.join()
        return ledger


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EmbeddedChain]:
    with EmbeddedChain(tmp_path / "chain.jsonl") as running:
        yield running


def delta(value: float) -> Delta:
    return Delta(4, np.array([0, 2], np.int64), np.full(2, value, np.float32))


def test_members_come_and_go_and_an_equivocator_wins_nothing(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    task = Task(chain, tmp_path, members=3)
    ledger = task.ledger
    ledger.remove_member(1)
    ledger.add_member(member_key(3).address)
    ledger.add_member(member_key(1).address)
    ledger.open_round(model_digest(MODEL), 0b1111)
    deltas = {member: delta(member + 1.0) for member in range(4)}
    commitments = [task.commitment(member, one) for member, one in deltas.items()]
    signed = task.signed()
    for commitment in commitments:
        signed.keep_commitment(commitment, {})
    ledger.commit(commitments)
    ledger.prove_equivocation(commitments[2], task.commitment(2, delta(9.0)))
    values = {0: 5, 1: 6, 2: 7, 3: 4}
    ballots = [task.ballot(m, {j: v for j, v in values.items() if j != m}) for m in range(4)]
    for ballot in ballots:
        signed.keep_ballot(ballot, {})
    ledger.cast_ballots(ballots)
    ledger.select()
    winners = members_in(ledger.state().winners)
    assert winners == (0, 1)
    clipped = clip(deltas, RULES.clip)
    new = aggregate(MODEL["w"], {m: clipped[m] for m in winners}, RULES.combine)
    ledger.close_round(1, model_digest({"w": new}))
    chain.stop()

    audit = audit_run(tmp_path)
    assert [(f.kind, str(f.culprit)) for f in audit.findings] == [("equivocation", "member 2")]
    assert audit.recomputed == {1}


def test_a_task_with_a_stake_and_a_void_round(chain: EmbeddedChain, tmp_path: Path) -> None:
    task = Task(chain, tmp_path, members=0, stake=1000)
    members = [task.joined(member) for member in range(3)]
    members[1].leave()
    task.ledger.open_round(model_digest(MODEL), 0b101)
    task.ledger.wait_until(task.ledger.state().commit_deadline)
    task.ledger.select()
    members[2].leave()
    chain.stop()

    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.rounds) == 1


def test_a_task_without_a_round(chain: EmbeddedChain, tmp_path: Path) -> None:
    Task(chain, tmp_path, members=2)
    chain.stop()
    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert audit.rounds == []
