"""What the server drops of what a member signed, its signer sends, and the round counts it."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.words import seal_of
from bcfl.consensus.signer.fallback import DirectFallback
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    Proposal,
    SignedCommitment,
    SignedSeal,
)
from bcfl.consensus.spec.messages import ballot_message, proposal_message, seal_message
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.core.errors import BeyondAllowance, SignedAlready
from bcfl.keys.signer_client import RemoteSigner
from tests.consensus.signer.conftest import Task


def relay_the_other(task: Task) -> None:
    """The server relays what everybody else signed, and nothing of ours."""
    said = Commitment(1, bytes(32), bytes([9]) * 32, task.server.now())
    mine = Ledger.attach(task.chain.connect(task.other), task.contract)
    mine.commit_direct(SignedCommitment(1, said, bytes(65)))


def committed(task: Task, remote: RemoteSigner) -> DirectFallback:
    """Our commitment is signed, dropped, and sent late in the window."""
    task.open()
    remote.sign(task.commitment(1))
    fallback = DirectFallback(task.member_signer, remote)
    relay_the_other(task)
    assert fallback.look() == "", "the server has time to relay it"
    state = task.server.state()
    assert state.committed == 0b10
    task.chain.travel(state.commit_deadline - 20)
    assert "sent the commitment of round 1" in fallback.look()
    assert task.server.state().committed == 0b11
    assert fallback.look() == ""
    return fallback


def test_a_commitment_and_a_ballot_that_are_dropped_are_sent_in_time(task: Task) -> None:
    remote = task.signer(direct=True)
    fallback = committed(task, remote)
    assert task.server.state().phase == Phase.BALLOT
    ballot = Ballot.from_values(1, {1: 7})
    remote.sign(ballot_message(task.server.domain, ballot))
    assert fallback.look() == ""
    task.chain.travel(task.server.state().ballot_deadline - 20)
    assert "sent the ballot of round 1" in fallback.look()
    assert task.server.state().voted == 0b01


@pytest.mark.parametrize("sealed", [False, True])
def test_a_proposal_that_is_dropped_is_sent_in_time_and_once(
    stack: ExitStack, tmp_path: Path, sealed: bool
) -> None:
    chain = stack.enter_context(EmbeddedChain())
    task = Task(chain, tmp_path, stack, stake=0, sealed=sealed, rule="coalition")
    remote = task.signer(direct=True)
    fallback = committed(task, remote)
    assert task.server.state().phase == Phase.PROPOSE
    remote.sign(proposal_message(task.server.domain, Proposal(1, 0b11)))
    assert fallback.look() == "", "the server has time to relay it"
    task.chain.travel(task.server.state().proposal_deadline - 20)
    assert "sent the proposal of round 1" in fallback.look()
    assert task.server.state().proposed == 0b01
    assert fallback.look() == ""
    with pytest.raises(SignedAlready):
        remote.sign(proposal_message(task.server.domain, Proposal(1, 0b10)))


def test_a_sealed_ballot_that_is_dropped_is_sealed_and_shown_in_time(
    stack: ExitStack, tmp_path: Path
) -> None:
    chain = stack.enter_context(EmbeddedChain())
    task = Task(chain, tmp_path, stack, stake=0, sealed=True)
    remote = task.signer(direct=True)
    fallback, domain = committed(task, remote), task.server.domain
    ballot = Ballot.from_values(1, {1: 7})
    salt = hashlib.sha256(remote.sign(seal_message(domain, 1, bytes(32)))).digest()[:-1] + b"\0"
    remote.sign(seal_message(domain, 1, seal_of(ballot.encode(), salt)))
    other = Ledger.attach(chain.connect(task.other), task.contract)
    other.seal_direct(SignedSeal(1, 1, bytes([7]) * 32, bytes(65)))
    assert fallback.look() == ""
    task.chain.travel(task.server.state().seal_deadline - 20)
    assert "sent the seal of round 1" in fallback.look()
    assert task.server.state().phase == Phase.BALLOT
    task.chain.travel(task.server.state().ballot_deadline - 20)
    assert fallback.look() == "", "it was not told what to show"
    remote.sign(ballot_message(domain, ballot))
    assert "sent the ballot of round 1" in fallback.look()
    assert task.server.state().voted == 0b01


def test_what_was_relayed_costs_its_author_nothing(task: Task) -> None:
    remote = task.signer(direct=True)
    task.open()
    message = task.commitment(1)
    signature = remote.sign(message)
    values = message["message"]
    said = Commitment(1, values["base"], values["digest"], values["timestamp"])
    task.server.commit([SignedCommitment(0, said, signature)])
    task.chain.travel(task.server.state().commit_deadline - 20)
    assert DirectFallback(task.member_signer, remote).look() == ""


def test_whom_the_round_does_not_wait_for_sends_within_the_least_window(task: Task) -> None:
    """Two accomplices could end commitments from then on, whenever they like."""
    remote = task.signer(direct=True)
    task.server.open_round(bytes(32), 0b10)
    remote.sign(task.commitment(1))
    fallback, opened = DirectFallback(task.member_signer, remote), task.server.state().opened_at
    assert fallback.look() == ""
    task.chain.travel(opened + LEAST_WINDOW_S // 2)
    assert "sent the commitment of round 1" in fallback.look()
    assert task.server.state().committed == 0b01


def test_nothing_is_paid_where_the_owner_allows_no_gas(task: Task) -> None:
    remote = task.signer()
    task.open()
    remote.sign(task.commitment(1))
    task.chain.travel(task.server.state().commit_deadline - 20)
    with pytest.raises(BeyondAllowance):
        DirectFallback(task.member_signer, remote).look()
    assert not task.server.state().committed


def test_a_signer_without_a_task_has_nothing_to_send(task: Task) -> None:
    remote = task.signer(contract=None, direct=True)
    assert DirectFallback(task.member_signer, remote).look() == ""
