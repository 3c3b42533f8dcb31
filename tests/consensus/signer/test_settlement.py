"""A signer in a task that is settled optimistically: one word a round, challenges within limits."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from bcfl.chain.contract import Contract
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.optimistic import OptimisticLedger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.signer.fallback import DirectFallback
from bcfl.consensus.spec.domain import Ballot, Commitment, SignedBallot, SignedCommitment
from bcfl.consensus.spec.messages import ballot_message
from bcfl.consensus.spec.rules import Rules
from bcfl.contracts import artifact
from bcfl.core.errors import BeyondAllowance, RoundNotOpen, SignedAlready
from tests.consensus.signer.conftest import Task

BOND = 10**15


@pytest.fixture
def task(stack: ExitStack, tmp_path: Path) -> Task:
    found = Task(stack.enter_context(EmbeddedChain()), tmp_path, stack, stake=0)
    rules = Rules(settlement="optimistic", commit_window_s=60, ballot_window_s=60, bond_wei=BOND)
    chain, members = found.chain, [found.account.address, found.other.address]
    found.server = OptimisticLedger.begin(
        chain.connect(chain.coordinator),
        chain.wait_until,
        members,
        bytes(32),
        rules,
        lambda round_, bundle: None,
    )
    found.contract = found.server.domain.contract
    return found


def settle_nothing(task: Task) -> None:
    """A round in which nobody said anything."""
    assert isinstance(task.server, OptimisticLedger)
    task.server.wait_until(task.server.state().commit_deadline)
    task.server.select()


def test_it_signs_for_the_round_that_is_open_and_once(task: Task) -> None:
    task.open()
    signer = task.signer()
    with pytest.raises(RoundNotOpen, match="no other"):
        signer.sign(task.commitment(1, base=bytes([1]) * 32))
    with pytest.raises(RoundNotOpen, match="timestamp"):
        signer.sign(task.commitment(1, timestamp=1))
    first = signer.sign(task.commitment(1))

    assert signer.sign(task.commitment(1)) == first
    with pytest.raises(SignedAlready):
        signer.sign(task.commitment(2))
    with pytest.raises(RoundNotOpen, match="the contract is in 1"):
        signer.sign(task.commitment(1, round=2))


def test_what_it_signed_it_brings_past_the_coordinator(task: Task) -> None:
    task.open()
    signer = task.signer(direct=True)
    message = task.commitment(1)
    signature, ballot = signer.sign(message), Ballot.from_values(1, {1: 5})
    vote = signer.sign(ballot_message(task.server.domain, ballot))
    with task.chain.connect(signer) as connection:
        ledger = SettlementLedger.attach(connection, task.contract)
        said = Commitment(**message["message"])
        second = task.commitment(2)
        other = SignedCommitment(0, Commitment(**second["message"]), task.account.sign(second))
        with pytest.raises(SignedAlready):
            ledger.show_commitment(other)
        ledger.show_commitment(SignedCommitment(0, said, signature))
        ledger.show_ballot(SignedBallot(0, ballot, vote))
        assert ledger.standing().forced == 1 | 1 << 128


def test_it_challenges_within_what_its_owner_allows(task: Task) -> None:
    task.open()
    settle_nothing(task)
    assert isinstance(task.server, OptimisticLedger)
    record = task.server.settled[1].record
    signer, running = task.start()
    with task.chain.connect(signer) as connection:
        ledger = SettlementLedger.attach(connection, task.contract)
        with pytest.raises(BeyondAllowance, match="--max-bond-wei"):
            ledger.challenge(record)
    running.close()
    signer = task.signer(max_bond_wei=BOND)
    with task.chain.connect(signer) as connection:
        ledger = SettlementLedger.attach(connection, task.contract)
        ledger.challenge(record)
        assert ledger.standing().challenges == 1
        task.open()
        settle_nothing(task)
        with pytest.raises(BeyondAllowance, match="put down before"):
            ledger.challenge(task.server.settled[2].record)


def test_it_pays_for_no_function_of_another_kind_of_task(task: Task) -> None:
    signer = task.signer(max_stake_wei=BOND)
    join = Contract.bind(task.contract, artifact("PeerConsensus").abi).encode("join")
    fields = {"type": 2, "chainId": task.server.domain.chain_id, "to": task.contract, "nonce": 0}
    fees = {"gas": 100_000, "maxFeePerGas": 1, "maxPriorityFeePerGas": 1}
    for value, said in ((BOND, "has no join"), (0, f"costs {BOND}")):
        with pytest.raises(BeyondAllowance, match=said):
            signer.sign_transaction(fields | fees | {"data": join, "value": value})


def test_it_brings_nothing_by_itself_and_says_so(task: Task) -> None:
    task.open()
    signer = task.signer(direct=True)
    signer.sign(task.commitment(1))
    fallback = DirectFallback(task.member_signer, signer)
    assert "settled optimistically" in fallback.look()
