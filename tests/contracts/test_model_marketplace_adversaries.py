"""What initiators, contributors and verifiers tried for money, alone and together; and got."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from bcfl.market.spec.report import Report
from bcfl.market.spec.terms import LEAST_WINDOW_S, MarketPhase, submission_cost
from tests.contracts.market_world import (
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    ETHER,
    INITIATOR,
    RULES,
    UNOPENABLE,
    Person,
    World,
    person,
    refuses,
    terms,
    word,
)

HONEST = [person(f"honest {i}") for i in range(8)]
FRIENDS = [person(f"friend {i}") for i in range(5)]
BY_ADDRESS = {someone.address: someone for someone in (*HONEST, *FRIENDS)}
BLOCK_S = 12


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        for someone in BY_ADDRESS.values():
            boa.env.set_balance(someone.address, ETHER)
        yield World()


def wealth(world: World, *people: Person) -> int:
    """What they have, what the market owes them, and their bonds in the pool of task 1."""
    bonds = sum(world.is_in(someone) for someone in people) * world.contract.bond(1)
    held = sum(boa.env.get_balance(p.address) + world.credit(p) for p in people)
    return int(held + bonds)


def panel_of(world: World, submission: bytes) -> list[Person]:
    return [BY_ADDRESS[str(a)] for a in world.contract.submission(submission).panel]


def test_windows_that_no_verifier_can_keep_are_not_to_be_had(world: World) -> None:
    """Windows of a second took every bond of the market."""
    conditions = replace(CONDITIONS, report_window=LEAST_WINDOW_S)
    words = list(terms(conditions))
    words[-1] = 1
    value = conditions.submissions * submission_cost(RULES)
    with refuses("a window is too short"):
        world.contract.launch(
            word("d"), terms(RULES), tuple(words), value=value, sender=INITIATOR.address
        )


def test_whoever_has_verifiers_struck_off_does_not_gain_by_it(world: World) -> None:
    """Initiator and contributor are one: with the bonds burnt, all that is left is the cost."""
    world.launch()
    world.register(*HONEST)
    before = wealth(world, INITIATOR, CONTRIBUTOR) + world.free()
    submission = world.submit()
    world.draw(submission)
    world.share(submission)
    # the next block is early enough for an honest verifier
    verifier = panel_of(world, submission)[0]
    world.wait(BLOCK_S)
    world.seal(submission, verifier, Report(0))
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    assert world.burnt() == 4 * BOND
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    if world.phase(submission) is MarketPhase.REVEAL:
        world.reveal(submission, verifier, Report(0))
    world.wait_past(CONDITIONS.deadline)
    world.contract.collect(1, sender=INITIATOR.address)
    assert wealth(world, INITIATOR, CONTRIBUTOR) == before - RULES.fee


def test_nobody_is_drawn_for_terms_that_it_has_not_seen(world: World) -> None:
    world.launch()
    world.register(*HONEST)
    harsh = replace(CONDITIONS, report_window=LEAST_WINDOW_S)
    value = harsh.submissions * submission_cost(RULES)
    world.contract.launch(
        word("d"), terms(RULES), terms(harsh), value=value, sender=INITIATOR.address
    )
    with refuses("too few verifiers"):
        world.submit(task=2)


def test_looking_for_a_friendly_panel_costs_more_than_it_brings(world: World) -> None:
    """Five friends among thirteen; every panel that does not please is let go."""
    world.launch()
    world.register(*HONEST, *FRIENDS)
    friends = {someone.address for someone in FRIENDS}
    before = wealth(world, CONTRIBUTOR)
    tries = 0
    while True:
        tries += 1
        submission = world.submit(f"garbage {tries}")
        world.travel_to(world.now + 1, world.state(submission).anchor + 1)
        with boa.env.anchor():
            world.contract.draw(submission)
            mine = friends & {p.address for p in panel_of(world, submission)}
        if len(mine) >= 3:
            break
        # no other row for the same lot: no friend can leave, and who comes stands behind
        with refuses("a draw is due"):
            world.leave(FRIENDS[0])
        world.wait_past(world.state(submission).deadline)
        world.settle(submission)
    lost = (tries - 1) * CONDITIONS.stake
    assert tries > 1
    assert wealth(world, CONTRIBUTOR) + CONDITIONS.stake == before - lost
    assert world.burnt() == lost
    # and whoever else wants that panel drawn draws it: looking does not help then at all
    world.draw(submission)
    assert world.phase(submission) is MarketPhase.GRANT


def test_half_of_the_reward_is_at_stake_in_every_look_at_a_panel(world: World) -> None:
    """So letting go pays only with more than a third of all panels friendly, as a rule of thumb."""
    world.launch()
    assert 2 * CONDITIONS.stake >= RULES.reward
    with refuses("the stake is too low"):
        world.launch(conditions=replace(CONDITIONS, stake=(RULES.reward - 1) // 2))


def test_vanishing_with_a_model_costs_what_buying_it_costs(world: World) -> None:
    """The initiator's own verifiers look, and do not report, so that there is no verdict."""
    rules = replace(RULES, redraws=0)
    world.launch(rules)
    world.register(*HONEST)
    before = wealth(world, INITIATOR, *HONEST) + world.free()
    submission = world.submit()
    world.draw(submission)
    world.share(submission)  # here everybody on the panel can open the model
    panel = panel_of(world, submission)
    for verifier in panel[:2]:
        world.seal(submission, verifier, Report(900_000))
    world.wait_past(world.state(submission).deadline)
    for verifier in panel[:2]:
        world.reveal(submission, verifier, Report(900_000))
    assert world.phase(submission) is MarketPhase.VOID
    after = wealth(world, INITIATOR, *HONEST) + world.free()
    assert before - after == 3 * BOND >= CONDITIONS.submissions * RULES.reward


