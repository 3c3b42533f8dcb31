"""A round from opening to closing: phases, deadlines, quorum, relayed and direct."""

from __future__ import annotations

from hashlib import sha256

import pytest

from bcfl.consensus.spec.domain import Ballot, Phase, bits, members_in
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.consensus.spec.scoring import Borda, tally
from tests.contracts.peer_consensus_task import (
    GENESIS,
    STRANGER,
    WINDOW_S,
    Reverted,
    Task,
    digest_of,
)


def test_a_round_passes_through_its_phases_and_says_so() -> None:
    task = Task(4)
    opened_at = task.now
    task.open()
    state = task.state
    assert (state.round, state.phase, state.expected) == (1, Phase.COMMIT, 0b1111)
    assert state.opened_at == opened_at
    assert state.commit_deadline == state.seal_deadline == opened_at + WINDOW_S
    assert state.ballot_deadline == opened_at + 2 * WINDOW_S
    assert task.events("Opened") == [
        {
            "round": 1,
            "base": GENESIS,
            "expected": 0b1111,
            "commit_deadline": opened_at + WINDOW_S,
            "seal_deadline": opened_at + WINDOW_S,
            "ballot_deadline": opened_at + 2 * WINDOW_S,
        }
    ]
    task.commit([2, 0])
    assert (task.state.phase, task.state.committed) == (Phase.COMMIT, 0b101)
    task.commit([1, 3])
    assert task.state.phase is Phase.BALLOT
    assert [event["member"] for event in task.events("Committed")] == [2, 0, 1, 3]
    assert task.events("Committed")[0] == {
        "round": 1,
        "member": 2,
        "digest": digest_of(2, 1),
        "timestamp": opened_at,
    }
    rows = {i: {j: 10 * j + i for j in range(4) if j != i} for i in range(4)}
    task.vote({0: rows[0], 1: rows[1]})
    assert (task.state.phase, task.state.voted) == (Phase.BALLOT, 0b11)
    task.vote({2: rows[2], 3: rows[3]})
    assert task.state.phase is Phase.SELECTED
    ballots = {i: Ballot.from_values(1, row) for i, row in rows.items()}
    totals = tally(Borda(), ballots, set(range(4)), 4)
    assert task.scores() == [totals[i] for i in range(4)]
    task.select()
    assert (task.state.phase, members_in(task.state.winners)) == (Phase.SELECTED, (2, 3))
    assert task.events("Selected")[0]["winners"] == 0b1100
    model = task.close()
    state = task.state
    assert (state.phase, state.model, state.winners) == (Phase.IDLE, model, 0b1100)
    assert task.events("Closed") == [{"round": 1, "model": model}]
    task.open()
    state = task.state
    assert (state.round, state.committed, state.voted, state.winners) == (2, 0, 0, 0)
    assert task.scores() == [0, 0, 0, 0]


def test_the_end_of_a_round_opens_the_next() -> None:
    task = Task()
    task.open()
    task.commit()
    task.vote_fully()
    for expected, reason in ((1 << 4, "expected someone who is not"), (1 << 200, "not a member")):
        with pytest.raises(Reverted, match=reason):
            task.call("close_round", 1, digest_of(0, 1), expected)
    assert (task.state.phase, task.state.model) == (Phase.SELECTED, GENESIS)
    model = task.close(0b0111)
    state = task.state
    assert (state.round, state.phase, state.model) == (2, Phase.COMMIT, model)
    assert (state.expected, state.committed, state.voted, state.winners) == (0b0111, 0, 0, 0)
    assert (task.logs[-2].name, task.logs[-1].fields["base"]) == ("Closed", model)
    for name in ("commit_deadline", "seal_deadline", "ballot_deadline"):
        assert task.logs[-1].fields[name] == getattr(state, name)
    task.commit()
    task.vote_fully()
    assert task.state.phase is Phase.SELECTED


def test_points_of_the_round_before_do_not_count_again() -> None:
    task = Task(4)
    task.play()
    first = task.scores()
    task.open()
    task.commit()
    task.vote({0: {1: 5, 2: 4, 3: 3}})
    assert task.scores() == [0, 6, 4, 2]
    assert first != task.scores()


def test_opening_needs_the_current_model_and_members_to_expect() -> None:
    task = Task(3)
    for base, expected, reason in [
        (sha256(b"other").digest(), 0b111, "base is not the current model"),
        (GENESIS, 0, "nobody is expected"),
        (GENESIS, 0b1000, "not a member"),
        (GENESIS, 1 << 128, "not a member"),
    ]:
        with pytest.raises(Reverted, match=reason):
            task.call("open_round", base, expected)
    task.play()
    with pytest.raises(Reverted, match="base is not the current model"):
        task.call("open_round", GENESIS, 0b111)


