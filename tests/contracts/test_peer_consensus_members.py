"""Who is a member: by the coordinator's leave, or by a stake; and where the money is."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Phase
from tests.contracts.peer_consensus_keys import account
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    WINDOW_S,
    Reverted,
    Task,
    staked,
    words_of,
)

STAKE = 10**18


def test_members_keep_their_indices_for_ever() -> None:
    task = Task(3)
    addresses = [key.address.lower() for key in task.keys]
    assert list(task.call("members")) == addresses
    assert [event["member"] for event in task.events("MemberJoined")] == [0, 1, 2]
    task.call("remove_member", 1)
    assert (task.call("active"), list(task.call("members"))) == (0b101, addresses)
    task.call("add_member", account(3).address)
    task.call("add_member", task.keys[1].address)
    assert task.call("active") == 0b1111
    assert [task.call("member_of", account(i).address) for i in range(4)] == [0, 1, 2, 3]
    assert task.events("MemberLeft") == [{"member": 1, "account": addresses[1]}]
    joined = [(event["member"], event["account"]) for event in task.events("MemberJoined")]
    assert joined[-1] == (1, addresses[1])


@pytest.mark.parametrize(
    ("call", "argument", "reason"),
    [
        ("add_member", account(0).address, "membership: a member already"),
        ("add_member", "0x" + "00" * 20, "membership: the zero address"),
        ("remove_member", 3, "membership: not a member"),
        ("remove_member", 128, "membership: not a member"),
        ("remove_member", 2**255, "membership: not a member"),
        ("member_of", account(9).address, "membership: not a member"),
    ],
)
def test_members_who_cannot_come_or_go(call: str, argument: object, reason: str) -> None:
    with pytest.raises(Reverted, match=reason):
        Task(3).call(call, argument)


def test_there_are_128_seats_and_one_that_was_left_is_anothers() -> None:
    task = Task(128)
    with pytest.raises(Reverted, match="membership: there are 128 seats"):
        task.call("add_member", account(128).address)
    for member in (127, 5):
        task.call("remove_member", member)
    task.call("add_member", account(128).address)
    assert task.call("member_of", account(128).address) == 5
    assert task.call("members")[5] == account(128).address.lower()
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("member_of", account(5).address)
    # Whoever had it is a stranger now, and comes back to another seat.
    task.call("add_member", account(5).address)
    assert task.call("member_of", account(5).address) == 127
    with pytest.raises(Reverted, match="membership: there are 128 seats"):
        task.call("add_member", account(127).address)
    assert task.call("active") == 2**128 - 1
    history = [(e["member"], e["account"]) for e in task.events("MemberJoined")][-2:]
    assert history == [(5, account(128).address.lower()), (127, account(5).address.lower())]


def test_whoever_takes_a_seat_signs_for_it_and_whoever_had_it_does_not() -> None:
    task = Task(128)
    task.call("remove_member", 7)
    task.call("add_member", account(200).address)
    task.open()
    assert task.refused("commit", 1, [task.commitment(7)]) == [(7, Refusal.SIGNATURE)]
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("commit_direct", 1, bytes(32), task.now, sender=task.keys[7])
    task.keys[7] = account(200)
    task.commit([7])
    assert task.state.committed == 1 << 7


def test_one_recycled_stake_does_not_close_membership_for_ever() -> None:
    task = staked(2, STAKE)
    for i in range(300, 430):
        key = account(i)
        task.env.set_balance(key.address, 2 * STAKE)
        task.call("join", sender=key, value=STAKE)
        task.call("leave", sender=key)
    honest = account(77)
    task.env.set_balance(honest.address, 2 * STAKE)
    task.call("join", sender=honest, value=STAKE)
    assert task.call("active").bit_count() == 3


def test_the_seat_of_an_equivocator_comes_back_and_the_equivocator_does_not() -> None:
    task = Task(128)
    task.open()
    cheat = task.keys[3]
    pair = [task.signing.evidence(cheat, task.unsigned(3, version)) for version in (1, 2)]
    task.call("prove_equivocation", 3, 1, *pair)
    with pytest.raises(Reverted, match="not in phase IDLE"):
        task.call("add_member", account(500).address)
    task.travel(WINDOW_S + 1)
    task.select()
    with pytest.raises(Reverted, match="an equivocator does not come back"):
        task.call("add_member", cheat.address)
    task.call("add_member", account(500).address)
    assert task.call("member_of", account(500).address) == 3
    assert task.state.equivocators == 0
    with pytest.raises(Reverted, match="an equivocator does not come back"):
        task.call("add_member", cheat.address)
    with pytest.raises(Reverted, match="not a member"):
        task.call("member_of", cheat.address)
    with pytest.raises(Reverted, match="signed by someone else"):
        task.call("prove_equivocation", 3, 1, *pair)
    task.open()
    task.keys[3] = account(500)
    task.commit([3])
    assert task.state.committed == 1 << 3


def test_128_members_play_a_round() -> None:
    task = Task(128, kappa_ppm=10_000)
    task.open()
    task.commit([*range(100, 128), *range(100)])
    for some in (range(32), range(32, 64), range(64, 96), range(96, 126)):
        task.vote({i: {127: 9, 126: 5} for i in some})
    task.travel(2 * WINDOW_S + 1)
    task.select()
    assert task.scores()[126:] == [126 * 252, 126 * 254]
    # The others share the places 3 to 127 on each of 125 ballots.
    assert task.scores()[:126] == [125 * (256 - 130)] * 126
    assert task.state.winners == 0b11 << 126, "nobody else was seen by most"


def test_who_joins_signs_from_the_next_round_and_who_left_does_not() -> None:
    task = Task(3)
    task.play()
    task.call("add_member", account(3).address)
    task.call("remove_member", 0)
    task.keys.append(account(3))
    task.open()
    assert task.refused("commit", 2, [task.commitment(0)]) == [(0, Refusal.NOT_A_MEMBER)]
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_A_MEMBER)):
        task.call("commit_direct", 2, bytes(32), task.now, sender=task.keys[0])
    task.commit([1, 2, 3])
    task.vote_fully()
    # Three members: the best place among the two others is worth 2 (m - 1) = 4.
    assert task.scores() == [0, 8, 6, 4]


def test_a_stake_is_paid_exactly_and_comes_back() -> None:
    task = staked(3, STAKE)
    assert task.env.get_balance(task.address) == 3 * STAKE
    task.play()
    task.call("leave", sender=task.keys[0])
    assert task.call("active") == 0b110
    assert task.call("withdrawable", task.keys[0].address) == STAKE
    before = task.env.get_balance(task.keys[0].address)
    assert task.call("withdraw", sender=task.keys[0]) == STAKE
    assert task.env.get_balance(task.keys[0].address) == before + STAKE
    assert task.events("Withdrawn") == [{"account": task.keys[0].address.lower(), "amount": STAKE}]
    with pytest.raises(Reverted, match="nothing to withdraw"):
        task.call("withdraw", sender=task.keys[0])
    task.call("join", sender=task.keys[0], value=STAKE)
    assert task.call("member_of", task.keys[0].address) == 0


@pytest.mark.parametrize("value", [0, STAKE - 1, STAKE + 1])
def test_another_amount_is_not_the_stake(value: int) -> None:
    task = Task(2, stake=STAKE)
    task.env.set_balance(task.keys[0].address, 2 * STAKE)
    with pytest.raises(Reverted, match="not the stake"):
        task.call("join", sender=task.keys[0], value=value)


def test_nobody_joins_twice() -> None:
    task = staked(2, STAKE)
    with pytest.raises(Reverted, match="a member already"):
        task.call("join", sender=task.keys[0], value=STAKE)


def test_each_kind_of_task_refuses_the_ways_of_the_other() -> None:
    by_list, by_stake = Task(2), staked(2, STAKE)
    by_list.env.set_balance(account(5).address, STAKE)
    with pytest.raises(Reverted, match="the coordinator adds members"):
        by_list.call("join", sender=account(5), value=STAKE)
    with pytest.raises(Reverted, match="the coordinator removes members"):
        by_list.call("leave", sender=by_list.keys[0])
    with pytest.raises(Reverted, match="members join by themselves"):
        by_stake.call("add_member", account(5).address)
    with pytest.raises(Reverted, match="members leave by themselves"):
        by_stake.call("remove_member", 0)


def test_a_coordinator_who_is_gone_keeps_no_stake() -> None:
    task = staked(3, STAKE)
    task.open()
    task.commit()
    task.within_a_block()
    task.vote_fully()
    with pytest.raises(Reverted, match="not in phase IDLE or SELECTED"):
        task.call("leave", sender=task.keys[0])
    task.select()
    assert task.state.phase is Phase.SELECTED
    for key in task.keys:
        task.call("leave", sender=key)
        task.call("withdraw", sender=key)
    assert task.env.get_balance(task.address) == 0


def test_money_comes_in_by_joining_only() -> None:
    task = staked(2, STAKE)
    task.env.set_balance(COORDINATOR, STAKE)
    with pytest.raises(Reverted):
        task.call("open_round", task.state.model, 3, value=1)
    computation = task.env.execute_code(to_address=task.address, sender=COORDINATOR, value=1)
    assert computation.is_error