def test_one_bond_pays_for_all_models_that_can_be_looked_at_with_it(world: World) -> None:
    """The same five sit on every panel, see every model, and vanish from all at once."""
    world.launch(replace(RULES, redraws=0))
    world.register(*FRIENDS)
    submissions = [world.submit(f"model {i}") for i in range(CONDITIONS.submissions)]
    for submission in submissions:
        world.draw(submission)
        world.share(submission)
    world.wait_past(max(world.state(s).deadline for s in submissions))
    for submission in submissions:
        world.settle(submission)
        assert world.phase(submission) is MarketPhase.VOID
    assert world.burnt() == 5 * BOND >= CONDITIONS.submissions * RULES.reward


def test_an_initiator_cannot_wait_for_a_panel_of_its_own(world: World) -> None:
    """It sees the panel before it grants; each that it lets go costs the price of a model."""
    world.launch()
    world.register(*HONEST, *FRIENDS)
    before = wealth(world, INITIATOR, *FRIENDS) + world.free()
    for number in range(2):
        submission = world.reach(MarketPhase.GRANT, f"model {number}")
        world.wait_past(world.state(submission).deadline)
        world.settle(submission)
    after = wealth(world, INITIATOR, *FRIENDS) + world.free()
    assert before - after == world.burnt() == 2 * submission_cost(RULES)


def test_a_stake_is_never_the_initiator_s(world: World) -> None:
    """Whatever its panel says, or the clock: a high stake is no way to other people's money."""
    high = replace(CONDITIONS, stake=10**17)
    world.launch(conditions=high)
    world.register(*FRIENDS)
    allies = (INITIATOR, *FRIENDS)
    before = wealth(world, *allies) + world.free()
    junk = world.reach(MarketPhase.SHARE, "called junk")
    world.share(junk)
    for verifier in FRIENDS:
        world.seal(junk, verifier, UNOPENABLE)
    for verifier in FRIENDS:
        world.reveal(junk, verifier, UNOPENABLE)
    assert world.phase(junk) is MarketPhase.JUNK
    late = world.reach(MarketPhase.SHARE, "not shared in time")
    world.wait_past(world.state(late).deadline)
    world.settle(late)
    assert wealth(world, *allies) + world.free() == before
    assert world.burnt() == 2 * high.stake


def test_junk_does_not_pay_with_every_verifier_one_s_own(world: World) -> None:
    world.launch()
    world.register(*FRIENDS)
    before = wealth(world, CONTRIBUTOR, *FRIENDS)
    submission = world.reach(MarketPhase.SHARE)
    world.share(submission)
    for verifier in FRIENDS:
        world.seal(submission, verifier, UNOPENABLE)
    for verifier in FRIENDS:
        world.reveal(submission, verifier, UNOPENABLE)
    assert wealth(world, CONTRIBUTOR, *FRIENDS) < before
    # least of all where the stake is the least that there may be
    assert RULES.seats * RULES.fee <= CONDITIONS.stake


def test_places_taken_by_junk_come_back_while_the_deposit_lasts(world: World) -> None:
    world.launch(conditions=replace(CONDITIONS, submissions=2))
    world.register(*FRIENDS)
    for number in range(2):
        junk = world.reach(MarketPhase.SHARE, f"junk {number}")
        world.share(junk)
        for verifier in FRIENDS:
            world.seal(junk, verifier, UNOPENABLE)
        for verifier in FRIENDS:
            world.reveal(junk, verifier, UNOPENABLE)
    assert world.contract.task(1).taken == 0
    world.submit("honest")
    with refuses("the deposit is used up"):
        world.submit("another")


def test_the_samples_to_measure_by_are_opened_after_the_model_is_named(world: World) -> None:
    """A contributor without data has nothing to learn by heart when it has to submit."""
    world.launch()
    world.register(*HONEST)
    submission = word("model")
    with refuses("no grant is due"):
        world.grant(submission)
    world.submit()
    with refuses("no grant is due"):
        world.grant(submission)
    world.draw(submission)
    with refuses("no keys are due"):
        world.contract.share(submission, word("keys"), sender=CONTRIBUTOR.address)
    world.grant(submission)
    assert world.phase(submission) is MarketPhase.SHARE