def test_accomplices_who_commit_at_once_do_not_end_the_round_for_the_others() -> None:
    """The coordinator expects its own two and relays them in the block that opens the round."""
    task = Task(6, quorum=2)
    task.open([0, 1])
    assert task.state.commit_deadline == task.now + WINDOW_S
    task.commit([0, 1])
    assert task.state.phase is Phase.COMMIT
    assert task.state.commit_deadline == task.now + LEAST_WINDOW_S
    task.travel(LEAST_WINDOW_S)
    for member in (2, 3, 4):
        task.call("commit_direct", 1, digest_of(member, 1), task.now, sender=task.keys[member])
    assert (task.state.phase, task.state.committed) == (Phase.COMMIT, 0b011111)
    task.travel(1)
    assert task.state.phase is Phase.BALLOT
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("commit_direct", 1, digest_of(5, 1), task.now, sender=task.keys[5])
    # The other deadlines are those that were announced.
    assert task.state.ballot_deadline == task.state.opened_at + 2 * WINDOW_S


def test_once_all_members_have_committed_nobody_is_waited_for() -> None:
    task = Task(4)
    task.open([0])
    task.commit([3, 2, 1])
    assert task.state.phase is Phase.COMMIT
    task.commit([0])
    assert task.state.phase is Phase.BALLOT


def test_who_is_expected_is_waited_for_until_the_deadline() -> None:
    task = Task(4)
    task.open()
    task.commit([0, 1, 2])
    task.travel(LEAST_WINDOW_S + 1)
    assert task.state.phase is Phase.COMMIT
    task.commit([3])
    assert task.state.phase is Phase.BALLOT


def test_a_batch_passes_over_who_has_committed_or_voted_and_keeps_the_first_word() -> None:
    task = Task(3)
    task.open()
    mine = digest_of(0, 1)
    task.call("commit_direct", 1, mine, task.now, sender=task.keys[0])
    batch = [task.commitment(0, version=7), task.commitment(1), task.commitment(1, version=8)]
    task.call("commit", 1, batch)
    assert task.digests() == [(0, mine), (1, digest_of(1, 1))]
    task.commit([2])
    task.call(
        "cast_ballot_direct",
        1,
        Ballot.from_values(1, {1: 1}).encode(),
        bytes(32),
        sender=task.keys[0],
    )
    task.vote({0: {2: 9}, 1: {0: 9}})
    task.call("cast_ballots", 1, [task.ballot(1, {2: 9}), task.ballot(2, {0: 1})])
    assert task.scores() == [4 + 4, 4 + 2, 2 + 2]
    assert task.events("Refused") == [], "whoever is in already is passed over in silence"
    assert [event["member"] for event in task.events("BallotCast")] == [0, 1, 2]


def test_a_second_word_of_ones_own_is_refused() -> None:
    task = Task(3)
    task.open()
    task.call("commit_direct", 1, digest_of(0, 1), task.now, sender=task.keys[0])
    with pytest.raises(Reverted, match="has committed already"):
        task.call("commit_direct", 1, digest_of(0, 1, 1), task.now, sender=task.keys[0])
    task.commit([1, 2])
    task.call("cast_ballot_direct", 1, Ballot(1, ()).encode(), bytes(32), sender=task.keys[0])
    with pytest.raises(Reverted, match="has voted already"):
        task.call("cast_ballot_direct", 1, Ballot(1, ()).encode(), bytes(32), sender=task.keys[0])


def test_direct_calls_are_the_same_as_relayed_ones() -> None:
    relayed, direct = Task(4), Task(4)
    for task in (relayed, direct):
        task.open()
    relayed.commit()
    for i in range(4):
        direct.call("commit_direct", 1, digest_of(i, 1), direct.now, sender=direct.keys[i])
    rows = {i: {j: 7 * j % 5 for j in range(4) if j != i} for i in range(4)}
    relayed.vote(rows)
    for i, row in rows.items():
        entries = Ballot.from_values(1, row).encode()
        direct.call("cast_ballot_direct", 1, entries, bytes(32), sender=direct.keys[i])
    # The seed is another block's.
    logs = [[log for log in task.logs if log.name != "Selected"] for task in (relayed, direct)]
    assert logs[0] == logs[1]
    assert relayed.state.winners == direct.state.winners
    assert relayed.scores() == direct.scores()


def test_of_another_round_nothing_is_taken() -> None:
    task = Task(2)
    task.open()
    task.commit()
    for round_ in (0, 2, 2**64 + 1):
        for name in ("commit", "cast_ballots"):
            with pytest.raises(Reverted, match="not the current round"):
                task.call(name, round_, [])


