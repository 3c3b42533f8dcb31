"""Two signed commitments of one member for one round prove that it cheated, for ever."""

from __future__ import annotations

from typing import Any

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Phase
from tests.contracts.peer_consensus_keys import Words
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    GENESIS,
    NOBODY,
    STRANGER,
    WINDOW_S,
    Reverted,
    Task,
    digest_of,
    staked,
    words_of,
)

STAKE = 10**18


def pair(task: Task, member: int, round_: int, **second: Any) -> list[tuple[Any, ...]]:
    """Two commitments of that member."""
    key = task.keys[member]
    first = task.unsigned(member, 1, round=round_)
    other = task.unsigned(member, 2, round=round_, **second)
    return [task.signing.evidence(key, first), task.signing.evidence(key, other)]


def test_an_equivocator_is_known_for_good() -> None:
    task = Task(4)
    task.open()
    task.call("prove_equivocation", 2, 1, *pair(task, 2, 1), sender=STRANGER)
    assert task.state.equivocators == 0b0100
    assert task.call("active") == 0b1011
    assert task.events("Equivocated") == [
        {
            "round": 1,
            "member": 2,
            "digest_a": digest_of(2, 1, 1),
            "digest_b": digest_of(2, 1, 2),
        }
    ]
    batch = [task.commitment(i) for i in (0, 2, 1)]
    assert task.refused("commit", 1, batch) == [(2, Refusal.NOT_A_MEMBER)]
    assert task.state.committed == 0b0011, "proven just before the batch, it costs nobody else"
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_A_MEMBER)):
        task.call("commit_direct", 1, bytes(32), task.now, sender=task.keys[2])
    task.commit([3])
    assert task.state.phase is Phase.BALLOT, "it was expected, and is waited for no more"
    task.vote_fully()
    task.select()
    task.close()
    with pytest.raises(Reverted, match="an equivocator does not come back"):
        task.call("add_member", task.keys[2].address)
    with pytest.raises(Reverted, match="not a member"):
        task.call("open_round", task.state.model, 0b0100)


def test_a_proof_before_the_selection_takes_the_place_among_the_winners() -> None:
    task = Task(4)
    task.open()
    task.commit()
    task.within_a_block()
    task.vote_fully([2, 0, 1, 3])
    before = task.scores()
    task.call("prove_equivocation", 2, 1, *pair(task, 2, 1))
    task.select()
    # Two of the three who are left; the points, and the ballot of the cheat, stay.
    assert task.state.winners == 0b0011
    assert task.scores() == before
    assert task.state.committed == 0b1111


def test_a_proof_after_the_selection_leaves_the_winners_as_they_were() -> None:
    task = Task(4)
    task.open()
    task.commit()
    task.vote_fully([2, 0, 1, 3])
    task.select()
    task.call("prove_equivocation", 2, 1, *pair(task, 2, 1))
    assert task.state.winners == 0b0101
    task.close()
    assert task.state.equivocators == 0b0100


def test_equivocators_do_not_count_for_the_quorum() -> None:
    task = Task(4, quorum=3)
    task.open()
    task.commit([0, 1, 2])
    task.travel(WINDOW_S + 1)
    task.within_a_block()
    task.vote_fully()
    task.call("prove_equivocation", 0, 1, *pair(task, 0, 1))
    task.select()
    assert task.events("Voided") == [
        {"round": 1, "committed": 0b111, "voted": 0b111, "abstained": 0}
    ]


def test_if_all_are_equivocators_the_round_is_void() -> None:
    task = Task(2)
    task.open()
    task.commit()
    task.within_a_block()
    task.vote_fully()
    for member in (0, 1):
        task.call("prove_equivocation", member, 1, *pair(task, member, 1))
    task.select()
    assert len(task.events("Voided")) == 1


def test_a_round_long_past_is_proven_as_well_and_once() -> None:
    task = Task(3)
    task.play()
    task.play()
    evidence = pair(task, 1, 1)
    task.call("prove_equivocation", 1, 1, *evidence)
    with pytest.raises(Reverted, match="proven already"):
        task.call("prove_equivocation", 1, 1, *evidence)
    with pytest.raises(Reverted, match="proven already"):
        task.call("prove_equivocation", 1, 2, *pair(task, 1, 2))


def test_what_proves_nothing() -> None:
    task = Task(3)
    with pytest.raises(Reverted, match="no such round"):
        task.call("prove_equivocation", 0, 1, *pair(task, 0, 1))
    task.open()
    one, other = pair(task, 0, 1)
    foreign = pair(task, 1, 1)
    elsewhere = pair(task, 0, 2)
    cases: list[tuple[int, Words, Words, str]] = [
        (2, elsewhere[0], elsewhere[1], "no such round"),
        (0, one, other, "no such round"),
        (1, one, one, "the digests are equal"),
        (1, one, (*one[:2], one[2] + 1, *one[3:]), "the digests are equal"),
        (1, one, foreign[1], "signed by someone else"),
        (1, foreign[0], other, "signed by someone else"),
        (1, one, elsewhere[1], "signed by someone else"),
        (1, one, (bytes(32), *other[1:]), "signed by someone else"),
    ]
    for round_, a, b, reason in cases:
        with pytest.raises(Reverted, match=reason):
            task.call("prove_equivocation", 0, round_, a, b)
    for member in (3, 128, 2**255):
        with pytest.raises(Reverted, match="membership: not a member"):
            task.call("prove_equivocation", member, 1, one, other)
    assert task.state.equivocators == 0


def test_two_models_as_base_are_two_words_for_one_round_as_well() -> None:
    task = Task(2)
    task.open()
    task.call("prove_equivocation", 0, 1, *pair(task, 0, 1, base=bytes(31) + b"\1"))
    assert (task.state.equivocators, task.state.model) == (0b1, GENESIS)


def test_the_same_delta_at_two_times_is_one_word() -> None:
    task = Task(2)
    task.open()
    key = task.keys[0]
    twice = [task.signing.evidence(key, task.unsigned(0, timestamp=task.now + i)) for i in (0, 1)]
    with pytest.raises(Reverted, match="the digests are equal"):
        task.call("prove_equivocation", 0, 1, *twice)


def test_the_stake_goes_to_nobody() -> None:
    task = staked(3, STAKE)
    task.open()
    task.call("prove_equivocation", 1, 1, *pair(task, 1, 1), sender=STRANGER)
    assert task.env.get_balance(NOBODY) == STAKE
    assert task.env.get_balance(task.address) == 2 * STAKE
    for somebody in (COORDINATOR, STRANGER.address, task.keys[1].address):
        assert task.call("withdrawable", somebody) == 0
    task.travel(WINDOW_S + 1)
    task.select()
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("leave", sender=task.keys[1])
    with pytest.raises(Reverted, match="does not come back"):
        task.call("join", sender=task.keys[1], value=STAKE)
    for key in (task.keys[0], task.keys[2]):
        task.call("leave", sender=key)
        task.call("withdraw", sender=key)
    assert task.env.get_balance(task.address) == 0


def test_who_has_left_with_its_stake_loses_only_the_way_back() -> None:
    task = staked(3, STAKE)
    task.open()
    evidence = pair(task, 1, 1)
    task.travel(WINDOW_S + 1)
    task.select()
    task.call("leave", sender=task.keys[1])
    task.call("prove_equivocation", 1, 1, *evidence)
    assert task.env.get_balance(NOBODY) == 0
    assert task.call("withdrawable", task.keys[1].address) == STAKE
    with pytest.raises(Reverted, match="does not come back"):
        task.call("join", sender=task.keys[1], value=STAKE)
