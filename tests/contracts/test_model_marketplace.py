"""The marketplace from launch to payment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import boa
import pytest
from eth.exceptions import Revert
from hypothesis import given
from hypothesis import strategies as st

from bcfl.market.spec.report import Reason, Report, is_accepted
from bcfl.market.spec.terms import MarketPhase, deposit, submission_cost
from tests.contracts.market_world import (
    BAD,
    BOND,
    CONDITIONS,
    CONTRIBUTOR,
    GOOD,
    INITIATOR,
    RULES,
    SALT,
    SECRET,
    STRANGER,
    UNGRANTED,
    UNOPENABLE,
    VERIFIERS,
    World,
    few_examples,
    refuses,
    word,
)

DEPOSIT = deposit(RULES, CONDITIONS)
COST = submission_cost(RULES)


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        market = World()
        market.launch()
        market.register(*VERIFIERS)
        yield market


def test_an_accepted_model_is_paid_and_its_key_disclosed_in_one_step(world: World) -> None:
    submission = world.reach(MarketPhase.DISCLOSE)
    assert world.credit(CONTRIBUTOR) == 0
    world.disclose(submission)
    (event,) = world.contract.get_logs()
    assert (event.submission, event.key) == (submission, SECRET)
    assert world.phase(submission) is MarketPhase.PAID
    assert world.credit(CONTRIBUTOR) == RULES.reward + CONDITIONS.stake
    assert world.free() == DEPOSIT - COST


def test_every_verifier_who_reports_is_paid_at_once_whatever_it_found(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    panel = world.judge(submission, [GOOD, BAD, UNOPENABLE, BAD, GOOD])
    assert world.phase(submission) is MarketPhase.REJECTED
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 5
    assert world.credit(CONTRIBUTOR) == CONDITIONS.stake
    assert world.free() == DEPOSIT - 5 * RULES.fee


@pytest.mark.parametrize(
    ("honest", "lie", "outcome"),
    [(GOOD, BAD, MarketPhase.DISCLOSE), (BAD, GOOD, MarketPhase.REJECTED)],
)
def test_two_liars_of_five_do_not_change_the_verdict(
    world: World, honest: Report, lie: Report, outcome: MarketPhase
) -> None:
    submission = world.reach(MarketPhase.SHARE)
    world.judge(submission, [lie, honest, honest, lie, honest])
    assert world.phase(submission) is outcome


def test_a_fitness_equal_to_mafr_is_not_above_it(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    world.judge(submission, [Report(RULES.mafr)] * 3 + [Report(RULES.mafr + 1)] * 2)
    assert world.phase(submission) is MarketPhase.REJECTED


@few_examples
@given(data=st.data(), seats=st.integers(1, 5), mafr=st.integers(0, 999_999))
def test_the_verdict_equals_the_reference(data: st.DataObject, seats: int, mafr: int) -> None:
    quorum = data.draw(st.integers(1, seats))
    near = st.sampled_from([0, mafr, mafr + 1, 1_000_000]) | st.integers(0, 1_000_000)
    fitnesses = data.draw(st.lists(near, min_size=quorum, max_size=seats))
    with boa.env.anchor():
        world = World()
        world.launch(replace(RULES, seats=seats, quorum=quorum, mafr=mafr))
        world.register(*VERIFIERS[:5])
        world.wait()
        submission = world.reach(MarketPhase.SEAL)
        reporters = [v for v in world.panel(submission) if v][: len(fitnesses)]
        for verifier, fitness in zip(reporters, fitnesses, strict=True):
            world.seal(submission, verifier, Report(fitness))
        if len(fitnesses) < seats:
            world.wait_past(world.state(submission).deadline)
        for verifier, fitness in zip(reporters, fitnesses, strict=True):
            world.reveal(submission, verifier, Report(fitness))
        accepted = is_accepted(fitnesses, mafr, quorum)
        verdict = MarketPhase.DISCLOSE if accepted else MarketPhase.REJECTED
        assert world.phase(submission) is verdict


def test_nobody_can_open_the_model_by_paying_less_or_be_paid_without_the_key(world: World) -> None:
    submission = world.reach(MarketPhase.DISCLOSE)
    with refuses("not the committed key"):
        world.contract.disclose(submission, word("another"), sender=CONTRIBUTOR.address)
    world.disclose(submission)
    with refuses("no key is due"):
        world.disclose(submission)
    assert world.credit(CONTRIBUTOR) == RULES.reward + CONDITIONS.stake


def test_a_digest_is_submitted_once_in_any_task(world: World) -> None:
    world.submit("model")
    with refuses("already submitted"):
        world.submit("model", by=STRANGER)
    other = world.launch()
    with refuses("already submitted"):
        world.submit("model", by=STRANGER, task=other)


def test_a_copied_seal_cannot_be_revealed(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    honest, lazy, *others = [verifier for verifier in world.panel(submission) if verifier]
    world.seal(submission, honest, GOOD)
    (event,) = world.contract.get_logs()
    world.contract.seal(submission, event.seal, sender=lazy.address)
    for verifier in others:
        world.seal(submission, verifier, GOOD)
    world.reveal(submission, honest, GOOD)
    with refuses("the seal says otherwise"):
        world.reveal(submission, lazy, GOOD)


def test_no_report_can_be_revealed_while_seals_are_taken(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    first, *others = [verifier for verifier in world.panel(submission) if verifier]
    world.seal(submission, first, GOOD)
    with refuses("no report is due"):
        world.reveal(submission, first, GOOD)
    for verifier in others:
        world.seal(submission, verifier, GOOD)
    with refuses("no seal is due"):
        world.seal(submission, first, BAD)
    world.reveal(submission, first, GOOD)


@pytest.mark.parametrize(
    ("fitness", "reason", "salt", "refusal"),
    [
        (700_001, 0, SALT, "the seal says otherwise"),
        (0, 1, SALT, "the seal says otherwise"),
        (700_000, 0, bytes(32), "the seal says otherwise"),
        (1_000_001, 0, SALT, "fitness is at most 1,000,000"),
        (2**256 - 1, 0, SALT, "fitness is at most 1,000,000"),
        (0, len(Reason), SALT, "no such reason"),
        (700_000, 1, SALT, "not measured, and yet a fitness"),
    ],
)
def test_a_report_other_than_the_sealed_one_is_refused(
    world: World, fitness: int, reason: int, salt: bytes, refusal: str
) -> None:
    submission = world.reach(MarketPhase.REVEAL)
    verifier = world.panel(submission)[0]
    assert verifier
    with refuses(refusal):
        world.contract.reveal(submission, fitness, reason, salt, sender=verifier.address)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_that_python_knows_can_be_reported(world: World, reason: Reason) -> None:
    submission = world.reach(MarketPhase.SHARE)
    world.judge(submission, [Report(0, reason)] * 5)
    outcomes = {Reason.MEASURED: MarketPhase.REJECTED, Reason.UNGRANTED: MarketPhase.VOID}
    assert world.phase(submission) is outcomes.get(reason, MarketPhase.JUNK)


def test_junk_costs_its_author_the_stake_and_gives_its_place_back(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    panel = world.judge(submission, [UNOPENABLE, BAD, UNOPENABLE, UNOPENABLE, GOOD])
    assert world.phase(submission) is MarketPhase.JUNK
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 5
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (0, CONDITIONS.stake)
    assert world.free() == DEPOSIT - 5 * RULES.fee
    assert world.contract.task(1).taken == 0


def test_junk_is_what_most_call_junk(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    world.judge(submission, [UNOPENABLE, BAD, UNOPENABLE, UNGRANTED, GOOD])
    assert world.phase(submission) is MarketPhase.REJECTED
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (CONDITIONS.stake, 0)


def test_an_initiator_that_grants_something_else_pays_as_if_it_had_bought(world: World) -> None:
    submission = world.reach(MarketPhase.SHARE)
    panel = world.judge(submission, [UNGRANTED, UNGRANTED, GOOD, UNGRANTED, UNOPENABLE])
    assert world.phase(submission) is MarketPhase.VOID
    assert MarketPhase(world.state(submission).cause) is MarketPhase.GRANT
    assert [world.credit(verifier) for verifier in panel] == [RULES.fee] * 5
    assert (world.credit(CONTRIBUTOR), world.burnt()) == (CONDITIONS.stake, RULES.reward)
    assert world.free() == DEPOSIT - COST
    assert world.contract.task(1).taken == 1


def test_nothing_is_sealed_or_reported_twice(world: World) -> None:
    submission = world.reach(MarketPhase.SEAL)
    panel = [verifier for verifier in world.panel(submission) if verifier]
    world.seal(submission, panel[0], GOOD)
    with refuses("already sealed"):
        world.seal(submission, panel[0], BAD)
    for verifier in panel[1:]:
        world.seal(submission, verifier, GOOD)
    world.reveal(submission, panel[0], GOOD)
    with refuses("already reported"):
        world.reveal(submission, panel[0], GOOD)
    assert world.credit(panel[0]) == RULES.fee


@pytest.mark.parametrize("call", ["submit", "grant", "share", "seal"])
def test_an_empty_digest_is_no_digest(world: World, call: str) -> None:
    phase = {"grant": MarketPhase.GRANT, "share": MarketPhase.SHARE, "seal": MarketPhase.SEAL}
    if call == "submit":
        stake = CONDITIONS.stake
        with refuses("no digest"):
            world.contract.submit(1, bytes(32), word("k"), value=stake, sender=STRANGER.address)
        with refuses("no key commitment"):
            world.contract.submit(1, word("m"), bytes(32), value=stake, sender=STRANGER.address)
        return
    submission = world.reach(phase[call])
    sender = {"grant": INITIATOR, "share": CONTRIBUTOR, "seal": world.panel(submission)[0]}[call]
    assert sender
    with refuses("no seal" if call == "seal" else "no digest"):
        getattr(world.contract, call)(submission, bytes(32), sender=sender.address)


def test_no_key_is_shared_before_the_measuring_samples_are_opened(world: World) -> None:
    submission = world.reach(MarketPhase.GRANT)
    with refuses("no keys are due"):
        world.contract.share(submission, word("keys"), sender=CONTRIBUTOR.address)
    world.grant(submission)
    world.share(submission)
    assert world.phase(submission) is MarketPhase.SEAL


def test_a_draw_in_the_anchor_block_is_too_early(world: World) -> None:
    submission = world.submit()
    world.travel_to(world.now, world.state(submission).anchor)
    with refuses("too early to draw"):
        world.contract.draw(submission)
    world.travel_to(world.now, world.block + 1)
    world.contract.draw(submission)


def test_ether_sent_without_a_call_is_refused(world: World) -> None:
    with pytest.raises(Revert):
        boa.env.raw_call(world.contract.address, sender=STRANGER.address, value=1)
    assert world.balance() == DEPOSIT + BOND * len(VERIFIERS)