@pytest.mark.parametrize(
    ("committed", "voted"),
    [([], []), ([0], []), ([0, 1, 2], [0]), ([0, 1, 2], []), ([0, 1, 2, 3], [0, 1])],
    ids=["nobody", "one", "one ballot", "no ballot", "ballots of half"],
)
def test_a_round_below_its_quorum_is_void_and_changes_nothing(
    committed: list[int], voted: list[int]
) -> None:
    task = Task(4, quorum=2)
    task.play()
    model = task.state.model
    task.open()
    if committed:
        task.commit(committed)
    task.travel(WINDOW_S + 1)
    if len(committed) < 2:
        assert task.state.phase is Phase.SELECT, "nothing is left to wait for"
    if voted:
        task.vote({i: {j: 1 for j in committed if j != i} for i in voted})
    task.travel(WINDOW_S)
    task.select()
    state = task.state
    assert (state.phase, state.model, state.winners) == (Phase.IDLE, model, 0)
    assert task.events("Voided") == [
        {"round": 2, "committed": bits(committed), "voted": bits(voted), "abstained": 0}
    ]
    assert len(task.events("Selected")) == 1
    task.play()
    assert (task.state.round, len(task.events("Selected"))) == (3, 2)


def test_whom_nobody_else_could_look_at_does_not_win() -> None:
    task = Task(3)
    task.open()
    task.commit([1])
    task.travel(WINDOW_S + 1)
    task.vote({1: {}})
    task.select()
    assert task.events("Voided") == [
        {"round": 1, "committed": 0b010, "voted": 0b010, "abstained": 0}
    ]


@pytest.mark.parametrize(("raters", "winners"), [(2, 0b010011), (3, 0b100011)])
def test_a_delta_wins_only_if_more_than_half_of_the_others_ballots_rate_it(
    raters: int, winners: int
) -> None:
    task = Task(6)
    task.open()
    task.commit()
    rows = {i: {j: {0: 9, 1: 8}.get(j, 5) for j in range(5) if j != i} for i in range(6)}
    rows[0][5] = rows[1][5] = 99
    rows[5][4] = 6
    if raters == 3:
        rows[2][5] = 0  # last; as if it were left off
    task.vote(rows)
    assert task.scores() == [48, 40, 21, 21, 24, 26]
    task.select()
    assert task.state.winners == winners


def test_if_too_few_are_seen_fewer_win_and_if_none_are_the_round_is_void() -> None:
    task = Task(6)
    for winners in (0b000011, 0):
        task.open()
        task.commit()
        task.vote({i: {j: 5 for j in (0, 1) if j != i and winners} for i in range(6)})
        task.select()
        if winners:
            assert task.state.winners == winners
            task.close()
    assert [event["round"] for event in task.events("Voided")] == [2]
    task.play()
    assert task.state.winners.bit_count() == 3, "who was left unrated before is not any more"


def test_who_abstains_counts_neither_for_the_quorum_nor_among_the_ballots() -> None:
    task = Task(5)
    task.open()
    task.commit()
    everyone = {i: {j: 9 - j for j in range(5) if j != i} for i in range(5)}
    task.vote({0: everyone[0], 1: everyone[1]})
    abstaining = [task.ballot(i, dict.fromkeys((0, 1), 1), missing=[2, 3]) for i in (4,)]
    abstaining += [task.ballot(i, {0: 1}, missing=[1, 4]) for i in (2, 3)]
    task.call("cast_ballots", 1, abstaining)
    assert (task.state.voted, task.state.abstained) == (0b00011, 0b11100)
    assert task.state.phase is Phase.IDLE
    assert task.events("Voided") == [
        {"round": 1, "committed": 0b11111, "voted": 0b00011, "abstained": 0b11100}
    ]


def test_never_all_of_several_win() -> None:
    task = Task(2, kappa_ppm=999_999)
    task.open()
    task.commit()
    task.vote({0: {1: 1}, 1: {0: 1}})
    task.select()
    assert task.state.winners.bit_count() == 1


def test_anybody_may_select_and_the_caller_decides_nothing() -> None:
    task = Task(3)
    task.open()
    task.commit()
    task.vote({0: {1: 2, 2: 1}, 1: {0: 2, 2: 1}})
    task.travel(2 * WINDOW_S + 1)
    task.call("select", sender=STRANGER)
    assert members_in(task.state.winners) == (0, 1)


def test_rounds_of_many_members_fill_several_words() -> None:
    task = Task(40)
    task.open()
    task.commit()
    rows = {i: {j: (j * 7 + i) % 41 for j in range(40) if j != i} for i in range(40)}
    task.vote({i: rows[i] for i in range(20)})
    task.vote({i: rows[i] for i in range(20, 40)})
    ballots = {i: Ballot.from_values(1, row) for i, row in rows.items()}
    totals = tally(Borda(), ballots, set(range(40)), 40)
    assert task.scores() == [totals[i] for i in range(40)]
    assert task.state.voted == 2**40 - 1


def test_more_ballots_than_fit_one_transaction_are_refused() -> None:
    task = Task(2)
    task.open()
    task.commit()
    ballot = task.ballot(0, {})
    task.call("cast_ballots", 1, [ballot] * 64)
    with pytest.raises(Reverted):
        task.call("cast_ballots", 1, [ballot] * 65)
