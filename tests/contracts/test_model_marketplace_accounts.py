"""Registering, leaving, collecting and withdrawing: who puts money in, and who gets it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boa
import pytest

from bcfl.market.spec.terms import (
    MarketPhase,
    deposit,
    submission_cost,
)
from tests.contracts.market_world import (
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    GOOD,
    INITIATOR,
    RULES,
    STRANGER,
    VERIFIERS,
    World,
    deployer,
    refuses,
    terms,
    word,
)

DEPOSIT = deposit(RULES, CONDITIONS)
YEAR_S = 366 * 86_400


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        yield World()


# Register, enter and leave


def test_a_verifier_registers_with_its_own_key_for_nothing(world: World) -> None:
    verifier = VERIFIERS[0]
    world.contract.register(verifier.public_key, sender=verifier.address)
    (event,) = world.contract.get_logs()
    assert (event.verifier, event.public_key) == (verifier.address, verifier.public_key)
    assert world.contract.account(verifier.address).number == 1
    assert world.balance() == 0


@pytest.mark.parametrize(
    ("key", "refusal"),
    [
        (VERIFIERS[1].public_key, "not the sender's public key"),
        (b"", "a public key is 64 bytes"),
        (VERIFIERS[0].public_key[:63], "a public key is 64 bytes"),
    ],
)
def test_a_wrong_key_is_refused(world: World, key: bytes, refusal: str) -> None:
    with refuses(refusal):
        world.contract.register(key, sender=VERIFIERS[0].address)


def test_numbers_of_verifiers_run_out_before_they_overflow(world: World) -> None:
    layout = deployer().compiler_data.storage_layout["storage_layout"]
    slot = layout["market_verifiers"]["_numbered"]["slot"]
    boa.env.set_storage(world.contract.address, slot, 2**24 - 2)
    world.register(VERIFIERS[0])
    with refuses("no numbers left"):
        world.register(VERIFIERS[1])


def test_a_verifier_enters_the_pool_of_a_task_with_its_bond(world: World) -> None:
    world.launch()
    world.contract.register(VERIFIERS[0].public_key, sender=VERIFIERS[0].address)
    assert world.contract.bond(1) == BOND
    world.contract.enter(1, value=BOND, sender=VERIFIERS[0].address)
    (event,) = world.contract.get_logs()
    assert (event.task, event.verifier, event.bond) == (1, VERIFIERS[0].address, BOND)
    place = world.place(VERIFIERS[0])
    assert (place.number, place.busy, place.position) == (1, 0, 1)
    assert tuple(world.contract.row(1)) == (1, 2, 1)
    assert world.balance() == DEPOSIT + BOND


@pytest.mark.parametrize("value", [0, BOND - 1, BOND + 1])
def test_a_bond_of_another_size_is_refused(world: World, value: int) -> None:
    world.register(VERIFIERS[0])
    world.contract.launch(
        word("d"), terms(RULES), terms(CONDITIONS), value=DEPOSIT, sender=INITIATOR.address
    )
    with refuses("the bond, and no other sum"):
        world.contract.enter(1, value=value, sender=VERIFIERS[0].address)


def test_who_may_not_enter(world: World) -> None:
    with refuses("no such task"):
        world.contract.enter(1, value=BOND, sender=VERIFIERS[0].address)
    world.launch()
    with refuses("not registered"):
        world.contract.enter(1, value=BOND, sender=VERIFIERS[0].address)
    with refuses("the initiator does not verify"):
        world.register(INITIATOR)
    world.register(VERIFIERS[0])
    with refuses("already in the pool"):
        world.enter(1, VERIFIERS[0])
    with refuses("already registered"):
        world.contract.register(VERIFIERS[0].public_key, sender=VERIFIERS[0].address)


def test_a_pool_is_one_task_s_alone(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    world.contract.launch(
        word("d"), terms(RULES), terms(CONDITIONS), value=DEPOSIT, sender=INITIATOR.address
    )
    with refuses("too few verifiers"):
        world.submit(task=2)
    with refuses("not in the pool"):
        world.leave(VERIFIERS[0], task=2)


def test_a_verifier_of_the_task_does_not_submit_to_it(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    with refuses("a verifier of the task does not submit to it"):
        world.submit(by=VERIFIERS[0])


def test_who_leaves_gets_the_bond_back_and_keeps_its_number(world: World) -> None:
    world.launch()
    with refuses("not in the pool"):
        world.leave(VERIFIERS[3])
    world.register(*VERIFIERS)
    verifier = VERIFIERS[3]
    world.leave(verifier)
    assert not world.is_in(verifier)
    assert world.withdraw(verifier) == BOND
    world.enter(1, verifier)
    assert world.place(verifier).number == 4


def test_nobody_leaves_while_a_draw_is_due_and_anybody_can_end_that(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    submission = world.submit()
    with refuses("a draw is due"):
        world.leave(VERIFIERS[0])
    panel = world.draw(submission)
    idle = next(verifier for verifier in VERIFIERS if verifier not in panel)
    world.leave(idle)


def test_a_drawn_verifier_leaves_after_its_report_and_not_before(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    submission = world.reach(MarketPhase.REVEAL)
    verifier = world.panel(submission)[0]
    assert verifier
    with refuses("a panel waits for you"):
        world.leave(verifier)
    world.reveal(submission, verifier, GOOD)
    world.leave(verifier)
    assert world.credit(verifier) == BOND + RULES.fee


# Collect


def test_nothing_is_collected_before_the_deadline_while_submissions_are_taken(
    world: World,
) -> None:
    world.launch()
    world.travel_to(CONDITIONS.deadline, world.block)
    with refuses("submissions are still taken"):
        world.contract.collect(1, sender=INITIATOR.address)
    world.wait()
    world.contract.collect(1, sender=STRANGER.address)
    assert world.credit(INITIATOR) == DEPOSIT
    assert world.credit(STRANGER) == 0
    with refuses("nothing to collect"):
        world.contract.collect(1, sender=INITIATOR.address)


@pytest.mark.parametrize("task", [0, 2, 2**256 - 1])
def test_nothing_is_collected_from_no_task(world: World, task: int) -> None:
    world.launch()
    with refuses("no such task"):
        world.contract.collect(task)


def test_what_a_pending_submission_sets_free_is_collected_later(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    world.travel_to(CONDITIONS.deadline - 10, world.block)
    submission = world.reach(MarketPhase.DISCLOSE)
    world.wait(60)
    world.contract.collect(1)
    assert world.credit(INITIATOR) == DEPOSIT - submission_cost(RULES)
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    world.contract.collect(1)
    # the contributor never disclosed: reward back, fees spent, the stake is nobody's
    assert world.credit(INITIATOR) == DEPOSIT - RULES.seats * RULES.fee
    assert world.burnt() == CONDITIONS.stake


def test_a_complete_task_is_collected_before_its_deadline(world: World) -> None:
    conditions = replace(CONDITIONS, submissions=1)
    world.launch(conditions=conditions)
    world.register(*VERIFIERS)
    submission = world.reach(MarketPhase.DISCLOSE)
    with refuses("submissions are still taken"):
        world.contract.collect(1)
    world.disclose(submission)
    with refuses("nothing to collect"):
        world.contract.collect(1)


def test_a_complete_task_returns_the_rewards_of_rejected_models(world: World) -> None:
    world.launch(conditions=replace(CONDITIONS, submissions=1))
    world.register(*VERIFIERS)
    world.reach(MarketPhase.REJECTED)
    world.contract.collect(1)
    assert world.credit(INITIATOR) == RULES.reward


# Withdraw

GREEDY = """
interface Market:
    def submit(task: uint256, submission: bytes32, key_commitment: bytes32): payable
    def withdraw() -> uint256: nonpayable

