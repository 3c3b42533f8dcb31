"""A proposal is signed as a commitment is: once a round, for good, and for this task alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.spec.domain import Commitment, Phase, Proposal, SignedCommitment, SignedProposal
from bcfl.consensus.spec.messages import proposal_message
from bcfl.core.errors import RoundNotOpen, SignedAlready, SignerRefused
from tests.consensus.signer.conftest import Task

NO_SIGNATURE = bytes(65)


@pytest.fixture
def proposing(stack: ExitStack, tmp_path: Path) -> Task:
    """A task of two, whose round takes proposals."""
    task = Task(stack.enter_context(EmbeddedChain()), tmp_path, stack, stake=0, rule="coalition")
    task.open()
    for member, account in enumerate((task.account, task.other)):
        said = Commitment(1, bytes(32), bytes([member]) * 32, task.server.now())
        ledger = Ledger.attach(task.chain.connect(account), task.contract)
        ledger.commit_direct(SignedCommitment(member, said, NO_SIGNATURE))
    assert task.server.state().phase is Phase.PROPOSE
    return task


def proposal(task: Task, members: int, round_: int = 1) -> dict[str, Any]:
    return proposal_message(task.server.domain, Proposal(round_, members))


def directly(task: Task, signer: Any, members: int) -> Callable[[], object]:
    ledger = Ledger.attach(task.chain.connect(signer), task.contract)
    said = SignedProposal(0, Proposal(1, members), NO_SIGNATURE)
    return lambda: ledger.propose_direct(said)


def test_another_proposal_is_refused_by_name_and_after_a_restart(proposing: Task) -> None:
    signer, running = proposing.start(direct=True)
    first, other = proposal(proposing, 0b11), proposal(proposing, 0b10)
    signature = signer.sign(first)
    assert signature == proposing.account.sign(first) == signer.sign(first)
    says = "has signed another Proposal for round 1 and signs one only.*'members': 3"
    with pytest.raises(SignedAlready, match=says):
        signer.sign(other)
    running.close()
    again = proposing.signer(direct=True)
    with pytest.raises(SignedAlready, match=says):
        again.sign(other)
    with pytest.raises(SignedAlready, match=says):
        directly(proposing, again, 0b10)()
    assert proposing.server.state().proposed == 0
    directly(proposing, again, 0b11)()
    assert proposing.server.state().proposed == 0b01
    proposing.chain.travel(proposing.server.state().ballot_deadline + 1)
    assert again.sign(first) == signature, "what was said is said again, also when it is over"
    with pytest.raises(SignedAlready, match=says):
        again.sign(other)


def test_a_direct_proposal_counts_as_a_signed_one(proposing: Task) -> None:
    signer = proposing.signer(direct=True)
    directly(proposing, signer, 0b01)()
    with pytest.raises(SignedAlready):
        signer.sign(proposal(proposing, 0b11))
    assert signer.sign(proposal(proposing, 0b01))


def test_of_several_proposals_at_once_exactly_one_is_signed(proposing: Task) -> None:
    signer = proposing.signer()

    def ask(members: int) -> bool:
        try:
            return bool(signer.sign(proposal(proposing, members)))
        except SignedAlready:
            return False

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(ask, (1, 2, 3))) == 1


def test_what_is_no_proposal_of_the_open_round_is_not_signed(proposing: Task) -> None:
    signer, domain = proposing.signer(), proposing.server.domain
    with pytest.raises(RoundNotOpen):
        signer.sign(proposal(proposing, 1, round_=2))
    elsewhere = [
        replace(domain, chain_id=domain.chain_id + 1),
        replace(domain, contract=proposing.other.address),
    ]
    for other in elsewhere:
        with pytest.raises(SignerRefused, match="expected a Proposal of contract"):
            signer.sign(proposal_message(other, Proposal(1, 1)))
    for members in (0, 1 << 128, -1, "1", True):
        message = proposal(proposing, 1)
        message["message"]["members"] = members
        with pytest.raises(SignerRefused):
            signer.sign(message)
    assert signer.sign(proposal(proposing, 2**128 - 1)), "whom it names, the contract judges"
