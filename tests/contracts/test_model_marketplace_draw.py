"""The lot: equal to the Python reference, fair, and out of everybody's reach once armed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.market.spec.draw import draw, draw_seed
from bcfl.market.spec.terms import MarketPhase
from tests.contracts.market_world import (
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    INITIATOR,
    RULES,
    STRANGER,
    VERIFIERS,
    Person,
    World,
    block_hash,
    few_examples,
    person,
    refuses,
    word,
)

CROWD = [person(f"verifier {i}") for i in range(24)]


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        market = World()
        market.launch()
        yield market


def expected(world: World, submission: bytes, barred: tuple[Person, ...] = ()) -> list[str]:
    """What the reference draws, from what the contract says of pool and accounts."""
    now = world.state(submission)
    seated = [str(a) for a in world.contract.submission(submission).panel]
    out = {INITIATOR.address, CONTRIBUTOR.address, *(p.address for p in barred), *seated}
    row: list[str | None] = []
    for place in range(now.first, now.first + now.length):
        verifier = str(world.contract.pool(place))
        account = world.contract.account(verifier)
        eligible = account.position != 0 and verifier not in out
        row.append(verifier if eligible else None)
    seed = draw_seed(block_hash(now.anchor), submission)
    vacant = [seat for seat in seated if int(seat, 16) == 0]
    return draw(seed, row, len(vacant))


def addresses(panel: list[Person | None]) -> list[str]:
    return [verifier.address for verifier in panel if verifier]


@few_examples
@given(
    data=st.data(),
    seats=st.integers(1, 10),
    crowd=st.integers(1, 14),
    name=st.text(max_size=8),
)
def test_the_draw_equals_the_reference(
    data: st.DataObject, seats: int, crowd: int, name: str
) -> None:
    with boa.env.anchor():
        world = World()
        world.launch(replace(RULES, seats=seats, quorum=1))
        churn(world, data, CROWD[:crowd], 10)
        submission = world.submit(name)
        churn(world, data, CROWD[:crowd], 3)
        world.travel_to(world.now, max(world.block, world.state(submission).anchor + 1))
        churn(world, data, CROWD[:crowd], 3)
        reference = expected(world, submission)
        world.contract.draw(submission)
        drawn = [str(a) for a in world.contract.submission(submission).panel]
        assert drawn[: len(reference)] == reference
        assert all(int(nobody, 16) == 0 for nobody in drawn[len(reference) :])
        complete = len(reference) == seats
        assert (world.phase(submission) is MarketPhase.SHARE) is complete


def churn(world: World, data: st.DataObject, crowd: list[Person], most: int) -> set[str]:
    """Verifiers come and go, and now and then a block passes; returns who left at least once."""
    left = set()
    for someone in data.draw(st.lists(st.sampled_from(crowd), max_size=most)):
        boa.env.set_balance(someone.address, 10**18)
        account = world.contract.account(someone.address)
        if account.position == 0:
            world.register(someone)
        elif account.busy == 0:
            world.leave(someone)
            left.add(someone.address)
        if data.draw(st.booleans()):
            world.wait()
    return left


@few_examples
@given(seats=st.integers(1, 10), surplus=st.integers(0, 8), name=st.text(max_size=8))
def test_exactly_as_many_distinct_verifiers_are_drawn_as_there_are_seats(
    seats: int, surplus: int, name: str
) -> None:
    with boa.env.anchor():
        world = World()
        world.launch(replace(RULES, seats=seats, quorum=1))
        crowd(world, seats + surplus)
        world.wait()
        world.contract.draw(arm(world, name))
        panel = [str(a) for a in world.contract.submission(word(name)).panel]
        assert len(set(panel)) == seats
        assert set(panel) <= {someone.address for someone in CROWD[: seats + surplus]}


def crowd(world: World, size: int) -> None:
    for someone in CROWD[:size]:
        boa.env.set_balance(someone.address, 10**18)
    world.register(*CROWD[:size])


def arm(world: World, name: str) -> bytes:
    submission = world.submit(name)
    world.travel_to(world.now, world.state(submission).anchor + 1)
    return submission


def test_every_verifier_is_drawn_about_equally_often(world: World) -> None:
    """Few draws: equality with the reference, which draws many, is shown above."""
    size, draws = 8, 50
    crowd(world, size)
    world.wait()
    seats: Counter[str] = Counter()
    for number in range(draws):
        with boa.env.anchor():
            submission = arm(world, f"model {number}")
            world.contract.draw(submission)
            (drawn,) = drawn_in(world)
            seats.update(drawn)
    share = RULES.seats / size
    mean, deviation = draws * share, (draws * share * (1 - share)) ** 0.5
    assert sum(seats.values()) == draws * RULES.seats
    assert len(seats) == size
    assert all(abs(count - mean) < 4 * deviation for count in seats.values()), seats


def test_contributor_and_initiator_are_never_drawn() -> None:
    with boa.env.anchor():
        world = World()
        world.launch()
        world.register(INITIATOR, CONTRIBUTOR, *VERIFIERS[:5])
        world.wait()
        for number in range(10):
            with boa.env.anchor():
                panel = world.draw(arm(world, f"model {number}"))
                assert set(addresses(panel)) == {v.address for v in VERIFIERS[:5]}


def test_who_registers_once_the_draw_is_armed_is_not_drawn(world: World) -> None:
    world.register(*VERIFIERS[:5])
    submission = world.submit()
    world.register(*VERIFIERS[5:])
    assert set(addresses(world.draw(submission))) == {v.address for v in VERIFIERS[:5]}


@few_examples
@given(data=st.data())
def test_nobody_but_who_leaves_can_change_an_armed_draw(data: st.DataObject) -> None:
    with boa.env.anchor():
        world = World()
        world.launch()
        crowd(world, 12)
        for leaver in data.draw(st.lists(st.sampled_from(CROWD[:12]), max_size=4, unique=True)):
            world.leave(leaver)
        world.wait()
        submission = arm(world, "model")
        with boa.env.anchor():
            world.contract.draw(submission)
            (undisturbed,) = drawn_in(world)
        left = churn(world, data, CROWD, 12)
        world.contract.draw(submission)
        (disturbed,) = drawn_in(world)
        # those who stayed are drawn, in the same order; replacements come after the same lot
        stayed = [verifier for verifier in undisturbed if verifier not in left]
        assert [a for a in disturbed if a in undisturbed and a not in left] == stayed
        if stayed == undisturbed:
            assert disturbed == undisturbed


def drawn_in(world: World) -> list[list[str]]:
    events = [e for e in world.contract.get_logs() if type(e).__name__ == "Drawn"]
    return [[str(a) for a in event.verifiers] for event in events]


def test_who_is_moved_is_still_found_in_its_old_place(world: World) -> None:
    """The only five who stay are drawn, although the pool was tidied after arming."""
    world.register(*VERIFIERS)
    submission = world.submit()
    first = world.contract.first()
    for leaver in VERIFIERS[5:]:
        world.leave(leaver)
    assert world.contract.first() > first
    assert set(addresses(world.draw(submission))) == {v.address for v in VERIFIERS[:5]}


def test_holes_do_not_fill_the_pool(world: World) -> None:
    """At least half of the row stays in use, whatever the order of coming and going."""
    boa.env.set_balance(STRANGER.address, 10**18)
    crowd(world, 24)
    for leaver in (*CROWD[12:], *CROWD[2:12:2]):
        world.leave(leaver)
    row = world.contract.next() - world.contract.first()
    assert world.contract.registered() == 7
    assert row <= 2 * 7
    world.wait()
    assert len(addresses_of(world, arm(world, "model"))) == RULES.seats


def addresses_of(world: World, submission: bytes) -> set[str]:
    world.contract.draw(submission)
    return {str(a) for a in world.contract.submission(submission).panel if int(str(a), 16)}


def test_a_draw_whose_block_is_out_of_sight_is_armed_again(world: World) -> None:
    world.register(*VERIFIERS)
    world.wait()
    submission = world.submit()
    old = world.state(submission).anchor
    with boa.env.anchor():
        world.travel_to(world.now + 1, old + 256)
        assert None not in world.draw(submission)
    world.travel_to(world.now + 1, old + 257)
    world.contract.draw(submission)
    assert world.state(submission).anchor == world.block + 1
    assert world.phase(submission) is MarketPhase.DRAW
    assert None not in world.draw(submission)


def test_too_few_verifiers_keep_their_seats_and_the_others_are_drawn_later(world: World) -> None:
    world.register(*VERIFIERS[:3])
    world.wait()
    submission = arm(world, "model")
    first = world.draw(submission)
    assert set(addresses(first)) == {v.address for v in VERIFIERS[:3]}
    assert first[3:] == [None, None]
    assert world.phase(submission) is MarketPhase.DRAW
    world.register(*VERIFIERS[3:])
    world.wait()
    world.draw(submission)  # armed before they came
    world.wait()
    complete = world.draw(submission)
    assert complete[:3] == first[:3]
    assert None not in complete
    assert world.phase(submission) is MarketPhase.SHARE


def test_an_empty_pool_draws_nobody(world: World) -> None:
    submission = arm(world, "model")
    assert world.draw(submission) == [None] * RULES.seats
    assert world.phase(submission) is MarketPhase.DRAW


def test_a_verifier_of_many_comings_and_goings_has_one_chance(world: World) -> None:
    """A place is not used twice, and who left is not found in the old one."""
    restless = VERIFIERS[0]
    world.register(*VERIFIERS[1:])
    for _ in range(5):
        world.register(restless)
        world.leave(restless)
    world.register(restless)
    world.wait()
    submission = world.submit()
    armed = world.state(submission)
    row = [
        str(world.contract.pool(place)) for place in range(armed.first, armed.first + armed.length)
    ]
    assert row.count(restless.address) == 1


def test_a_longer_delay_moves_the_anchor() -> None:
    with boa.env.anchor():
        world = World(draw_delay=70)
        world.launch()
        world.register(*VERIFIERS)
        submission = world.submit()
        assert world.state(submission).anchor == world.block + 70
        world.wait(blocks=70)
        with refuses("too early to draw"):
            world.contract.draw(submission)
        world.wait()
        world.contract.draw(submission)
        assert world.phase(submission) is MarketPhase.SHARE


def test_the_drawn_are_announced_with_the_seed(world: World) -> None:
    world.register(*VERIFIERS)
    world.wait()
    submission = arm(world, "model")
    anchor = world.state(submission).anchor
    world.contract.draw(submission)
    (event,) = [e for e in world.contract.get_logs() if type(e).__name__ == "Drawn"]
    assert event.seed == draw_seed(block_hash(anchor), submission)
    assert list(event.verifiers) == list(world.contract.submission(submission).panel)
    assert world.balance() == world.free() + BOND * 8 + reserved(world, submission)


def reserved(world: World, submission: bytes) -> int:
    return int(world.contract.submission(submission).reserved) + CONDITIONS.stake
