"""What a ballot must be, open and sealed; and what a bad one gets."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Ballot
from tests.contracts.peer_consensus_keys import raw, sets
from tests.contracts.peer_consensus_task import STRANGER, WINDOW_S, Reverted, Task, words_of


def voting(members: int = 9, **rules: object) -> Task:
    """A task in which all but the last have committed, and ballots are taken."""
    task = Task(members, **rules)  # type: ignore[arg-type]
    task.open()
    task.commit(range(members - 1))
    task.travel(WINDOW_S + 1)
    return task


GOOD = raw({1: 0, 2: 1}, gaps=[1])
#: Ballots of member 0 among 9, of whom the last has not committed.
BAD_BALLOTS = {
    "for oneself": (raw({1: 0, 0: 1}, gaps=[1]), Refusal.STRANGER),
    "two at a place, and one at the next": (raw({1: 0, 2: 0, 3: 1}, gaps=[1]), Refusal.PLACES),
    "three at the place of two": (raw({1: 0, 2: 0, 3: 0, 4: 2}, gaps=[1]), Refusal.PLACES),
    "two at the place of three": (raw({1: 0, 2: 0, 3: 3, 4: 3}, gaps=[1]), Refusal.PLACES),
    "two at the place of one": (
        raw({1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 5}, gaps=[1, 1, 1]),
        Refusal.PLACES,
    ),
    "a place left out": (raw({1: 0, 2: 2}, gaps=[1]), Refusal.PLACES),
    "nobody at the first place": (raw({1: 1}), Refusal.PLACES),
    "two where nobody is first": (raw({1: 1, 2: 1}), Refusal.PLACES),
    "place 127": (raw({1: 127}), Refusal.PLACES),
    "place 128": (raw({1: 0, 2: 128}, gaps=[1]), Refusal.LENGTH),
    "place 254 beside the first": (raw({1: 254, 2: 0}), Refusal.PLACES),
    "somebody who has not committed": (raw({1: 0, 8: 1}, gaps=[1]), Refusal.STRANGER),
    "an index without member": (raw({15: 0}), Refusal.STRANGER),
    "an index beyond the lanes in use": (raw({16: 0}), Refusal.LENGTH),
    "an index beyond, where the lanes wrap": (raw({1: 0, 17: 1}, gaps=[1]), Refusal.LENGTH),
    "index 127": (raw({127: 0}), Refusal.LENGTH),
    "more than 128 listed": (raw({1: 0}, listed=129), Refusal.LENGTH),
    "more listed than need be": (raw({1: 0}, listed=3), Refusal.LENGTH),
    "nobody, listed": (b"\xff\1\1", Refusal.LENGTH),
    "nothing": (b"", Refusal.LENGTH),
    "a byte": (b"\0", Refusal.LENGTH),
    "a byte short": (GOOD[:-3] + GOOD[-2:], Refusal.LENGTH),
    "a byte long": (b"\xff" + GOOD, Refusal.LENGTH),
    "more listed than there are bytes": (b"\1\3", Refusal.LENGTH),
    "a gap too many": (raw({1: 0}, gaps=[1]), Refusal.LENGTH),
    "a gap for each of two with one value": (raw({1: 0, 2: 0}, gaps=[1]), Refusal.LENGTH),
    "gaps of no bytes": (GOOD[:-3] + b"\0\3", Refusal.LENGTH),
    "gaps of five bytes": (raw({1: 0, 2: 1}, gaps=[2**33], width=5), Refusal.LENGTH),
    "no gaps, of two bytes": (raw({1: 0}, width=2), Refusal.LENGTH),
    "nobody, and gaps of two bytes": (b"\2\0", Refusal.LENGTH),
    "sets that are not there": (raw({1: 0}, behind=bytes(31)), Refusal.LENGTH),
    "empty sets": (raw({1: 0}, behind=sets()), Refusal.UNRATED),
    "oneself missing": (raw({1: 0}, behind=sets(missing=1)), Refusal.UNRATED),
    "oneself invalid": (raw({1: 0}, behind=sets(invalid=1)), Refusal.UNRATED),
    "the rated missing": (raw({1: 0}, behind=sets(missing=2)), Refusal.UNRATED),
    "the rated invalid": (raw({1: 0}, behind=sets(invalid=2)), Refusal.UNRATED),
    "missing and invalid": (raw({1: 0}, behind=sets(missing=4, invalid=4)), Refusal.UNRATED),
    "a stranger missing": (raw({1: 0}, behind=sets(missing=1 << 8)), Refusal.UNRATED),
    "index 127 missing": (raw({1: 0}, behind=sets(missing=1 << 127)), Refusal.UNRATED),
    "index 127 invalid": (raw({1: 0}, behind=sets(invalid=1 << 127)), Refusal.UNRATED),
    "sets, and gaps longer than need be": (
        raw({1: 0, 2: 1}, 1, [2], 2, sets(missing=8)),
        Refusal.LENGTH,
    ),
}


@pytest.mark.parametrize(("entries", "reason"), BAD_BALLOTS.values(), ids=BAD_BALLOTS.keys())
def test_a_bad_ballot_is_refused_alone(entries: bytes, reason: Refusal) -> None:
    task = voting()
    batch = [task.ballot(1, {0: 1}), task.raw_ballot(0, entries), task.ballot(2, {0: 1})]
    assert task.refused("cast_ballots", 1, batch) == [(0, reason)]
    assert task.state.voted == 0b110
    good = voting()
    good.vote({1: {0: 1}, 2: {0: 1}})
    assert task.scores() == good.scores()
    with pytest.raises(Reverted, match=words_of(reason)):
        task.call("cast_ballot_direct", 1, entries, bytes(32), sender=task.keys[0])
    task.vote({0: {1: 5, 2: 4}})
    assert task.state.voted == 0b111


@pytest.mark.parametrize(("entries", "reason"), BAD_BALLOTS.values(), ids=BAD_BALLOTS.keys())
def test_a_bad_ballot_is_refused_among_several_words_of_members(
    entries: bytes, reason: Refusal
) -> None:
    task = Task(33)
    task.open()
    task.commit([*range(8), 32])
    task.travel(WINDOW_S + 1)
    ((member, found),) = task.refused("cast_ballots", 1, [task.raw_ballot(0, entries)])
    assert member == 0
    assert found is reason or {found, reason} <= {Refusal.LENGTH, Refusal.STRANGER}


def test_a_ballot_longer_than_any_is_refused_before_it_is_read() -> None:
    task = voting()
    with pytest.raises(Reverted):
        task.call("cast_ballots", 1, [task.raw_ballot(0, b"\0" * 675)])


def test_whatever_a_client_can_write_is_refused_with_a_reason() -> None:
    task = voting()
    longest = raw({j: j for j in range(128)}, 2**31, [2**16] * 127, 4, sets(missing=1))
    assert task.refused("cast_ballots", 1, [task.raw_ballot(0, longest)]) == [(0, Refusal.LENGTH)]


def test_who_has_not_committed_does_not_vote() -> None:
    task = voting()
    batch = [task.ballot(8, {0: 1})]
    batch += [(m, *task.ballot(0, {1: 1})[1:]) for m in (9, 127, 128, 255)]
    assert task.refused("cast_ballots", 1, batch) == [
        (one[0], Refusal.NOT_COMMITTED) for one in batch
    ]
    assert task.state.voted == 0
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_COMMITTED)):
        task.call("cast_ballot_direct", 1, GOOD, bytes(32), sender=task.keys[8])
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("cast_ballot_direct", 1, GOOD, bytes(32), sender=STRANGER)


def test_an_empty_ballot_counts_as_a_vote_and_rates_all_alike() -> None:
    task = voting(4)
    task.vote({0: {}, 1: {}})
    assert task.state.voted == 0b11
    # Three committed, so that two others share the places 1 and 2 of 4: 2 m - 3 each.
    assert task.scores() == [5, 5, 10, 0]


def test_who_is_missing_invalid_or_left_out_shares_the_last_places() -> None:
    scores = []
    for extra in ({}, {"missing": [3]}, {"invalid": [3]}, {"missing": [3], "invalid": [4]}):
        task = Task(6)
        task.open()
        task.commit()
        task.call("cast_ballots", 1, [task.ballot(0, {1: 9, 2: 8}, **extra)])  # type: ignore[arg-type]
        scores.append(task.scores())
    # Of the places 3 to 5 of 6: 12 - 8 each.
    assert scores == [[0, 10, 8, 4, 4, 4]] * 4


def test_leaving_the_honest_off_the_ballot_is_no_better_than_ranking_them_last() -> None:
    """Three liars of ten who rate only each other: they get as much as by ranking the rest last."""
    totals = []
    for lazy in (True, False):
        task = Task(10)
        task.open()
        task.commit()
        honest = {i: {j: 10 - j for j in range(10) if j != i} for i in range(7)}
        liars = {
            i: {j: 99 if j > 6 else 10 - j for j in range(10) if j != i and (j > 6 or not lazy)}
            for i in (7, 8, 9)
        }
        task.vote(honest | liars)
        totals.append(task.scores()[7:])
        task.select()
        assert task.state.winners == 0b11111
    assert totals[0] == totals[1]


def test_a_reviewer_who_misses_too_much_abstains_by_name() -> None:
    task = Task(10, quorum=2)
    task.open()
    task.commit()
    row = {j: 20 - j for j in range(1, 10)}
    batch = [
        task.ballot(0, {j: row[j] for j in row if j > 3}, missing=[1, 2, 3]),
        task.ballot(1, dict.fromkeys(range(4, 10), 5), missing=[0, 2], invalid=[3]),
    ]
    task.call("cast_ballots", 1, batch)
    assert task.events("Abstained") == [{"round": 1, "member": 0, "missing": 0b1110}]
    state = task.state
    assert (state.voted, state.abstained) == (0b10, 0b01)
    assert task.scores()[0] == 20 - 16, "missing on the other ballot; its own gives no points"
    # It has said what it had to say.
    assert task.refused("cast_ballots", 1, [task.ballot(0, row)]) == []
    entries = Ballot.from_values(1, row).encode()
    with pytest.raises(Reverted, match="has voted already"):
        task.call("cast_ballot_direct", 1, entries, bytes(32), sender=task.keys[0])
    assert (task.state.voted, task.state.abstained) == (0b10, 0b01)
    task.vote({i: {j: 9 for j in range(10) if j != i} for i in range(2, 10)})
    assert task.state.phase.name == "SELECTED", "an abstainer is not waited for"
    task.select()
    task.close()
    task.open()
    assert (task.state.voted, task.state.abstained) == (0, 0)


def test_abstaining_directly_is_the_same() -> None:
    task = Task(5)
    task.open()
    task.commit()
    entries = Ballot.from_values(1, {1: 9}, missing=[2, 3]).encode()
    task.call("cast_ballot_direct", 1, entries, bytes(32), sender=task.keys[0])
    assert task.state.abstained == 1
    assert task.scores() == [0] * 5
    one = Ballot.from_values(1, {0: 9, 2: 1}, missing=[3], invalid=[4]).encode()
    task.call("cast_ballot_direct", 1, one, bytes(32), sender=task.keys[1])
    assert (task.state.abstained, task.state.voted) == (0b01, 0b10)


def test_equal_values_share_their_points() -> None:
    task = Task(6)
    task.open()
    task.commit()
    task.vote({0: {1: 7, 2: 5, 3: 5, 4: 5, 5: 1}})
    # Doubled: 2 m - 2 for the first, the mean of the places 2 to 4, 2 m - 10 for the last.
    assert task.scores() == [0, 10, 6, 6, 6, 2]
