"""Members that would have an honest coordinator convicted: what it settles follows from it."""

from __future__ import annotations

import pytest

from bcfl.chain.event import Transaction
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.optimistic import OptimisticLedger
from bcfl.consensus.contract.settlement import Convicted, SettlementLedger, Upheld
from bcfl.consensus.contract.words import relayed
from bcfl.consensus.spec.domain import Ballot, Phase, SignedBallot, members_in
from bcfl.consensus.spec.messages import ballot_message
from bcfl.consensus.spec.settlement import Record
from bcfl.core.errors import LedgerError
from tests.consensus.contract.optimistic_task import KEYS, Task


def rated(task: Task, member: int, values: dict[int, int]) -> SignedBallot:
    ballot = Ballot.from_values(task.ledger.state().round, values)
    signature = KEYS[member].sign(ballot_message(task.ledger.domain, ballot))
    return SignedBallot(member, ballot, signature)


def expect_upheld(task: Task) -> None:
    """The court finds what the coordinator has said, and nobody is convicted."""
    (settled,) = task.ledger.chain.settled()
    assert task.fault(1) == ""
    own = task.own(0)
    own.challenge(settled.record)
    own.answer(settled.record, task.ledger.bundles[1])
    said = [type(e) for e in own.events() if isinstance(e, (Upheld, Convicted))]
    assert said == [Upheld]
    assert task.again().state() == task.ledger.state()


def test_two_ballots_of_one_member(task: Task) -> None:
    """One for the server, another past it."""
    task.open()
    task.commit(0, 1, 2, 3)
    task.own(3).show_ballot(rated(task, 3, {2: 9, 1: 8, 0: 7}))
    ballots = [rated(task, i, {j: 9 - j for j in range(4) if j != i}) for i in range(4)]

    task.ledger.cast_ballots(ballots)
    task.end()

    expect_upheld(task)


def test_a_ballot_before_all_have_committed(task: Task) -> None:
    task.open(0b0111)
    task.ledger.commit([task.commitment(i) for i in (0, 1)])
    task.own(1).show_ballot(rated(task, 1, {0: 5}))
    task.ledger.wait_until(task.ledger.now())
    task.ledger.commit([task.commitment(2)])
    if task.ledger.state().phase == Phase.COMMIT:
        task.ledger.wait_until(task.ledger.state().commit_deadline)
    committed = members_in(task.ledger.state().committed)
    assert committed == (0, 1, 2)
    task.ledger.cast_ballots(
        [rated(task, i, {j: 9 - j for j in committed if j != i}) for i in (0, 2)]
    )
    if task.ledger.state().phase == Phase.BALLOT:
        task.ledger.wait_until(task.ledger.state().ballot_deadline)
    task.end()

    expect_upheld(task)


def test_a_ballot_that_is_none(task: Task) -> None:
    task.open()
    task.commit(0, 1, 2, 3)
    message = ballot_message(task.ledger.domain, Ballot(1, ()))
    message = {**message, "message": {"round": 1, "entries": b"nonsense"}}
    task.own(3)._write("show_ballot", 1, 3, *relayed(KEYS[3].sign(message)), b"nonsense")
    ballots = [rated(task, i, {j: 9 - j for j in range(4) if j != i}) for i in range(3)]
    task.ledger.cast_ballots(ballots)
    assert task.ledger.state().phase == Phase.BALLOT
    task.ledger.wait_until(task.ledger.state().ballot_deadline)
    task.end()

    expect_upheld(task)


def test_two_commitments_of_one_member(task: Task) -> None:
    task.open()
    task.own(3).show_commitment(task.commitment(3, 1))
    task.commit(0, 1, 2, 3)
    task.vote(0, 1, 2, 3)
    task.end()

    expect_upheld(task)


def test_a_ballot_without_a_commitment(task: Task) -> None:
    task.open(0b0111)
    task.own(3).show_ballot(rated(task, 3, {0: 5, 1: 3}))
    task.commit(0, 1, 2)
    task.vote(0, 1, 2)
    task.end()

    expect_upheld(task)


def test_a_commitment_and_a_ballot_at_the_last_moment(task: Task) -> None:
    task.open(0b0111)
    task.commit(0, 1, 2)
    task.vote(0, 1, 2)
    task.own(3).show_commitment(task.commitment(3))
    task.own(3).show_ballot(rated(task, 3, {0: 9, 1: 8, 2: 7}))
    task.ledger.wait_until(task.ledger.now() + 250)
    task.end()

    expect_upheld(task)


def test_a_ballot_as_a_void_round_is_settled(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SettlementLedger.settle

    def late(self: SettlementLedger, said: Record, due: int) -> Transaction:
        if not said.forced:
            task.own(3).show_ballot(rated(task, 3, {0: 5}))
        return honest(self, said, due)

    monkeypatch.setattr(SettlementLedger, "settle", late)
    task.open()
    task.commit(0)
    task.ledger.select()

    assert task.ledger.settled[1].record.forced == 1 << 128 + 3
    expect_upheld(task)


def test_what_the_server_would_doubt_itself_it_does_not_say(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever had led to it: the deposit is worth more than a round."""
    honest = OptimisticLedger._record

    def wrong(self: OptimisticLedger, bundle: Bundle, winners: int, model: bytes) -> Record:
        return honest(self, bundle, winners ^ 0b11, model)

    monkeypatch.setattr(OptimisticLedger, "_record", wrong)
    with pytest.raises(LedgerError, match="have won"):
        task.play(0, 1, 2, 3)

    assert not list(task.ledger.chain.settled())


def test_an_answer_that_somebody_else_has_given(
    task: Task, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task.play(0, 1, 2, 3)
    task.play(0, 1, 2, 3)
    own = task.own(0)
    for number in (1, 2):
        own.challenge(task.ledger.settled[number].record)
    honest = SettlementLedger.answer

    def late(self: SettlementLedger, record: Record, bundle: Bundle) -> Transaction:
        if record.round == 1:
            honest(own, record, bundle)
        return honest(self, record, bundle)

    monkeypatch.setattr(SettlementLedger, "answer", late)
    caplog.set_level("WARNING", logger="bcfl")
    task.ledger.answer_challenges()

    assert "round 1 is doubted; no answer is taken" in caplog.text
    assert not own.standing().challenges
