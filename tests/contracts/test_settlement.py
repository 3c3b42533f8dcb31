"""What a coordinator, members and strangers can do to rounds that are settled optimistically."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.spec.domain import MAX_BALLOT_BYTES, Commitment
from bcfl.consensus.spec.settlement import Record
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    NOBODY,
    STRANGER,
    WINDOW_S,
    Reverted,
    Task,
)
from tests.contracts.settlement_task import (
    BOND,
    CHALLENGE_WINDOW_S,
    DEPOSIT,
    SettlementTask,
    bundle_of,
    words_of,
)


@pytest.fixture
def task() -> SettlementTask:
    found = SettlementTask()
    found.begin()
    return found


def doubt(task: SettlementTask, record: Record) -> None:
    task.call("challenge", words_of(record), sender=STRANGER, value=BOND)


def answer(task: SettlementTask, record: Record, bundle: Bundle) -> None:
    task.call("answer", words_of(record), *bundle.words(), sender=STRANGER)


def fault(task: SettlementTask, record: Record, bundle: Bundle) -> str:
    return fault_of(bundle, record, task.terms, task.signing.domain, task.accounts)


def test_settling_ends_a_round_and_begins_the_next(task: SettlementTask) -> None:
    record, bundle = task.play()

    now = task.standing
    assert (now.round, now.open, now.model) == (2, True, record.model)
    assert record.winners.bit_count() == 2
    assert fault(task, record, bundle) == ""


def test_an_honest_answer_upholds_a_round_for_good(task: SettlementTask) -> None:
    record, bundle = task.play()
    doubt(task, record)
    assert task.standing.challenges == 1

    answer(task, record, bundle)

    assert task.events("Upheld")[-1]["round"] == record.round
    assert task.standing.challenges == 0
    with pytest.raises(Reverted, match="not what was said"):
        doubt(task, record)


def test_other_winners_than_follow_convict_at_once_whoever_shows_it(task: SettlementTask) -> None:
    bundle = task.signed_by(range(4))
    lie = task.record(bundle, winners=0b1100)
    record = task.settle(lie)
    assert "have won" in fault(task, record, bundle)

    answer(task, record, bundle)  # nobody has put down a bond

    assert task.events("Convicted")[-1]["round"] == record.round
    now = task.standing
    assert (now.void_from, now.deposited, now.open) == (record.round, False, False)
    assert task.env.get_balance(NOBODY) == DEPOSIT
    with pytest.raises(Reverted, match="the round is void"):
        doubt(task, record)
    with pytest.raises(Reverted, match="no round is open"):
        task.call("settle", now.round, bytes(32), 0, now.model, 0, 0, now.time, 0)
    with pytest.raises(Reverted, match="no round is open"):
        task.call("show_commitment", now.round, task.commitment(0))
    with pytest.raises(Reverted, match="convicted"):
        task.call("open_round", now.model)


def test_who_does_not_answer_in_time_is_convicted(task: SettlementTask) -> None:
    bundle = task.signed_by(range(4))
    record = task.settle(task.record(bundle, root=bytes(range(32))))
    doubt(task, record)
    with pytest.raises(Reverted, match="not all that was signed"):
        answer(task, record, bundle)
    with pytest.raises(Reverted, match="may be answered still"):
        task.call("convict", record.round)

    task.travel(CHALLENGE_WINDOW_S + 1)
    task.call("convict", record.round)

    assert task.standing.void_from == record.round
    assert task.call("withdrawable", STRANGER.address) == BOND


def test_what_comes_after_a_void_round_is_void_and_bonds_for_it_come_back(
    task: SettlementTask,
) -> None:
    bundle = task.signed_by(range(4))
    lie = task.settle(task.record(bundle, winners=0b1000))
    later, _ = task.play()
    doubt(task, later)
    with pytest.raises(Reverted, match="counts"):
        task.call("take_back", later.round)

    answer(task, lie, bundle)
    task.call("take_back", later.round)

    assert task.standing.challenges == 0
    assert task.call("withdrawable", STRANGER.address) == BOND
    with pytest.raises(Reverted, match="void"):
        doubt(task, later)


def test_whose_commitment_came_past_the_coordinator_cannot_be_left_out(
    task: SettlementTask,
) -> None:
    task.call("show_commitment", 1, task.commitment(3), sender=task.keys[3])
    bundle = task.signed_by(range(3))
    task.travel(201)
    with pytest.raises(Reverted, match="past the coordinator"):
        task.settle(task.record(bundle, forced=0))

    record = task.settle(task.record(bundle))

    assert "left out" in fault(task, record, bundle)
    answer(task, record, bundle)
    assert task.events("Convicted")


def test_whose_ballot_came_past_the_coordinator_cannot_be_left_out(task: SettlementTask) -> None:
    whole = task.signed_by(range(4))
    member, r, vs, entries = task.ballot(3, {0: 9, 1: 8, 2: 7})
    task.call("show_ballot", 1, member, r, vs, entries, sender=task.keys[3])
    with pytest.raises(Reverted, match="voted already"):
        task.call("show_ballot", 1, member, r, vs, entries)
    without = Bundle(whole.commitments, whole.ballots[:3])
    task.travel(201)

    record = task.settle(task.record(without))

    assert "left out" in fault(task, record, without)
    answer(task, record, without)
    assert task.events("Convicted")


def test_a_ballot_that_is_none_has_to_be_brought_and_does_not_count(task: SettlementTask) -> None:
    member, r, vs, entries = task.raw_ballot(3, b"nonsense")
    task.call("show_ballot", 1, member, r, vs, entries, sender=task.keys[3])
    whole = task.signed_by(range(4))
    bundle = Bundle(
        whole.commitments, (*whole.ballots[:3], *bundle_of([], [(member, r, vs, entries)]).ballots)
    )
    task.wait_for_the_end(bundle)

    record = task.settle(task.record(bundle))
    doubt(task, record)
    answer(task, record, bundle)

    assert task.events("Upheld")


def test_a_coordinator_in_a_hurry_is_convicted(task: SettlementTask) -> None:
    bundle = task.signed_by(range(3))

    record = task.settle(task.record(bundle))

    assert "time until" in fault(task, record, bundle)
    answer(task, record, bundle)
    assert task.events("Convicted")


def test_a_reorganisation_makes_no_lie_of_an_honest_settlement(task: SettlementTask) -> None:
    """A node mines it once more, in a block of another time, after a round of another."""
    bundle = task.signed_by(range(3))
    task.wait_for_the_end(bundle)
    honest = task.record(bundle)
    with pytest.raises(Reverted, match="begun anew"):
        task.settle(replace(honest, opened_at=honest.opened_at - 1))
    with pytest.raises(Reverted, match="not over"):
        task.settle(honest, due=task.now + 100)

    record = task.settle(honest, due=honest.settled_at)

    assert fault(task, record, bundle) == ""


def test_a_forged_commitment_does_not_count(task: SettlementTask) -> None:
    good = task.signed_by(range(4))
    forged = replace(good.commitments[0], digest=bytes(32))
    bundle = Bundle((forged, *good.commitments[1:]), good.ballots)
    record = task.settle(task.record(good, root=bundle.root()))

    assert fault(task, record, bundle)
    answer(task, record, bundle)
    assert task.events("Convicted")


def test_what_comes_twice_or_out_of_turn_or_time_does_not_count(task: SettlementTask) -> None:
    now = task.now
    of_1, again, of_2, of_3 = (task.commitment(*which) for which in ((1,), (1, 1), (2,), (3,)))
    early = task.commitment(2, 2, timestamp=now - 1)
    commitments = [of_1, task.commitment(0), again, early, of_2, task.commitment(3, 2), of_3]
    commitments[5] = task.commitment(3, 2, timestamp=now + 10 * WINDOW_S)
    ballots = [
        task.ballot(1, {2: 9, 3: 8}),
        task.ballot(1, {2: 8, 3: 9}),
        task.ballot(2, {1: 9, 3: 8}),
        task.ballot(3, {1: 9, 2: 8}),
    ]
    bundle = bundle_of(commitments, ballots)
    task.wait_for_the_end(bundle)
    record = task.record(bundle)
    signed = bundle.signed(record, task.signing.domain, task.accounts)
    assert signed.digests == {1: of_1[2], 2: of_2[2], 3: of_3[2]}
    assert record.winners == 0b0110, "the other ballot of 1 would have 3 win"

    record = task.settle(record)
    doubt(task, record)
    answer(task, record, bundle)

    assert task.events("Upheld")


def test_whom_too_few_have_seen_does_not_win_in_court_either(task: SettlementTask) -> None:
    rows = {0: [1], 1: [3, 2], 2: [1, 0], 3: [1, 0, 2]}
    bundle = bundle_of(
        [task.commitment(i) for i in range(4)],
        [task.ballot(i, {j: 9 - at for at, j in enumerate(row)}) for i, row in rows.items()],
    )
    record = task.settle(task.record(bundle))
    assert record.winners == 0b0011, "3 has more points than 0"
    doubt(task, record)

    answer(task, record, bundle)

    assert task.events("Upheld")


def test_a_void_round_is_settled_and_upheld_as_any(task: SettlementTask) -> None:
    bundle = bundle_of([task.commitment(0)], [])
    task.wait_for_the_end(bundle)
    honest = task.record(bundle)
    assert honest.winners == 0
    with pytest.raises(Reverted, match="changes nothing"):
        task.settle(replace(honest, model=bytes(32)))

    record = task.settle(honest)
    doubt(task, record)
    answer(task, record, bundle)

    assert task.events("Upheld")


def test_equal_points_are_decided_by_what_nobody_knew_who_committed(task: SettlementTask) -> None:
    rows = {i: {j: 5 for j in range(4) if j != i} for i in range(4)}
    bundle = bundle_of(
        [task.commitment(i) for i in range(4)], [task.ballot(i, rows[i]) for i in range(4)]
    )
    record = task.settle(task.record(bundle))
    doubt(task, record)

    answer(task, record, bundle)

    assert task.events("Upheld")


def test_who_abstains_and_whom_few_have_seen_count_as_ever(task: SettlementTask) -> None:
    ballots = [
        task.ballot(0, {1: 9, 2: 8}),
        task.ballot(1, {0: 9, 2: 8}, missing=[3]),
        task.ballot(2, {0: 9, 1: 8}),
        task.ballot(3, {}, missing=[0, 1, 2]),
    ]
    bundle = bundle_of([task.commitment(i) for i in range(4)], ballots)
    record = task.settle(task.record(bundle))
    doubt(task, record)

    answer(task, record, bundle)

    assert task.events("Upheld")
    assert [event["member"] for event in task.events("Abstained")] == [1, 3]


def test_a_cheat_that_is_proven_in_a_round_commits_no_more_after_it(task: SettlementTask) -> None:
    bundle = task.signed_by(range(4))
    now = task.standing
    pair = [
        task.signing.evidence(task.keys[3], Commitment(now.round, now.model, digest, task.now))
        for digest in (b"a" * 32, b"b" * 32)
    ]
    task.call("prove_equivocation", 3, 1, *pair, sender=STRANGER)
    record = task.settle(task.record(bundle))
    doubt(task, record)
    answer(task, record, bundle)  # it was a member when the round began
    assert task.events("Upheld")

    now = task.standing
    assert (now.members, now.equivocators) == (0b0111, 0b1000)
    with_cheat = task.signed_by(range(4))
    assert with_cheat.signed(
        task.record(with_cheat), task.signing.domain, task.accounts
    ).digests.keys() == {0, 1, 2}


def test_a_round_is_final_after_its_window(task: SettlementTask) -> None:
    bundle = task.signed_by(range(4))
    record = task.settle(task.record(bundle, winners=0b1000))
    task.call("pause")
    task.travel(CHALLENGE_WINDOW_S + 1)

    with pytest.raises(Reverted, match="final"):
        doubt(task, record)
    with pytest.raises(Reverted, match="final"):
        answer(task, record, bundle)
    task.call("release")
    assert task.call("withdrawable", COORDINATOR) == DEPOSIT


def test_a_deposit_stays_while_anything_may_be_doubted(task: SettlementTask) -> None:
    record, bundle = task.play()
    task.call("pause")
    with pytest.raises(Reverted, match="not final"):
        task.call("release")
    task.travel(CHALLENGE_WINDOW_S)
    doubt(task, record)
    with pytest.raises(Reverted, match="waits for an answer"):
        task.call("release")
    answer(task, record, bundle)
    last = task.standing.time + CHALLENGE_WINDOW_S
    task.travel(last - task.now)
    with pytest.raises(Reverted, match="not final"):
        task.call("release")
    task.travel(1)
    task.call("release")
    with pytest.raises(Reverted, match="nothing is deposited"):
        task.call("release")
    assert task.call("withdraw") == DEPOSIT

    with pytest.raises(Reverted, match="not the deposit"):
        task.begin()
    task.call("open_round", task.standing.model, value=DEPOSIT)
    assert task.standing.open


def test_only_what_was_said_of_a_round_can_be_doubted_and_once(task: SettlementTask) -> None:
    record, _ = task.play()
    with pytest.raises(Reverted, match="not what was said"):
        doubt(task, replace(record, winners=1))
    with pytest.raises(Reverted, match="not the bond"):
        task.call("challenge", words_of(record), sender=STRANGER, value=BOND - 1)
    doubt(task, record)
    with pytest.raises(Reverted, match="challenged already"):
        doubt(task, record)


def test_nobody_is_paid_for_bringing_a_round_that_nobody_doubts(task: SettlementTask) -> None:
    record, bundle = task.play()
    with pytest.raises(Reverted, match="nobody doubts"):
        answer(task, record, bundle)
    with pytest.raises(Reverted, match="nobody doubts"):
        task.call("convict", record.round)


def test_a_round_begins_anew_only_before_anybody_came_past_the_coordinator(
    task: SettlementTask,
) -> None:
    task.travel(50)
    task.begin()
    assert (task.standing.round, task.standing.time) == (1, task.now)
    task.call("show_commitment", 1, task.commitment(2), sender=task.keys[2])

    for function in (task.begin, lambda: task.call("pause")):
        with pytest.raises(Reverted, match="past the coordinator"):
            function()


def test_members_come_and_go_between_rounds_alone(task: SettlementTask) -> None:
    with pytest.raises(Reverted, match="IDLE"):
        task.call("add_member", STRANGER.address)
    task.play()
    task.call("pause")
    task.call("add_member", STRANGER.address)
    task.call("remove_member", 0)
    task.call("pause")  # once more: nothing is forgotten
    assert not task.standing.open
    task.begin()
    assert task.standing.members == 0b11110

    task.keys.append(STRANGER)
    bundle = task.signed_by(range(1, 5))
    record = task.settle(task.record(bundle))
    doubt(task, record)
    answer(task, record, bundle)
    assert task.events("Upheld"), "whoever came signs as the others"


def test_a_seat_is_not_given_twice() -> None:
    task = SettlementTask(128)
    task.call("remove_member", 5)
    refused(task, "128 seats", "add_member", STRANGER.address)
    task.call("add_member", task.keys[5].address)
    assert task.call("active") == 2**128 - 1


def refused(task: SettlementTask, why: str, name: str, *arguments: Any, **how: Any) -> None:
    with pytest.raises(Reverted, match=why):
        task.call(name, *arguments, **how)


def test_nothing_is_brought_that_the_round_does_not_take(task: SettlementTask) -> None:
    task.travel(5)
    began, good = task.standing.time, task.commitment(0, timestamp=task.standing.time)
    refused(task, "current round", "show_commitment", 2, good)
    for stranger in (4, 127, 128, 2**255):
        refused(task, "active member", "show_commitment", 1, (stranger, *good[1:]))
    refused(task, "someone else", "show_commitment", 1, (1, *good[1:]))
    early, late = (task.commitment(0, timestamp=at) for at in (began - 1, task.now + 1))
    refused(task, "before the round", "show_commitment", 1, early)
    refused(task, "in the future", "show_commitment", 1, late)
    task.call("show_commitment", 1, good)
    refused(task, "committed already", "show_commitment", 1, task.commitment(0, 1))
    task.call("show_commitment", 1, task.commitment(1, timestamp=task.now))
    assert task.standing.forced == 0b11

    vote = task.ballot(0, {1: 5})
    refused(task, "current round", "show_ballot", 2, *vote)
    refused(task, "active member", "show_ballot", 1, 4, *vote[1:])
    refused(task, "someone else", "show_ballot", 1, 1, *vote[1:])
    task.call("show_ballot", 1, *task.raw_ballot(1, bytes(MAX_BALLOT_BYTES)))
    with pytest.raises(Reverted):
        task.call("show_ballot", 1, *task.raw_ballot(2, bytes(MAX_BALLOT_BYTES + 1)))
    assert task.standing.forced == 0b11 | 0b10 << 128


def test_who_comes_comes_within_the_windows(task: SettlementTask) -> None:
    commitments = [task.commitment(i) for i in (0, 1)]
    ballots = [task.ballot(i, {2: 5}) for i in (0, 1)]
    task.travel(WINDOW_S)
    task.call("show_commitment", 1, commitments[0])
    task.travel(1)
    refused(task, "not in this phase", "show_commitment", 1, commitments[1])
    task.travel(WINDOW_S - 1)
    task.call("show_ballot", 1, *ballots[0])
    task.travel(1)
    refused(task, "not in this phase", "show_ballot", 1, *ballots[1])


def test_whose_ballot_came_past_the_coordinator_may_come_again_in_the_next_round(
    task: SettlementTask,
) -> None:
    for round_ in (1, 2):
        bundle = task.signed_by(range(4))
        task.call("show_ballot", round_, *bundle.words()[1][0])
        assert task.standing.forced == 1 << 128
        record = task.settle(task.record(bundle))
    doubt(task, record)
    answer(task, record, bundle)
    assert task.events("Upheld")


def test_only_the_coordinator_leads(task: SettlementTask) -> None:
    record, _ = task.play()
    said = 2, record.root, record.winners, record.model, 0, 0, task.standing.time, 0
    for name, arguments in {
        "open_round": [record.model],
        "pause": [],
        "settle": said,
        "add_member": [STRANGER.address],
        "remove_member": [0],
        "release": [],
    }.items():
        refused(task, "coordinator", name, *arguments, sender=STRANGER)
    refused(task, "current round", "settle", 1, *said[1:])
    refused(task, "current round", "settle", 3, *said[1:])
    refused(task, "not the current model", "open_round", record.base)
    refused(task, "deposited already", "open_round", record.model, value=DEPOSIT)


@pytest.mark.parametrize(
    ("committing", "voting", "expected", "end"),
    [
        (3, 3, 0b1111, WINDOW_S),
        (3, 3, 0b0111, 30),
        (4, 3, 0b1111, 2 * WINDOW_S),
        (3, 2, 0b0111, 2 * WINDOW_S),
        (2, 1, 0b1111, 2 * WINDOW_S),
        (1, 0, 0b1111, WINDOW_S),
    ],
)
def test_a_round_is_settled_after_its_end_and_no_earlier(
    committing: int, voting: int, expected: int, end: int
) -> None:
    for late, said in ((0, "Convicted"), (1, "Upheld")):
        task = SettlementTask(quorum=2)
        task.begin()
        whole = task.signed_by(range(committing))
        bundle = Bundle(whole.commitments, whole.ballots[:voting])
        task.travel(end + late)
        record = task.settle(task.record(bundle, expected=expected))
        assert bool(fault(task, record, bundle)) == (late == 0)
        doubt(task, record)
        answer(task, record, bundle)
        assert task.events(said)


def test_an_answer_is_late_after_the_last_second(task: SettlementTask) -> None:
    record, _ = task.play()
    task.travel(CHALLENGE_WINDOW_S)
    doubt(task, record)
    task.travel(CHALLENGE_WINDOW_S)
    refused(task, "answered still", "convict", record.round)
    task.travel(1)
    task.call("convict", record.round)
    refused(task, "nobody doubts", "convict", record.round)
    assert not task.standing.open


@pytest.mark.parametrize(
    ("terms", "value", "why"),
    [
        ((29, 1), 1, "below 30"),
        ((2**32 + 1, 1), 1, "above"),
        ((30, 0), 1, "bond"),
        ((30, 2**128), 1, "bond"),
        ((30, 1), 0, "nothing deposited"),
    ],
)
def test_terms_have_bounds(terms: tuple[int, int], value: int, why: str) -> None:
    with pytest.raises(Reverted, match=why):
        Task(4, contract="PeerSettlement", terms=terms, value=value)


def test_terms_within_their_bounds_are_kept() -> None:
    for window, bond in ((30, 1), (2**32, 2**128 - 1)):
        task = Task(2, contract="PeerSettlement", terms=(window, bond), value=1)
        kept = [task.call(name) for name in ("challenge_window_s", "bond", "deposit")]
        assert kept == [window, bond, 1]


def test_a_bundle_is_the_same_after_it_was_written_down(task: SettlementTask) -> None:
    bundle = task.signed_by(range(4))
    assert Bundle.from_json(bundle.to_json()) == bundle
