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
from bcfl.market.spec.terms import MarketPhase, least_draw_window_s
from tests.contracts.market_world import (
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    GOOD,
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
        verifier = str(world.contract.pool(1, place))
        eligible = world.contract.place(1, verifier).position != 0 and verifier not in out
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
    name=st.text(max_size=8),
)
def test_the_draw_equals_the_reference(data: st.DataObject, seats: int, name: str) -> None:
    with boa.env.anchor():
        world = World()
        world.launch(replace(RULES, seats=seats, quorum=1))
        crowd(world, data.draw(st.integers(seats, 14)))
        churn(world, data, CROWD, 10)
        crowd(world, seats)
        submission = world.submit(name)
        churn(world, data, CROWD, 3)
        world.travel_to(world.now, max(world.block, world.state(submission).anchor + 1))
        churn(world, data, CROWD, 3)
        reference = expected(world, submission)
        world.contract.draw(submission)
        drawn = [str(a) for a in world.contract.submission(submission).panel]
        assert drawn[: len(reference)] == reference
        assert all(int(nobody, 16) == 0 for nobody in drawn[len(reference) :])
        assert len(reference) == seats
        assert world.phase(submission) is MarketPhase.GRANT


def churn(world: World, data: st.DataObject, crowd: list[Person], most: int) -> set[str]:
    """Verifiers come and go, and now and then a block passes; returns who left at least once."""
    left = set()
    for someone in data.draw(st.lists(st.sampled_from(crowd), max_size=most)):
        boa.env.set_balance(someone.address, 10**18)
        place = world.place(someone)
        if place.position == 0:
            world.register(someone)
        elif place.busy == 0 and world.contract.task(1).drawing == 0:
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
    """The first so many are in the pool."""
    for someone in CROWD[:size]:
        boa.env.set_balance(someone.address, 10**18)
    world.register(*(someone for someone in CROWD[:size] if not world.is_in(someone)))


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
            seats.update(drawn_in(world))
    share = RULES.seats / size
    mean, deviation = draws * share, (draws * share * (1 - share)) ** 0.5
    assert sum(seats.values()) == draws * RULES.seats
    assert len(seats) == size
    assert all(abs(count - mean) < 4 * deviation for count in seats.values()), seats


def test_a_contributor_who_enters_later_is_not_drawn(world: World) -> None:
    """The initiator is in no pool at all, and who is in the pool submits nothing."""
    world.register(*VERIFIERS[:5])
    submission = world.reach(MarketPhase.SEAL)
    world.register(CONTRIBUTOR, *VERIFIERS[5:])
    vanished = world.panel(submission)[0]
    for verifier in world.panel(submission)[1:3]:
        assert verifier
        world.seal(submission, verifier, GOOD)
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    assert vanished
    panel = world.draw(submission)
    assert None not in panel
    assert set(addresses(panel)) < {v.address for v in VERIFIERS} - {vanished.address}


def test_who_registers_once_the_draw_is_armed_is_not_drawn(world: World) -> None:
    world.register(*VERIFIERS[:5])
    submission = world.submit()
    world.register(*VERIFIERS[5:])
    assert set(addresses(world.draw(submission))) == {v.address for v in VERIFIERS[:5]}


@few_examples
@given(data=st.data())
def test_nobody_can_change_an_armed_draw(data: st.DataObject) -> None:
    with boa.env.anchor():
        world = World()
        world.launch()
        crowd(world, 12)
        for leaver in data.draw(st.lists(st.sampled_from(CROWD[:7]), max_size=4, unique=True)):
            world.leave(leaver)
        submission = arm(world, "model")
        with boa.env.anchor():
            world.contract.draw(submission)
            undisturbed = drawn_in(world)
        assert churn(world, data, CROWD, 12) == set()
        world.contract.draw(submission)
        assert drawn_in(world) == undisturbed


def drawn_in(world: World) -> list[str]:
    """Who got a seat in the last call, by seat."""
    seated = [e for e in world.contract.get_logs() if type(e).__name__ == "Seated"]
    assert [event.seat for event in seated] == sorted(event.seat for event in seated)
    return [str(event.verifier) for event in seated]


