"""Rounds of ``coalition`` and ``referee``: their phases, what is refused, who may do what."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Phase, bits
from tests.contracts.peer_consensus_keys import account, raw, revealed, salt, sets
from tests.contracts.peer_consensus_task import (
    GENESIS,
    STRANGER,
    WINDOW_S,
    Reverted,
    Task,
    staked,
    words_of,
)
from tests.contracts.proposal_task import CONTRACTS, ProposalTask, Rule

RULES: list[Rule] = ["coalition", "referee"]
each_rule = pytest.mark.parametrize("rule", RULES)
ALL = {i: range(4) for i in range(4)}


def proposing(rule: Rule, committed: int = 4, **options: bool) -> ProposalTask:
    """A round in which the first ``committed`` of four members have committed."""
    task = ProposalTask(rule, 4, **options)
    task.open()
    task.commit(range(committed))
    if committed < 4:
        task.travel(WINDOW_S + 1)
    assert task.state.phase is Phase.PROPOSE
    return task


@each_rule
def test_a_round_from_beginning_to_end(rule: Rule) -> None:
    task = proposing(rule)
    sets = {0: [0, 1], 1: [0, 1, 2], 2: [1, 2], 3: [3]}
    task.propose(sets)
    assert task.state.phase is Phase.BALLOT
    assert task.state.proposed == 0b1111
    assert [event["members"] for event in task.events("Proposed")] == list(map(bits, sets.values()))
    task.vote_alike({0: 9, 1: 8, 2: 7, 3: 6})
    assert task.state.phase is Phase.SELECT
    found = task.expect_decision()
    assert found.chosen == ((0, 1) if rule == "coalition" else (0,))
    assert task.state.winners == (0b0111 if rule == "coalition" else 0b0011)
    assert task.state.phase is Phase.SELECTED
    task.travel(5)
    assert task.close(0b1111) == task.state.model
    first, second = (event["ballot_deadline"] for event in task.events("Opened"))
    assert first < second == task.state.ballot_deadline
    assert (task.state.proposed, task.state.voted, task.state.winners) == (0, 0, 0)


@each_rule
def test_proposals_end_when_all_have_come_or_their_window_has_passed(rule: Rule) -> None:
    task = proposing(rule)
    state = task.state
    assert state.proposal_deadline == state.opened_at + 2 * WINDOW_S
    assert state.seal_deadline == state.proposal_deadline
    assert state.ballot_deadline == state.opened_at + 3 * WINDOW_S
    (opened,) = task.events("Opened")
    assert opened["ballot_deadline"] == state.ballot_deadline
    task.propose({i: [0] for i in range(3)})
    task.travel(state.proposal_deadline - task.now)
    assert task.state.phase is Phase.PROPOSE
    task.travel(1)
    assert task.state.phase is Phase.BALLOT
    task.vote_alike(dict.fromkeys(range(3), 1))
    assert task.state.voted == 0b1111, "who has not proposed votes all the same"


@each_rule
@pytest.mark.parametrize("proposers", [[], [0], [0, 1]])
def test_with_proposals_of_half_of_the_committed_the_round_is_void(
    rule: Rule, proposers: list[int]
) -> None:
    task = proposing(rule)
    if proposers:
        task.propose({i: [0] for i in proposers})
    task.travel(2 * WINDOW_S + 1)
    assert task.state.phase is Phase.SELECT
    assert not task.expect_decision().chosen
    assert len(task.events("Voided")) == 1
    assert task.state.phase is Phase.IDLE


@each_rule
def test_with_ballots_of_half_of_the_committed_the_round_is_void(rule: Rule) -> None:
    task = proposing(rule)
    task.propose(ALL)
    values = {i: dict.fromkeys(task.candidates(i), 5) for i in (0, 1)}
    task.vote(values)
    task.travel(3 * WINDOW_S + 1)
    assert not task.expect_decision().chosen
    (voided,) = task.events("Voided")
    assert (voided["committed"], voided["voted"]) == (0b1111, 0b0011)


@each_rule
@pytest.mark.parametrize(("committed", "phase"), [(2, Phase.SELECT), (3, Phase.PROPOSE)])
def test_below_the_quorum_nobody_is_asked_to_propose(
    rule: Rule, committed: int, phase: Phase
) -> None:
    task = ProposalTask(rule, 4, quorum=3)
    task.open()
    task.commit(range(committed))
    task.travel(WINDOW_S + 1)
    assert task.state.phase is phase


@each_rule
def test_a_round_waits_for_members_alone(rule: Rule) -> None:
    task = ProposalTask(rule, 4)
    with pytest.raises(Reverted, match="expected someone who is not a member"):
        task.open([0, 4])
    with pytest.raises(Reverted, match="nobody is expected"):
        task.open([])
    task.open([0, 3])
    assert task.state.expected == 0b1001


@each_rule
def test_a_proposal_is_of_committed_members(rule: Rule) -> None:
    task = proposing(rule, committed=3)
    wrong = [(3, [0], Refusal.NOT_COMMITTED), (0, [0, 3], Refusal.SET)]
    batch = [task.proposal(member, members) for member, members, _ in wrong]
    batch.append((1, 0, *task.proposal(1, [1])[2:]))  # of nobody
    refused = task.refused("propose", 1, batch)
    assert refused == [*((m, why) for m, _, why in wrong), (1, Refusal.SET)]
    not_committed = words_of(Refusal.NOT_COMMITTED)
    for member, members, why in [(0, 0b1001, "not of committed"), (3, 1, not_committed)]:
        with pytest.raises(Reverted, match=why):
            task.call("propose_direct", 1, members, sender=task.keys[member])
    task.call("propose_direct", 1, 0b0011, sender=task.keys[0])
    assert task.state.proposed == 0b0001


@each_rule
@pytest.mark.parametrize("late", [False, True])
def test_a_cheat_changes_nobody_s_proposal(rule: Rule, late: bool) -> None:
    """Member 3 is in every honest proposal, and is then shown to have signed two deltas.

    What was rated is what wins: were it void, or struck out, whoever is to win could be chosen by
    showing a cheat when all ballots are in.
    """
    task = proposing(rule)
    both = (task.signing.evidence(task.keys[3], task.unsigned(3, v)) for v in (1, 2))
    proof = "prove_equivocation", 3, 1, *both
    if not late:
        task.call(*proof)
    task.propose({0: [0, 1, 3], 1: [0, 1, 3], 2: [2], 3: [2]})
    assert task.state.proposed == 0b1111
    task.vote_alike({0: 9, 1: 9, 2: 1, 3: 1})
    if late:
        task.call(*proof)
    found = task.expect_decision()
    assert set(found.chosen) <= {0, 1}
    assert task.state.winners == 0b1011


@each_rule
def test_a_proposal_is_its_author_s_own_and_there_is_one(rule: Rule) -> None:
    task = proposing(rule)
    good = task.proposal(0, [0, 1])
    forged = (1, *good[1:])
    changed = (0, 0b1000, *good[2:])
    late = task.proposal(2, [2], round_=2)
    refused = task.refused("propose", 1, [forged, changed, late, good, task.proposal(0, [2])])
    assert refused == [(i, Refusal.SIGNATURE) for i in (1, 0, 2)]
    assert [event["members"] for event in task.events("Proposed")] == [0b0011]
    with pytest.raises(Reverted, match="has proposed already"):
        task.call("propose_direct", 1, 1, sender=task.keys[0])
    with pytest.raises(Reverted, match="not a member"):
        task.call("propose_direct", 1, 1, sender=STRANGER)
    with pytest.raises(Reverted, match="not the current round"):
        task.call("propose", 2, [])


@each_rule
def test_everything_has_its_phase(rule: Rule) -> None:
    task = proposing(rule)
    early = [("cast_ballots", 1, []), ("seal", 1, []), ("commit", 1, [])]
    select = ("select", [], [], []) if rule == "referee" else ("select", [], [])
    for call in (*early, select, ("close_round", 1, bytes(32), 0)):
        with pytest.raises(Reverted, match="not in this phase"):
            task.call(*call)
    with pytest.raises(Reverted, match="not in phase IDLE"):
        task.call("open_round", task.state.model, 1)
    task.propose(ALL)
    for call in (("propose", 1, []), select):
        with pytest.raises(Reverted, match="not in this phase"):
            task.call(*call)


def test_a_coalition_s_ballot_rates_no_proposal_of_its_author_a_referee_s_does() -> None:
    for rule, expected in (("coalition", [(0, Refusal.STRANGER)]), ("referee", [])):
        task = proposing(rule)  # type: ignore[arg-type]
        task.propose(ALL)
        ballot = task.ballot(0, {0: 1, 1: 1, 2: 1, 3: 1})
        assert task.refused("cast_ballots", 1, [ballot]) == expected


@each_rule
def test_what_is_no_ballot_is_refused_with_a_reason(rule: Rule) -> None:
    task = proposing(rule)
    task.propose({i: [0] for i in (1, 2, 3)})
    task.travel(2 * WINDOW_S + 1)
    row, better = raw({1: 0}), raw({1: 1, 2: 0}, gaps=[1])
    cases = [
        (row[1:], Refusal.LENGTH),
        (b"", Refusal.LENGTH),
        (raw({1: 0, 2: 0, 3: 1}, gaps=[1]), Refusal.PLACES),
        (raw({1: 0, 2: 2}, gaps=[1]), Refusal.PLACES),
        (raw({1: 1}), Refusal.PLACES),
        (raw({0: 0}), Refusal.STRANGER),  # who has committed, and not proposed
        (raw({127: 0}), Refusal.STRANGER),
        (raw({1: 0}, listed=129), Refusal.LENGTH),
        (raw({1: 0}, listed=3), Refusal.LENGTH),
        (raw({1: 0}, width=2), Refusal.LENGTH),
        (raw({1: 0, 2: 1}, gaps=[1], width=3), Refusal.LENGTH),
        (raw({1: 0, 2: 1}, gaps=[2**32], width=5), Refusal.LENGTH),
        (raw({1: 254, 2: 0}), Refusal.PLACES),
        (raw({1: 0}, behind=sets()), Refusal.UNRATED),
        (raw({1: 0}, behind=sets(missing=4, invalid=4)), Refusal.UNRATED),
        (raw({1: 0}, behind=sets(missing=2)), Refusal.UNRATED),
        (raw({1: 0}, behind=sets(missing=1)), Refusal.UNRATED),
    ]
    for entries, why in cases:
        batch = [task.raw_ballot(0, entries)]
        assert task.refused("cast_ballots", 1, batch) == [(0, why)], why
        with pytest.raises(Reverted, match=words_of(why)):
            task.call("cast_ballot_direct", 1, entries, bytes(32), sender=task.keys[0])
    assert task.state.voted == 0
    good = task.raw_ballot(0, better)
    assert task.refused("cast_ballots", 1, [(1, *good[1:]), good, good]) == [(1, Refusal.SIGNATURE)]
    with pytest.raises(Reverted, match="has voted already"):
        task.call("cast_ballot_direct", 1, row, bytes(32), sender=task.keys[0])


@each_rule
def test_who_misses_more_than_a_quarter_of_the_proposals_abstains(rule: Rule) -> None:
    task = proposing(rule)
    task.propose(ALL)
    blind = task.ballot(0, dict.fromkeys((2, 3), 5), missing=[1] if rule == "coalition" else [0, 1])
    task.call("cast_ballots", 1, [blind])
    assert (task.state.voted, task.state.abstained) == (0, 0b0001)
    assert not task.events("BallotCast")
    task.call("cast_ballots", 1, [blind])
    assert len(task.events("Abstained")) == 1
    task.vote({i: dict.fromkeys(task.candidates(i), 5) for i in (1, 2, 3)})
    assert task.state.phase is Phase.SELECT
    assert task.expect_decision().chosen


@each_rule
def test_who_misses_a_quarter_of_the_proposals_votes(rule: Rule) -> None:
    task = ProposalTask(rule, 5)
    task.open()
    task.commit(range(5))
    task.propose({i: range(5) for i in range(5)})
    rated = [j for j in task.candidates(0) if j != 1]
    task.call("cast_ballots", 1, [task.ballot(0, dict.fromkeys(rated, 5), missing=[1])])
    assert (task.state.voted, task.state.abstained) == (0b00001, 0)


@each_rule
def test_ballots_are_sealed_after_proposals_were_shown(rule: Rule) -> None:
    task = proposing(rule, sealed=True)
    task.propose(ALL)
    state = task.state
    assert state.phase is Phase.SEAL
    assert state.seal_deadline == state.proposal_deadline + WINDOW_S
    pairs = [task.sealed_ballot(i, dict.fromkeys(task.candidates(i), 5 + i)) for i in range(4)]
    task.call("seal", 1, [seal for seal, _ in pairs[:3]])
    task.call("seal_direct", 1, pairs[3][0][1], sender=task.keys[3])
    assert task.state.phase is Phase.BALLOT
    other = revealed(0, pairs[1][1][3], salt(0))
    assert task.refused("cast_ballots", 1, [other]) == [(0, Refusal.NOT_THE_SEALED)]
    task.call("cast_ballots", 1, [shown for _, shown in pairs])
    assert task.state.voted == 0b1111
    assert task.expect_decision().chosen


@each_rule
def test_who_has_not_committed_seals_nothing(rule: Rule) -> None:
    task = proposing(rule, committed=3, sealed=True)
    task.propose({i: range(3) for i in range(3)})
    with pytest.raises(Reverted, match="has not committed"):
        task.call("seal_direct", 1, bytes(32), sender=task.keys[3])
    seal, _ = task.sealed_ballot(3, {0: 1})
    assert task.refused("seal", 1, [seal]) == [(3, Refusal.NOT_COMMITTED)]


@each_rule
def test_who_has_not_committed_does_not_vote(rule: Rule) -> None:
    task = proposing(rule, committed=3)
    task.propose({i: range(3) for i in range(3)})
    ballot = task.ballot(3, {0: 2, 1: 1, 2: 0})
    assert task.refused("cast_ballots", 1, [ballot]) == [(3, Refusal.NOT_COMMITTED)]
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_COMMITTED)):
        task.call("cast_ballot_direct", 1, ballot[3], bytes(32), sender=task.keys[3])


@each_rule
def test_who_has_sealed_nothing_does_not_vote(rule: Rule) -> None:
    task = proposing(rule, sealed=True)
    task.propose(ALL)
    seal, shown = task.sealed_ballot(0, dict.fromkeys(task.candidates(0), 5))
    assert task.refused("seal", 1, [(1, *seal[1:])]) == [(1, Refusal.SIGNATURE)]
    task.call("seal", 1, [seal])
    task.travel(3 * WINDOW_S + 1)
    entries = shown[3]
    assert task.refused("cast_ballots", 1, [revealed(2, entries, salt(2))]) == [
        (2, Refusal.NOT_SEALED)
    ]


@each_rule
def test_a_task_begins_with_two_members_or_with_a_stake(rule: Rule) -> None:
    some = [account(i).address for i in range(2)]
    contract = CONTRACTS[rule]
    with pytest.raises(Reverted, match="fewer than 2 members"):
        Task(accounts=some[:1], contract=contract)
    with pytest.raises(Reverted, match="with a stake, members join by themselves"):
        Task(accounts=some, stake=1, contract=contract)
    task = Task(accounts=some, contract=contract)
    assert task.call("active") == 0b11
    assert task.state.model == GENESIS


@each_rule
def test_members_come_by_their_stake_as_in_every_task(rule: Rule) -> None:
    task = staked(3, contract=CONTRACTS[rule])
    assert task.call("active") == 0b111
    task.open()
    with pytest.raises(Reverted, match="not in phase IDLE"):
        task.call("join", sender=task.keys[0], value=10**18)
