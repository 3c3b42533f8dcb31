"""What a task, a submission and a marketplace may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.market.spec.terms import (
    LEAST_WINDOW_S,
    LONGEST_WINDOW_S,
    MAX_SEATS,
    MOST_REDRAWS,
    MarketPhase,
    TaskRules,
    bond,
    deposit,
    least_draw_window_s,
    least_stake,
    submission_cost,
)
from tests.contracts.market_world import (
    CONDITIONS,
    CONTRIBUTOR,
    DRAW_DELAY,
    ETHER,
    GOOD,
    INITIATOR,
    LEAST_BOND,
    RULES,
    START_S,
    VERIFIERS,
    World,
    deployer,
    few_examples,
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


# Launch


@pytest.mark.parametrize(
    ("field", "value", "refusal"),
    [
        ("reward", 0, "reward and fee are positive"),
        ("fee", 0, "reward and fee are positive"),
        ("submissions", 0, "at least one submission"),
        ("deadline", 0, "the deadline has passed"),
        ("deadline", START_S, "the deadline has passed"),
        ("deadline", START_S + YEAR_S + 1, "the deadline is too far"),
        ("mafr", 1_000_000, "MAFR is below 1,000,000"),
        ("seats", 0, "1 to 10 verifiers"),
        ("seats", MAX_SEATS + 1, "1 to 10 verifiers"),
        ("quorum", 0, "quorum out of range"),
        ("quorum", RULES.seats + 1, "quorum out of range"),
        ("redraws", MOST_REDRAWS + 1, "too many redraws"),
        ("draw_window", least_draw_window_s(DRAW_DELAY) - 1, "a window is too short"),
        ("answer_window", LEAST_WINDOW_S - 1, "a window is too short"),
        ("report_window", LEAST_WINDOW_S - 1, "a window is too short"),
        ("report_window", 0, "a window is too short"),
        ("stake", least_stake(RULES) - 1, "the stake is too low"),
        ("fee", CONDITIONS.stake // RULES.seats + 1, "the stake is too low"),
        ("draw_window", LONGEST_WINDOW_S + 1, "a window is too long"),
        ("answer_window", LONGEST_WINDOW_S + 1, "a window is too long"),
        ("report_window", LONGEST_WINDOW_S + 1, "a window is too long"),
    ],
)
def test_terms_out_of_range_are_refused(world: World, field: str, value: int, refusal: str) -> None:
    with refuses(refusal):
        launch(world, **{field: value})


@pytest.mark.parametrize(
    "fields",
    [
        {"deadline": START_S + 1},
        {"deadline": START_S + YEAR_S},
        {"mafr": 0},
        {"mafr": 999_999},
        {"seats": MAX_SEATS, "quorum": MAX_SEATS, "redraws": MOST_REDRAWS},
        {"seats": 1, "quorum": 1, "redraws": 0},
        {"draw_window": least_draw_window_s(DRAW_DELAY)},
        {"answer_window": LEAST_WINDOW_S, "report_window": LEAST_WINDOW_S},
        {"stake": least_stake(RULES)},
        {"fee": CONDITIONS.stake // RULES.seats},
        dict.fromkeys(("draw_window", "answer_window", "report_window"), LONGEST_WINDOW_S),
        {"stake": 2**96 - 1},
        {"reward": 1, "fee": 1, "submissions": 2**16 - 1},
        {"members_only": True},
    ],
    ids=str,
)
def test_terms_at_the_edge_of_their_range_are_kept_as_given(
    world: World, fields: dict[str, Any]
) -> None:
    task = world.contract.task(launch(world, **fields))
    kept = dict(zip(RULES.__slots__, task.rules, strict=True))
    kept |= dict(zip(CONDITIONS.__slots__, task.conditions, strict=True))
    assert {name: kept[name] for name in fields} == fields
    assert task.initiator == INITIATOR.address
    assert task.description == word("description")


def test_the_largest_sums_do_not_overflow(world: World) -> None:
    most = 2**96 - 1
    boa.env.set_balance(INITIATOR.address, 2**120)
    sums = {"reward": most, "fee": most // 10, "stake": most}
    task = launch(world, **sums, seats=10, quorum=10, submissions=2**16 - 1)
    assert world.free(task) == (2**16 - 1) * (most + 10 * (most // 10))
    assert world.contract.bond(task) == (2**16 - 1) * most


@few_examples
@given(
    reward=st.integers(1, 2**80),
    fee=st.integers(1, 2**70),
    seats=st.integers(1, 10),
    quorum=st.integers(1, 10),
    submissions=st.integers(1, 2**16 - 1),
)
def test_bond_and_least_stake_equal_the_reference(
    reward: int, fee: int, seats: int, quorum: int, submissions: int
) -> None:
    rules = TaskRules(reward, fee, 0, seats, min(quorum, seats))
    conditions = replace(CONDITIONS, submissions=submissions, stake=least_stake(rules))
    with boa.env.anchor():
        world = World()
        boa.env.set_balance(INITIATOR.address, 2**127)
        with refuses("the stake is too low"):
            world.launch(rules, replace(conditions, stake=conditions.stake - 1))
        task = world.launch(rules, conditions)
        expected = bond(rules, conditions, LEAST_BOND)
        assert world.contract.bond(task) == expected >= LEAST_BOND
        vanishing = rules.seats - rules.quorum + 1
        assert vanishing * expected >= submissions * reward


@pytest.mark.parametrize("off", [-1, 1, -DEPOSIT])
def test_a_deposit_of_another_size_is_refused(world: World, off: int) -> None:
    with refuses("the deposit, and no other sum"):
        world.contract.launch(
            word("description"),
            terms(RULES),
            terms(CONDITIONS),
            value=DEPOSIT + off,
            sender=INITIATOR.address,
        )


def test_a_task_without_description_is_refused(world: World) -> None:
    with refuses("no description"):
        world.contract.launch(
            bytes(32), terms(RULES), terms(CONDITIONS), value=DEPOSIT, sender=INITIATOR.address
        )


def launch(world: World, **fields: Any) -> int:
    """Launch with some terms changed, past the checks that Python would make."""
    rules = {name: getattr(RULES, name) for name in RULES.__slots__}
    conditions = {name: getattr(CONDITIONS, name) for name in CONDITIONS.__slots__}
    for name, value in fields.items():
        (rules if name in rules else conditions)[name] = value
    cost = rules["reward"] + rules["seats"] * rules["fee"]
    return int(
        world.contract.launch(
            word("description"),
            tuple(rules.values()),
            tuple(conditions.values()),
            value=conditions["submissions"] * cost,
            sender=INITIATOR.address,
        )
    )


# Submit


def test_submissions_are_taken_up_to_the_deadline_and_no_later(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    world.travel_to(CONDITIONS.deadline, world.block)
    world.submit("in time")
    world.wait()
    with refuses("the task is closed"):
        world.submit("late")


@pytest.mark.parametrize("task", [0, 2, 2**256 - 1])
def test_a_submission_to_no_task_is_refused(world: World, task: int) -> None:
    world.launch()
    with refuses("no such task"):
        world.contract.submit(task, word("m"), word("k"), sender=CONTRIBUTOR.address)


@pytest.mark.parametrize("stake", [0, CONDITIONS.stake - 1, CONDITIONS.stake + 1])
def test_a_stake_of_another_size_is_refused(world: World, stake: int) -> None:
    world.launch()
    with refuses("the stake, and no other sum"):
        world.contract.submit(1, word("m"), word("k"), value=stake, sender=CONTRIBUTOR.address)


def test_no_more_submissions_are_taken_than_were_asked_for(world: World) -> None:
    world.launch()
    world.register(*VERIFIERS)
    for number in range(CONDITIONS.submissions):
        world.submit(f"model {number}")
    with refuses("all are taken"):
        world.submit("one more")


def test_a_void_submission_gives_its_place_to_another(world: World) -> None:
    world.launch(conditions=replace(CONDITIONS, submissions=1))
    world.register(*VERIFIERS)
    void = world.submit("void")
    world.wait_past(world.state(void).deadline)
    world.settle(void)
    world.submit("another")
    with refuses("all are taken"):
        world.submit("one more")


def test_a_submission_is_taken_only_while_the_deposit_covers_it() -> None:
    with boa.env.anchor():
        world = World(least_bond=0)
        rules = replace(RULES, quorum=2, redraws=0, seats=2)
        world.launch(rules, replace(CONDITIONS, submissions=1))
        world.register(*VERIFIERS)
        void = world.submit("void")
        reporter = world.draw(void)[0]
        assert reporter
        # one of two reports is paid for, the other never comes: what is left is too little
        world.share(void)
        world.seal(void, reporter, GOOD)
        world.wait_past(world.state(void).deadline)
        world.reveal(void, reporter, GOOD)
        assert world.phase(void) is MarketPhase.VOID
        assert world.free() == submission_cost(rules) - rules.fee
        with refuses("the deposit is used up"):
            world.submit("another")


# Deploy


@pytest.mark.parametrize(
    ("bond", "delay", "refusal"),
    [
        (2**96, 2, "bond out of range"),
        (0, 1, "draw delay out of range"),
        (0, 129, "draw delay out of range"),
    ],
)
def test_a_market_is_deployed_within_limits(bond: int, delay: int, refusal: str) -> None:
    with refuses(refusal):
        deployer().deploy(bond, delay)
    with boa.env.anchor():
        market = deployer().deploy(ETHER, 128)
        assert (market.BOND(), market.DRAW_DELAY()) == (ETHER, 128)