def test_who_is_struck_off_meanwhile_takes_only_itself_out(world: World) -> None:
    """And who is moved when the pool is tidied is still found in its old place."""
    crowd(world, 12)
    failing = world.reach(MarketPhase.SEAL, "failing")
    world.wait_past(world.state(failing).deadline)
    struck = {str(a) for a in world.contract.submission(failing).panel}
    submission = arm(world, "model")
    with boa.env.anchor():
        world.contract.draw(submission)
        undisturbed = drawn_in(world)
    world.settle(failing)
    world.contract.draw(submission)
    disturbed = drawn_in(world)
    assert not struck & set(disturbed)
    stayed = [verifier for verifier in undisturbed if verifier not in struck]
    assert [verifier for verifier in disturbed if verifier in undisturbed] == stayed


def test_holes_do_not_fill_the_pool(world: World) -> None:
    """At least half of the row stays in use, whatever the order of coming and going."""
    boa.env.set_balance(STRANGER.address, 10**18)
    crowd(world, 24)
    for leaver in (*CROWD[12:], *CROWD[2:12:2]):
        world.leave(leaver)
    row = world.contract.row(1)
    assert row.entered == 7
    assert row.next - row.first <= 2 * 7
    world.wait()
    assert len(addresses_of(world, arm(world, "model"))) == RULES.seats


def addresses_of(world: World, submission: bytes) -> set[str]:
    world.contract.draw(submission)
    return {str(a) for a in world.contract.submission(submission).panel if int(str(a), 16)}


def test_a_draw_whose_block_is_out_of_sight_has_lapsed(world: World) -> None:
    """Were it armed again, a contributor could wait for that whenever a panel displeases."""
    world.register(*VERIFIERS)
    submission = world.submit()
    old = world.state(submission).anchor
    with boa.env.anchor():
        world.travel_to(world.now + 1, old + 256)
        with refuses("not due yet"):
            world.settle(submission)
        assert None not in world.draw(submission)
    world.travel_to(world.now + 1, old + 257)
    with refuses("too late to draw"):
        world.contract.draw(submission)
    world.settle(submission)
    assert world.phase(submission) is MarketPhase.VOID
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (0, CONDITIONS.stake)


def test_too_few_verifiers_keep_their_seats_and_the_others_are_drawn_later(world: World) -> None:
    world.register(*VERIFIERS[:5])
    submission = world.reach(MarketPhase.SEAL)
    first = world.panel(submission)
    for verifier in first[:2]:
        assert verifier
        world.seal(submission, verifier, GOOD)
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    assert world.draw(submission) == [*first[:2], None, None, None]
    # however long that takes: there is nothing to like or dislike in a draw of everybody
    world.wait(blocks=300)
    assert world.draw(submission) == [*first[:2], None, None, None]
    world.register(*VERIFIERS[5:])
    world.draw(submission)  # armed before they came
    complete = world.draw(submission)
    assert complete[:2] == first[:2]
    assert set(complete[2:]) == set(VERIFIERS[5:])
    assert world.phase(submission) is MarketPhase.GRANT


def test_a_pool_smaller_than_a_panel_takes_no_submission(world: World) -> None:
    world.register(*VERIFIERS[:4])
    with refuses("too few verifiers"):
        world.submit()
    world.register(VERIFIERS[4])
    world.submit()


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
    places = range(armed.first, armed.first + armed.length)
    row = [str(world.contract.pool(1, place)) for place in places]
    assert row.count(restless.address) == 1


def test_a_longer_delay_moves_the_anchor() -> None:
    with boa.env.anchor():
        world = World(draw_delay=70)
        with refuses("a window is too short"):
            world.launch()
        world.launch(conditions=replace(CONDITIONS, draw_window=least_draw_window_s(70)))
        world.register(*VERIFIERS)
        submission = world.submit()
        assert world.state(submission).anchor == world.block + 70
        world.wait(blocks=70)
        with refuses("too early to draw"):
            world.contract.draw(submission)
        world.wait()
        world.contract.draw(submission)
        assert world.phase(submission) is MarketPhase.GRANT


def test_the_drawn_are_announced_with_the_seed(world: World) -> None:
    world.register(*VERIFIERS)
    world.wait()
    submission = arm(world, "model")
    anchor = world.state(submission).anchor
    world.contract.draw(submission)
    (event,) = [e for e in world.contract.get_logs() if type(e).__name__ == "Drawn"]
    assert event.seed == draw_seed(block_hash(anchor), submission)
    assert event.seats == RULES.seats
    assert drawn_in(world) == [str(a) for a in world.contract.submission(submission).panel]
    assert world.balance() == world.free() + BOND * 8 + reserved(world, submission)


def reserved(world: World, submission: bytes) -> int:
    return int(world.contract.submission(submission).reserved) + CONDITIONS.stake
