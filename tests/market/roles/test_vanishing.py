"""Whoever stays away, at whichever step: the others go on by the deadlines, and no wei is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import ContractReverted
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.terms import MarketPhase, TaskRules, submission_cost
from tests.market.conftest import Market
from tests.market.roles.world import BOND, STAKE, World

RULES = TaskRules(reward=10**15, fee=10**13, mafr=700_000, seats=2, quorum=2, redraws=1)


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


def world(chain: EmbeddedChain, market: Market, folder: Path, **options: object) -> World:
    rules = options.pop("rules", RULES)
    return World(
        chain,
        folder,
        market.verification,
        rules=rules,
        verifiers=(Verifier,) * 3,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("step", [MarketPhase.SEAL, MarketPhase.REVEAL])
def test_a_verifier_that_vanishes_is_replaced_and_loses_its_bond(
    chain: EmbeddedChain, market: Market, tmp_path: Path, step: MarketPhase
) -> None:
    here = world(chain, market, tmp_path)
    submission = here.offer("contributor", market.models[3])
    here.see_through(submission, until=step)
    gone = here.seated(submission)[0]
    submitted = here.see_through(submission, absent=[gone])
    assert submitted.outcome is MarketPhase.PAID
    lost = here.accounts[gone].address
    assert lost not in submitted.reports
    assert not here.market.place_of(here.task, lost).is_in
    assert here.received(gone) == 0
    assert here.verifiers[gone].turn().finished
    kept = {name: verifier for name, verifier in here.verifiers.items() if name != gone}
    here.verifiers = kept
    assert here.settle_up() == 0


@pytest.mark.parametrize("step", [MarketPhase.SHARE, MarketPhase.DISCLOSE])
def test_a_contributor_that_keeps_its_keys_back_is_not_paid_and_loses_its_stake(
    chain: EmbeddedChain, market: Market, tmp_path: Path, step: MarketPhase
) -> None:
    here = world(chain, market, tmp_path)
    submission = here.offer("contributor", market.models[3])
    here.see_through(submission, until=step)
    submitted = here.see_through(submission, absent=["contributor"])
    assert (submitted.outcome, submitted.cause) == (MarketPhase.VOID, step)
    assert here.received("contributor") == 0
    # panels that did their work are paid for it
    paid = sum(here.received(judge) for judge in here.verifiers)
    assert paid == (2 * RULES.fee if step is MarketPhase.DISCLOSE else 0)
    # what came to nothing may be tried again
    again = here.contributors["contributor"].submit(here.task, market.models[3], anew=True)
    assert here.see_through(again).outcome is MarketPhase.PAID
    assert here.settle_up() == 0


def test_an_initiator_that_does_not_grant_pays_as_if_it_had_bought(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    here = world(chain, market, tmp_path)
    submitted = here.see_through(here.offer("first", market.models[3]), absent=["initiator"])
    assert (submitted.outcome, submitted.cause) == (MarketPhase.VOID, MarketPhase.GRANT)
    assert here.received("first") == STAKE
    assert here.settle_up() == 0
    assert here.received("initiator") == 2 * submission_cost(RULES)  # of three


def test_a_draw_that_its_contributor_does_not_make_is_made_by_others(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    here = world(chain, market, tmp_path)
    submission = here.offer("contributor", market.models[3])
    here.see_through(submission, absent=["contributor"], until=MarketPhase.SHARE)
    assert here.see_through(submission).outcome is MarketPhase.PAID
    other = here.offer("other", market.models[0])
    here.see_through(other, absent=["other", "initiator"], until=MarketPhase.GRANT)


def test_nothing_is_submitted_where_there_are_too_few_verifiers(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    here = World(chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,))
    with pytest.raises(ContractReverted, match="too few verifiers"):
        here.offer("contributor", market.models[3])
    assert here.settle_up() == 0


def test_verifiers_that_come_late_are_drawn_all_the_same(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    here = World(chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,) * 2)
    submission = here.offer("contributor", market.models[3])
    here.see_through(submission, until=MarketPhase.SEAL)
    gone = here.seated(submission)[0]
    here.see_through(submission, absent=[gone], until=MarketPhase.DRAW)
    del here.verifiers[gone]
    assert not any(role.turn().actions for role in here.present())
    here.verify("late")
    assert here.see_through(submission).outcome is MarketPhase.PAID
    assert here.settle_up() == 0
    assert here.received("late") == BOND + RULES.fee


def test_a_verifier_on_a_panel_cannot_leave(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    here = world(chain, market, tmp_path)
    submission = here.offer("contributor", market.models[3])
    here.see_through(submission, until=MarketPhase.SEAL)
    judge = here.verifiers[here.seated(submission)[0]]
    with pytest.raises(Exception, match="a panel waits for you"):
        judge.leave(here.task)
    assert here.balance() >= 3 * BOND
