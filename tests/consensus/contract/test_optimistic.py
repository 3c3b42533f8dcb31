"""What is played off chain follows the chain, and what members are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Contract
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.events import Equivocated, MemberJoined
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.optimistic import OptimisticLedger
from bcfl.consensus.contract.settlement import Convicted, Upheld
from bcfl.consensus.member.doubt import look_back
from bcfl.consensus.spec.domain import (
    Phase,
    members_in,
)
from bcfl.core.errors import ChainReorganised, ContractReverted, LedgerError, ProtocolError
from tests.consensus.contract.optimistic_task import GENESIS, KEYS, RULES, Task


def test_whoever_comes_back_finds_what_was_played(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.play(0, 1)
    task.play(2)  # void

    again = task.again()

    assert again.state() == task.ledger.state()
    assert [type(e) for e in again.events()] == [type(e) for e in task.ledger.events()]
    assert [e.transaction for e in again.events()] == [e.transaction for e in task.ledger.events()]
    assert [task.fault(round_) for round_ in (1, 2, 3)] == ["", "", ""]


def test_without_what_was_signed_nobody_comes_back(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.kept.clear()
    with pytest.raises(ProtocolError, match="nobody has shown"):
        task.again()


def test_a_commitment_that_came_past_the_server_is_in_the_round(task: Task) -> None:
    task.open()
    task.own(3).show_commitment(task.commitment(3))

    task.commit(0, 1, 2)
    assert members_in(task.ledger.state().committed) == (0, 1, 2, 3)
    task.vote(0, 1, 2)
    task.end()

    assert task.fault(1) == ""
    assert task.again().state() == task.ledger.state()


def test_who_comes_at_the_last_moment_makes_the_server_count_again(task: Task) -> None:
    task.open(0b0111)
    task.commit(0, 1, 2)
    task.vote(0, 1, 2)
    task.ledger.select()
    task.own(3).show_commitment(task.commitment(3))

    with pytest.raises(ContractReverted, match="past the coordinator"):
        task.ledger.close_round(1, bytes(32))
    state = task.ledger.state()
    assert (members_in(state.committed), state.phase) == ((0, 1, 2, 3), Phase.BALLOT)
    task.ledger.wait_until(state.ballot_deadline)
    task.end()

    assert task.fault(1) == ""


def test_a_ballot_that_came_past_the_server_counts(task: Task) -> None:
    task.open()
    task.commit(0, 1, 2, 3)
    task.own(3).show_ballot(task.ballot(3, (0, 1, 2)))

    task.vote(0, 1, 2)
    assert members_in(task.ledger.state().voted) == (0, 1, 2, 3)
    task.end()

    assert task.fault(1) == ""


def test_a_member_sees_the_round_as_the_server_gives_it_and_the_chain_has_it(task: Task) -> None:
    task.open()
    task.commit(0, 1)
    own = task.own(3)
    shown = OffChain.decode(task.ledger.off_chain())

    member, view = OptimisticLedger.of_member(own, shown, 0, "")

    state = task.ledger.state()
    assert (view.state.round, view.state.committed) == (state.round, 0b0011)
    assert view.state.phase == state.phase == Phase.BALLOT
    assert [e.transaction for e in member.events()][-2:] == [
        e.transaction for e in task.ledger.events()
    ][-2:]


def test_a_member_sees_who_came_past_a_server_that_leaves_them_out(task: Task) -> None:
    task.open()
    own = task.own(3)
    own.show_commitment(task.commitment(3))
    nothing = OffChain(0b1111, 0, Bundle(), {})

    _, view = OptimisticLedger.of_member(own, nothing, 0, "")

    assert members_in(view.state.committed) == (3,)


def test_a_server_cannot_hide_who_came_past_it_by_naming_a_later_block(task: Task) -> None:
    task.open()
    own = task.own(3)
    own.show_commitment(task.commitment(3))
    task.ledger.wait_until(task.ledger.now() + 1)
    late = OffChain(0b1111, own.anchor()[0], Bundle(), {})

    with pytest.raises(ProtocolError, match=r"nothing is there of \(3,\)"):
        OptimisticLedger.of_member(own, late, 0, "")


def test_a_member_reads_the_chain_from_where_the_round_before_was_settled(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.open()
    shown = OffChain.decode(task.ledger.off_chain())

    (settled,) = task.ledger.chain.settled()
    assert shown.since == settled.block
    look_back(task.own(3), shown, 1, 1, may_challenge=False)
    late = replace(shown, since=settled.block + 1)
    with pytest.raises(ProtocolError, match="has not settled round 1"):
        look_back(task.own(3), late, 1, 1, may_challenge=False)


def test_a_member_that_was_not_asked_looks_at_every_round_since(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cannot settle what it likes while those who would have looked are not asked."""
    task.play(0, 1, 2, 3)
    task.play(0, 1)
    task.play(0, 1)
    task.open()
    own = task.own(3)

    def given(*members: int) -> OffChain:
        return OffChain.decode(task.ledger.off_chain(members))

    shown = given(0, 3)
    assert sorted(shown.settled) == [1, 2, 3]
    look_back(own, shown, 3, 1, may_challenge=False)
    assert sorted(given(0).settled) == sorted(given().settled) == [3]
    hidden = replace(shown, settled={3: shown.settled[3]})
    with pytest.raises(ProtocolError, match="round 1 was not settled as it was signed: nobody"):
        look_back(own, hidden, 3, 1, may_challenge=False)
    other = replace(shown, settled=shown.settled | {2: shown.settled[1]})
    with pytest.raises(ProtocolError, match=r"round 2 .* has the root"):
        look_back(own, other, 3, 1, may_challenge=False)

    for module in ("contract.optimistic", "member.doubt"):  # nobody makes it show more than that
        monkeypatch.setattr(f"bcfl.consensus.{module}.LOOKED_BACK", 2)
    assert sorted(given(0, 3).settled) == [2, 3]
    look_back(own, given(0, 3), 3, 1, may_challenge=False)