market: Market
again: uint256

@deploy
def __init__(market: address):
    self.market = Market(market)

@external
@payable
def submit(task: uint256, submission: bytes32, key_commitment: bytes32):
    extcall self.market.submit(task, submission, key_commitment, value=msg.value)

@external
def withdraw():
    extcall self.market.withdraw()

@external
@payable
def __default__():
    ok: bool = False
    self.again += 1
    ok = raw_call(
        self.market.address,
        method_id("withdraw()"),
        revert_on_failure=False,
    )
    if ok:
        self.again += 1000
"""

REFUSING = GREEDY.replace("    self.again += 1\n    ok", "    assert self.again != 0\n    ok")


def test_everything_owed_is_paid_out_once(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    world.reach(MarketPhase.PAID)
    before = boa.env.get_balance(CONTRIBUTOR.address)
    assert world.withdraw(CONTRIBUTOR) == RULES.reward + CONDITIONS.stake
    assert boa.env.get_balance(CONTRIBUTOR.address) == before + RULES.reward + CONDITIONS.stake
    with refuses("nothing to withdraw"):
        world.withdraw(CONTRIBUTOR)


def test_a_stranger_has_nothing_to_withdraw(world: World) -> None:
    world.launch()
    with refuses("nothing to withdraw"):
        world.withdraw(STRANGER)


def void_submission_of(world: World, source: str) -> Any:
    """A contract whose submission is void by the initiator's doing: its stake is owed to it."""
    world.launch()
    world.register(*VERIFIERS)
    contributor = boa.loads(source, world.contract.address)
    stake = CONDITIONS.stake
    contributor.submit(1, word("m"), word("k"), value=stake, sender=CONTRIBUTOR.address)
    world.draw(word("m"))
    world.wait_past(world.state(word("m")).deadline)
    world.settle(word("m"))
    assert world.contract.account(contributor.address).credit == stake
    return contributor


def test_a_receiver_that_calls_back_is_paid_once(world: World) -> None:
    contributor = void_submission_of(world, GREEDY)
    before = world.balance()
    contributor.withdraw()
    assert contributor._storage.again.get() == 1
    assert boa.env.get_balance(contributor.address) == CONDITIONS.stake
    assert world.balance() == before - CONDITIONS.stake


def test_a_receiver_that_refuses_ether_hurts_only_itself(world: World) -> None:
    contributor = void_submission_of(world, REFUSING)
    with refuses("payment refused"):
        contributor.withdraw()
    assert world.contract.account(contributor.address).credit == CONDITIONS.stake
    world.leave(VERIFIERS[0])
    assert world.withdraw(VERIFIERS[0]) == BOND
