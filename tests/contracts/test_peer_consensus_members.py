"""Who is a member: by the coordinator's leave, or by a stake; and where the money is."""

from __future__ import annotations

import pytest

from bcfl.consensus.spec.domain import Phase
from tests.contracts.peer_consensus_keys import account
from tests.contracts.peer_consensus_task import COORDINATOR, WINDOW_S, Reverted, Task, staked

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


def test_there_are_128_seats() -> None:
    task = Task(128)
    with pytest.raises(Reverted, match="membership: there are 128 seats"):
        task.call("add_member", account(128).address)
    task.call("remove_member", 5)
    with pytest.raises(Reverted, match="membership: there are 128 seats"):
        task.call("add_member", account(128).address)
    task.call("add_member", account(5).address)


def test_128_members_play_a_round() -> None:
    task = Task(128, kappa_ppm=10_000)
    task.open()
    task.commit([*range(100, 128), *range(100)])
    favourite = {i: {127: 9, 126: 5} for i in range(96, 126)}
    task.vote(favourite)
    task.travel(2 * WINDOW_S + 1)
    task.select()
    assert task.scores()[126:] == [30 * 252, 30 * 254]
    assert task.state.winners == 0b11 << 126


def test_who_joins_signs_from_the_next_round_and_who_left_does_not() -> None:
    task = Task(3)
    task.play()
    task.call("add_member", account(3).address)
    task.call("remove_member", 0)
    task.keys.append(account(3))
    task.open()
    with pytest.raises(Reverted, match="not an active member"):
        task.commit([0])
    with pytest.raises(Reverted, match="not an active member"):
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