def test_members_come_and_go_between_rounds(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.ledger.add_member(KEYS[4].address)
    task.ledger.remove_member(0)
    task.open(0b11110)
    task.commit(1, 2, 4)
    task.vote(1, 2, 4)
    task.end()

    again = task.again()
    assert members_in(again.active()) == (1, 2, 3, 4)
    assert sum(isinstance(event, MemberJoined) for event in again.events()) == 5
    assert task.fault(2) == ""


def test_a_cheat_counts_until_the_round_ends_and_is_no_member_after_it(task: Task) -> None:
    task.open()
    pair = task.commitment(3), task.commitment(3, 1)
    task.commit(0, 1, 2, 3)
    task.ledger.prove_equivocation(*pair)
    task.vote(0, 1, 2, 3)
    task.end()
    assert task.fault(1) == ""

    task.open(0b0111)

    assert members_in(task.ledger.active()) == (0, 1, 2)
    assert any(isinstance(event, Equivocated) for event in task.ledger.events())
    task.commit(0, 1, 2)
    task.vote(0, 1, 2)
    task.end()
    assert task.again().state() == task.ledger.state()


def test_a_false_doubt_is_answered_and_the_deposit_comes_back(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.own(0).challenge(task.ledger.settled[1].record)
    before = task.chain.connect().balance(task.chain.coordinator.address)

    task.ledger.conclude()

    assert any(isinstance(event, Upheld) for event in task.ledger.chain.events())
    assert not task.ledger.chain.standing().deposited
    after = task.chain.connect().balance(task.chain.coordinator.address)
    assert after - before > RULES.deposit_wei * 9 // 10

    task.play(0, 1, 2, 3)  # gone on with, it is put down once more
    assert task.ledger.chain.standing().deposited


def test_after_a_conviction_there_are_no_more_rounds(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.ledger.bundles[1] = Bundle()  # what the server has lost
    task.own(0).challenge(task.ledger.settled[1].record)
    end = task.ledger.now() + RULES.challenge_window_s + 1
    task.ledger.chain.wait_until(end)
    task.own(1).convict(1)

    assert any(isinstance(event, Convicted) for event in task.ledger.chain.events())
    task.ledger.answer_challenges()  # there is none any more
    with pytest.raises(LedgerError, match="the task has ended"):
        task.open()


def test_a_round_whose_time_has_gone_by_begins_anew(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.ledger.wait_until(task.ledger.now() + 60)
    task.open()
    assert task.ledger.now() - task.ledger.state().opened_at < 10


def test_a_round_that_began_anew_is_played_from_there(task: Task) -> None:
    """The court would refuse what was signed before it."""
    task.open()
    task.commit(0, 1, 2, 3)
    task.vote(0, 1, 2, 3)
    task.ledger.chain.open_round(GENESIS)  # as a reorganisation leaves it

    with pytest.raises(ContractReverted):
        task.end()

    state = task.ledger.state()
    assert (state.phase, state.committed) == (Phase.COMMIT, 0)
    assert state.opened_at == task.ledger.chain.standing().time
    task.commit(0, 1, 2, 3)
    task.vote(0, 1, 2, 3)
    task.end()
    assert task.fault(1) == ""
    assert task.again().state() == task.ledger.state()


def test_a_settlement_is_sent_again_only_where_its_round_began_when_it_did(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, told = Connection.transact, []

    def lost(self: Connection, contract: Contract, function: str, *given: Any, **how: Any) -> Any:
        if function == "settle":
            told.append(how["still"]())
            task.ledger.chain.open_round(GENESIS)
            told.append(how["still"]())
            raise ContractReverted("lost", function)
        return honest(self, contract, function, *given, **how)

    monkeypatch.setattr(Connection, "transact", lost)
    with pytest.raises(ContractReverted):
        task.play(0, 1, 2, 3)

    assert told == [True, False]


def test_a_round_that_is_gone_is_not_settled(task: Task) -> None:
    task.play(0, 1, 2, 3)
    task.open()
    task.commit(0, 1, 2, 3)
    task.vote(0, 1, 2, 3)
    now = task.ledger.chain.standing()
    with pytest.raises(ChainReorganised, match="bcfl resume"):
        task.ledger._settle(replace(task.ledger.settled[1].record, round=now.round + 1), Bundle())


WORDS: dict[str, Any] = {
    "commitments": [[1, 7, "ab" * 32, "cd" * 65]],
    "ballots": [[1, "01" * 674, "cd" * 65]],
}


@pytest.mark.parametrize(
    "change",
    [
        {"commitments": [[1]]},
        {"commitments": [[1.5, 7, "ab" * 32, "cd" * 65]]},
        {"commitments": [[True, 7, "ab" * 32, "cd" * 65]]},
        {"commitments": [[128, 7, "ab" * 32, "cd" * 65]]},
        {"commitments": [[1, 2**64, "ab" * 32, "cd" * 65]]},
        {"commitments": [[1, 7, "ab" * 31, "cd" * 65]]},
        {"commitments": [[1, 7, "ab" * 32, "cd" * 64]]},
        {"commitments": WORDS["commitments"] * 129},
        {"ballots": [[1, "01" * 675, "cd" * 65]]},
        {"ballots": [[1, "01", ""]]},
        {"ballots": None},
    ],
)
def test_what_no_contract_takes_is_nothing_that_was_signed(change: dict[str, Any]) -> None:
    assert Bundle.from_json(WORDS).root() != bytes(32)
    with pytest.raises(ProtocolError):
        Bundle.from_json(WORDS | change)


def test_what_is_given_is_read_strictly() -> None:
    for text in (
        b"",
        b"{}",
        b'{"expected":"0x1","since":0,"open":{"commitments":[[1]]},"settled":{}}',
        b'{"expected":"0x1","since":-1,"open":{"commitments":[],"ballots":[]},"settled":{}}',
        b'{"expected":"0x1","since":0,"open":{"commitments":[],"ballots":[]},"settled":null}',
        b'{"expected":"0x1","since":0,"open":{"commitments":[],"ballots":[]},"settled":{"x":{}}}',
        b'{"expected":"0x1","since":true,"open":{"commitments":[],"ballots":[]},"settled":{}}',
    ):
        with pytest.raises(ProtocolError):
            OffChain.decode(text)
