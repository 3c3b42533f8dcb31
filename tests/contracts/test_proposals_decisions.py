"""The contracts of ``coalition`` and ``referee`` decide as the pure Python does: Hypothesis."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcfl.consensus.contract.ledger import MOST_PROPOSERS
from bcfl.consensus.spec.domain import Ballot, members_in
from tests.consensus.spec.proposals import Proposed, proposed_rounds
from tests.contracts.peer_consensus_task import Reverted
from tests.contracts.proposal_task import ProposalTask, Rule

FUZZ = bool(os.environ.get("BCFL_FUZZ"))
MOST = 128 if FUZZ else 8
RULES: list[Rule] = ["coalition", "referee"]


@settings(max_examples=1000 if FUZZ else 10)
@pytest.mark.parametrize("rule", RULES)
@given(data=st.data(), kappa_ppm=st.integers(1, 999_999), quorum=st.integers(1, 3))
def test_the_contract_decides_as_the_reference_does(
    rule: Rule, data: st.DataObject, kappa_ppm: int, quorum: int
) -> None:
    """Two rounds, so that the second is weighed by what the first made of standings."""
    rounds = proposed_rounds(of_oneself=rule == "referee", most=MOST)
    first, second = data.draw(rounds), data.draw(rounds)
    task = ProposalTask(rule, MOST, kappa_ppm=kappa_ppm, quorum=quorum)
    task.direct(replace(first, barred=0))
    if task.expect_decision().chosen:
        task.close()
    task.direct(second)
    task.expect_decision()


def full_round(rule: Rule, size: int, seed: int, ballots: int) -> Proposed:
    """Everybody commits and proposes; so many vote, on everything, with many ties."""
    chance = random.Random(seed)
    proposals = {i: chance.getrandbits(size) | 1 << i for i in range(size)}
    said = {}
    for voter in sorted(chance.sample(range(size), ballots)):
        rated = [j for j in range(size) if rule == "referee" or j != voter]
        said[voter] = Ballot.from_values(1, {j: chance.randrange(1, 9) for j in rated})
    return Proposed(size, frozenset(range(size)), proposals, said, {}, 0)


@pytest.mark.parametrize("rule", RULES)
def test_the_contract_decides_as_the_reference_does_among_17(rule: Rule) -> None:
    """More members than a word has lanes."""
    task = ProposalTask(rule, 17)
    task.direct(full_round(rule, 17, 1, 17))
    assert task.expect_decision().chosen


@pytest.mark.skipif(not FUZZ, reason="a minute: make fuzz")
@pytest.mark.parametrize("rule", RULES)
def test_as_many_as_there_may_be_decide_within_a_transaction(rule: Rule) -> None:
    """EIP-7825: a transaction has 2**24 gas at most."""
    task = ProposalTask(rule, MOST_PROPOSERS)
    task.direct(full_round(rule, MOST_PROPOSERS, 2, MOST_PROPOSERS))
    task.env.enable_gas_profiling()
    before = task.env.get_gas_used()
    assert task.expect_decision().chosen
    assert task.env.get_gas_used() - before < 2**24


@pytest.mark.parametrize("rule", RULES)
def test_what_is_shown_must_be_all_that_was_said_and_in_its_order(rule: Rule) -> None:
    task = ProposalTask(rule, 4)
    task.direct(full_round(rule, 4, 3, 3))
    proposals, ballots = task.shown()
    more = [task.medians()] if rule == "referee" else []
    for wrong in (proposals[1:], proposals[::-1], [(0, 1), *proposals[1:]]):
        medians = [[0] * len(wrong)] if more else []
        with pytest.raises(Reverted, match="not all of the round"):
            task.call("select", wrong, ballots, *medians)
    forged = [(ballots[0][0], ballots[1][1]), *ballots[1:]]
    for lie in (ballots[1:], ballots[::-1], [], forged, [*ballots, ballots[0]]):
        with pytest.raises(Reverted, match="not all of the round"):
            task.call("select", proposals, lie, *more)
    task.expect_decision()
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("select", proposals, ballots, *more)


def test_nobody_says_another_median() -> None:
    task = ProposalTask("referee", 5)
    task.direct(full_round("referee", 5, 4, 4))
    proposals, ballots = task.shown()
    right = task.medians()
    for at, off in ((0, 1), (0, -1), (4, 1), (4, -1), (2, 2**31)):
        lie = [value + off * (place == at) for place, value in enumerate(right)]
        with pytest.raises(Reverted, match="referee: not the medians"):
            task.call("select", proposals, ballots, lie)
    for short in (right[1:], [*right, 0]):
        with pytest.raises(Reverted, match="not a median for each proposal"):
            task.call("select", proposals, ballots, short)
    task.expect_decision()


@pytest.mark.parametrize("rule", RULES)
def test_a_cheat_s_proposal_wins_nothing_and_others_that_hold_it_stand(rule: Rule) -> None:
    task = ProposalTask(rule, 4, kappa_ppm=1)
    said = {0: 0b0011, 1: 0b0111, 2: 0b1110, 3: 0b0010}
    best_first = {0: 4, 1: 3, 2: 2, 3: 1}
    rated = {i: {j: best_first[j] for j in said if rule == "referee" or j != i} for i in said}
    ballots = {i: Ballot.from_values(1, values) for i, values in rated.items()}
    task.direct(Proposed(4, frozenset(range(4)), said, ballots, {}, 0b0001))
    assert task.expect_decision().chosen == (1,)
    assert members_in(task.state.winners) == (0, 1, 2)


def test_standing_halves_for_who_is_in_no_winning_set_and_comes_back() -> None:
    task = ProposalTask("coalition", 4)
    without, everybody = dict.fromkeys(range(4), 7), dict.fromkeys(range(4), 15)
    alike = {i: Ballot.from_values(1, {j: 7 for j in range(4) if j != i}) for i in range(4)}
    found = []
    for said in (without, without, everybody):
        task.direct(Proposed(4, frozenset(range(4)), said, alike, {}, 0))
        task.expect_decision()
        task.close()
        found.append([task.call("standing", i) / 2**15 for i in range(4)])
    assert found == [[1, 1, 1, 0.5], [1, 1, 1, 0.25], [1, 1, 1, 0.625]]
