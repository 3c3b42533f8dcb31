"""Whoever vanishes, at whichever step: the deadline leads on, and no money is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest

from bcfl.market.spec.terms import MarketPhase, TaskRules, deposit, submission_cost
from tests.contracts.market_world import (
    BAD,
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    GOOD,
    INITIATOR,
    RULES,
    SALT,
    STRANGER,
    VERIFIERS,
    Person,
    World,
    refuses,
    word,
)

DEPOSIT = deposit(RULES, CONDITIONS)
EVERYBODY = [*VERIFIERS, INITIATOR, STRANGER, CONTRIBUTOR]


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        market = World()
        market.launch()
        market.register(*VERIFIERS)
        market.wait()
        yield market
        empty(market)


def empty(world: World) -> None:
    """Everything is over: everybody takes what is theirs, and nothing is left."""
    world.wait_past(CONDITIONS.deadline)
    for task in range(1, world.contract.tasks() + 1):
        assert world.contract.task(task).pending == 0
        if world.free(task):
            world.contract.collect(task)
    for someone in EVERYBODY:
        for task in range(1, world.contract.tasks() + 1):
            assert world.place(someone, task).busy == 0
            if world.is_in(someone, task):
                world.leave(someone, task)
        if world.credit(someone):
            world.withdraw(someone)
    assert world.balance() == 0


def lapse(world: World, submission: bytes) -> MarketPhase:
    """Nobody does anything until the deadline has passed; somebody settles."""
    world.wait_past(world.state(submission).deadline)
    world.settle(submission)
    return world.phase(submission)


def cause(world: World, submission: bytes) -> MarketPhase:
    assert world.phase(submission) is MarketPhase.VOID
    return MarketPhase(world.state(submission).cause)


def members(world: World, submission: bytes) -> list[Person]:
    return [verifier for verifier in world.panel(submission) if verifier]


def test_a_draw_that_nobody_makes_costs_the_stake(world: World) -> None:
    submission = world.reach(MarketPhase.DRAW)
    lapse(world, submission)
    assert cause(world, submission) is MarketPhase.DRAW
    assert world.free() == DEPOSIT
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (0, CONDITIONS.stake)
    assert world.contract.task(1).taken == 0


def test_a_pool_that_became_too_small_costs_the_contributor_nothing(world: World) -> None:
    """Verifiers vanish from one submission while another waits for its panel."""
    for someone in VERIFIERS[5:]:
        world.leave(someone)
    failing = world.reach(MarketPhase.SEAL, "failing")
    world.wait_past(world.state(failing).deadline)
    waiting = world.submit("waiting")
    world.settle(failing)
    burnt = world.burnt()
    assert world.draw(waiting) == [None] * 5
    assert world.state(waiting).short == 1
    lapse(world, waiting)
    assert cause(world, waiting) is MarketPhase.DRAW
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (CONDITIONS.stake, burnt)
    lapse(world, failing)


def test_an_initiator_that_does_not_grant_pays_as_if_it_had_bought(world: World) -> None:
    """Else it could look at the panel, and grant only to one that is its own."""
    submission = world.reach(MarketPhase.GRANT)
    panel = members(world, submission)
    lapse(world, submission)
    assert cause(world, submission) is MarketPhase.GRANT
    cost = submission_cost(RULES)
    assert (world.free(), world.burnt()) == (DEPOSIT - cost, cost)
    assert world.credit(CONTRIBUTOR) == CONDITIONS.stake
    assert world.contract.task(1).taken == 1
    assert all(world.place(v).busy == 0 and world.is_in(v) for v in panel)


def test_a_contributor_that_does_not_share_forfeits_its_stake(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    panel = members(world, submission)
    lapse(world, submission)
    assert cause(world, submission) is MarketPhase.SHARE
    assert world.free() == DEPOSIT
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (0, CONDITIONS.stake)
    assert all(world.place(v).busy == 0 for v in panel)
    assert all(world.place(v).position for v in panel)


def test_a_contributor_that_does_not_disclose_is_not_paid_but_verifiers_are(world: World) -> None:
    submission = world.reach(MarketPhase.DISCLOSE)
    panel = members(world, submission)
    lapse(world, submission)
    assert cause(world, submission) is MarketPhase.DISCLOSE
    assert world.credit(CONTRIBUTOR) == 0
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 5
    assert (world.free(), world.burnt()) == (DEPOSIT - 5 * RULES.fee, CONDITIONS.stake)
    with refuses("no key is due"):
        world.disclose(submission)


def test_verifiers_that_do_not_seal_are_struck_off_and_replaced(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    panel = members(world, submission)
    keep, vanish = panel[:2], panel[2:]
    for verifier in keep:
        world.seal(submission, verifier, GOOD)
    assert lapse(world, submission) is MarketPhase.DRAW
    assert (world.free(), world.burnt()) == (DEPOSIT - submission_cost(RULES), 3 * BOND)
    for verifier in vanish:
        place = world.place(verifier)
        assert (place.busy, place.position) == (0, 0)
    world.draw(submission)
    renewed = members(world, submission)
    assert renewed[:2] == keep
    assert not set(renewed) & set(vanish)
    assert world.phase(submission) is MarketPhase.GRANT

    world.share(submission)
    for verifier in renewed[2:]:
        world.seal(submission, verifier, GOOD)
    for verifier in renewed:
        world.reveal(submission, verifier, GOOD)
    world.disclose(submission)
    assert [world.credit(verifier) for verifier in renewed] == [RULES.fee] * 5
    assert [world.credit(verifier) for verifier in vanish] == [0] * 3
    for verifier in vanish:
        with refuses("nothing to withdraw"):
            world.withdraw(verifier)


def test_a_quorum_of_seals_needs_no_replacement(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    panel = members(world, submission)
    for verifier in panel[:3]:
        world.seal(submission, verifier, GOOD)
    deadline = world.state(submission).deadline
    world.wait_past(deadline)
    # nobody has called anything: the time for seals is over by itself
    assert world.phase(submission) is MarketPhase.REVEAL
    assert world.state(submission).deadline == deadline + CONDITIONS.report_window
    with refuses("not due yet"):
        world.settle(submission)
    with refuses("too late to seal"):
        world.seal(submission, panel[3], BAD)
    for verifier in panel[:3]:
        world.reveal(submission, verifier, GOOD)
    # the verdict came with the last report; the two who vanished are not paid
    assert world.phase(submission) is MarketPhase.DISCLOSE
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 3 + [0, 0]
    assert [world.place(v).position == 0 for v in panel[3:]] == [True, True]
    world.disclose(submission)
    assert world.free() == DEPOSIT - RULES.reward - 3 * RULES.fee
    assert world.burnt() == 2 * BOND


def test_verifiers_that_do_not_reveal_are_replaced_if_the_quorum_is_missed(world: World) -> None:
    submission = world.reach(MarketPhase.REVEAL)
    panel = members(world, submission)
    for verifier in panel[:2]:
        world.reveal(submission, verifier, GOOD)
    assert lapse(world, submission) is MarketPhase.DRAW
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 2 + [0] * 3
    world.draw(submission)
    renewed = members(world, submission)
    assert renewed[:2] == panel[:2]
    world.share(submission)
    with refuses("already sealed"):
        world.seal(submission, panel[0], GOOD)
    for verifier in renewed[2:]:
        world.seal(submission, verifier, BAD)
    for verifier in renewed[2:]:
        world.reveal(submission, verifier, BAD)
    assert world.phase(submission) is MarketPhase.REJECTED
    assert world.credit(renewed[0]) == RULES.fee


def test_a_quorum_of_reports_is_a_verdict(world: World) -> None:
    submission = world.reach(MarketPhase.REVEAL)
    panel = members(world, submission)
    for verifier in panel[:3]:
        world.reveal(submission, verifier, GOOD)
    assert lapse(world, submission) is MarketPhase.DISCLOSE
    world.disclose(submission)
    assert [world.place(v).position == 0 for v in panel] == [False] * 3 + [True] * 2


def test_redraws_are_bounded_and_then_the_submission_is_void(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    for redraw in range(RULES.redraws):
        assert lapse(world, submission) is MarketPhase.DRAW
        assert world.state(submission).redraws == redraw + 1
        world.register(*[v for v in VERIFIERS if not registered(world, v)])
        if None in world.draw(submission):  # armed before they came back
            world.draw(submission)
        world.share(submission)
    lapse(world, submission)
    assert cause(world, submission) is MarketPhase.SEAL
    assert world.credit(CONTRIBUTOR) == CONDITIONS.stake
    assert (world.free(), world.burnt()) == (DEPOSIT, 3 * 5 * BOND)


def registered(world: World, someone: Person) -> bool:
    return world.is_in(someone)


def test_who_has_sealed_is_paid_even_if_the_submission_comes_to_nothing() -> None:
    """No redraw is left: the one who did the work may still reveal."""
    with boa.env.anchor():
        world = market(replace(RULES, redraws=0))
        submission = world.reach(MarketPhase.SEAL)
        diligent, *vanished = members(world, submission)
        world.seal(submission, diligent, GOOD)
        world.wait_past(world.state(submission).deadline)
        assert world.phase(submission) is MarketPhase.REVEAL
        world.reveal(submission, diligent, GOOD)
        assert cause(world, submission) is MarketPhase.SEAL
        assert world.credit(diligent) == RULES.fee
        assert not any(registered(world, verifier) for verifier in vanished)
        empty(world)


@pytest.mark.parametrize("phase", [MarketPhase.DRAW, MarketPhase.SHARE])
def test_who_sealed_before_a_redraw_that_fails_is_paid(phase: MarketPhase) -> None:
    with boa.env.anchor():
        world = market(RULES)
        submission = world.reach(MarketPhase.SEAL)
        diligent = members(world, submission)[0]
        world.seal(submission, diligent, GOOD)
        assert lapse(world, submission) is MarketPhase.DRAW
        world.register(*[v for v in VERIFIERS if not registered(world, v)])
        if phase is MarketPhase.SHARE:
            world.draw(submission)
            world.draw(submission)
            world.grant(submission)
        assert world.phase(submission) is phase
        innocent = [v for v in members(world, submission) if v is not diligent]
        assert lapse(world, submission) is MarketPhase.REVEAL
        world.reveal(submission, diligent, GOOD)
        assert cause(world, submission) is phase
        assert world.credit(diligent) == RULES.fee
        assert all(registered(world, verifier) for verifier in innocent)
        forfeited = phase is MarketPhase.SHARE
        assert world.credit(CONTRIBUTOR) == (0 if forfeited else CONDITIONS.stake)
        assert world.burnt() == 4 * BOND + forfeited * CONDITIONS.stake
        empty(world)


def test_who_seals_and_then_vanishes_from_a_failed_submission_is_struck_off() -> None:
    with boa.env.anchor():
        world = market(RULES)
        submission = world.reach(MarketPhase.SEAL)
        wavering = members(world, submission)[0]
        world.seal(submission, wavering, GOOD)
        lapse(world, submission)
        assert lapse(world, submission) is MarketPhase.REVEAL
        assert lapse(world, submission) is MarketPhase.VOID
        assert not registered(world, wavering)
        assert world.credit(wavering) == 0
        empty(world)


def market(rules: TaskRules) -> World:
    world = World()
    world.launch(rules)
    world.register(*VERIFIERS)
    world.wait()
    return world


def test_a_verifier_struck_off_elsewhere_still_serves_its_other_panels(world: World) -> None:
    """It forfeits one bond, not one for each panel."""
    for someone in VERIFIERS[5:]:
        world.leave(someone)
    world.wait()
    one, other = world.reach(MarketPhase.SEAL, "one"), world.reach(MarketPhase.SEAL, "other")
    panel = members(world, one)
    assert set(panel) == set(members(world, other)) == set(VERIFIERS[:5])
    for verifier in panel:
        world.seal(other, verifier, GOOD)
    free = world.free()
    assert lapse(world, one) is MarketPhase.DRAW
    assert (world.free(), world.burnt()) == (free, 5 * BOND)
    for verifier in panel[:4]:
        world.reveal(other, verifier, GOOD)
    world.wait_past(world.state(other).deadline)
    world.settle(other)
    world.disclose(other)
    # the fifth vanished from both, and had nothing left to lose
    assert (world.free(), world.burnt()) == (free + RULES.fee, 5 * BOND)
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 4 + [0]
    lapse(world, one)
    assert cause(world, one) is MarketPhase.DRAW
    assert world.credit(CONTRIBUTOR) == RULES.reward + 2 * CONDITIONS.stake


def test_a_late_disclosure_and_a_late_report_come_too_late(world: World) -> None:
    submission = world.reach(MarketPhase.REVEAL)
    verifier = members(world, submission)[0]
    world.wait_past(world.state(submission).deadline)
    with refuses("too late to report"):
        world.contract.reveal(submission, GOOD.fitness, 0, SALT, sender=verifier.address)
    world.settle(submission)
    world.register(*[v for v in VERIFIERS if not registered(world, v)])
    accepted = world.reach(MarketPhase.DRAW, "another")
    lapse(world, accepted)
    with refuses("no key is due"):
        world.contract.disclose(accepted, word("secret"))
    lapse(world, submission)
    assert world.phase(submission) is MarketPhase.VOID
