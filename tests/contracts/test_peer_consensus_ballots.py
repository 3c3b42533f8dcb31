"""What a ballot must be, open and sealed; and what a bad one gets."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Ballot
from tests.contracts.peer_consensus_task import STRANGER, WINDOW_S, Reverted, Task


def entry(member: int, value: int) -> bytes:
    return member.to_bytes(1, "big") + value.to_bytes(4, "big")


def voting(members: int = 9, **rules: object) -> Task:
    """A task in which all but the last have committed, and ballots are taken."""
    task = Task(members, **rules)  # type: ignore[arg-type]
    task.open()
    task.commit(range(members - 1))
    task.travel(WINDOW_S + 1)
    return task


def sets(missing: int = 0, invalid: int = 0) -> bytes:
    return missing.to_bytes(16, "big") + invalid.to_bytes(16, "big")


#: Ballots of member 0 among 9, of whom the last has not committed.
BAD_BALLOTS = {
    "ascending": (entry(1, 5) + entry(2, 6), Refusal.ORDER),
    "ascending in the last place of seven": (
        b"".join(entry(j, 9) for j in range(1, 7)) + entry(7, 10),
        Refusal.ORDER,
    ),
    "ascending by 2**31": (entry(1, 0) + entry(2, 2**32 - 1), Refusal.ORDER),
    "for oneself": (entry(1, 5) + entry(0, 4), Refusal.STRANGER),
    "somebody twice": (entry(1, 5) + entry(2, 4) + entry(1, 3), Refusal.TWICE),
    "somebody twice, tied": (entry(1, 5) + entry(1, 5), Refusal.TWICE),
    "somebody six times, tied": (entry(1, 5) * 6, Refusal.TWICE),
    "somebody who has not committed": (entry(1, 5) + entry(8, 4), Refusal.STRANGER),
    "an index without member": (entry(15, 5), Refusal.STRANGER),
    "an index beyond the lanes in use": (entry(16, 5), Refusal.TWICE),
    "an index beyond, where the lanes wrap": (entry(1, 6) + entry(17, 5), Refusal.TWICE),
    "index 127": (entry(127, 5), Refusal.TWICE),
    "index 128": (entry(128, 5), Refusal.STRANGER),
    "index 255 in the second place": (entry(1, 6) + entry(255, 5), Refusal.STRANGER),
    "a byte short": ((entry(1, 6) + entry(2, 5))[:-1], Refusal.LENGTH),
    "a byte long": (entry(1, 6) + b"\0", Refusal.LENGTH),
    "two bytes": (b"\1\0", Refusal.LENGTH),
    "two bytes long, less than the sets": (entry(1, 6) * 5 + b"\0\1", Refusal.LENGTH),
    "more entries than others": (b"".join(entry(j, 9) for j in range(9)), Refusal.TOO_MANY),
    "empty sets": (entry(1, 6) + sets(), Refusal.UNRATED),
    "oneself missing": (entry(1, 6) + sets(missing=1), Refusal.UNRATED),
    "oneself invalid": (entry(1, 6) + sets(invalid=1), Refusal.UNRATED),
    "the rated missing": (entry(1, 6) + sets(missing=2), Refusal.UNRATED),
    "the rated invalid": (entry(1, 6) + sets(invalid=2), Refusal.UNRATED),
    "missing and invalid": (sets(missing=4, invalid=4), Refusal.UNRATED),
    "a stranger missing": (entry(1, 6) + sets(missing=1 << 8), Refusal.UNRATED),
    "index 127 missing": (entry(1, 6) + sets(missing=1 << 127), Refusal.UNRATED),
    "index 127 invalid": (entry(1, 6) + sets(invalid=1 << 127), Refusal.UNRATED),
    "sets, and entries that ascend": (entry(1, 1) + entry(2, 2) + sets(missing=8), Refusal.ORDER),
}
WORDS = {
    Refusal.ORDER: "borda: not in descending order",
    Refusal.TWICE: "borda: rates someone twice",
    Refusal.STRANGER: "borda: rates self or a stranger",
    Refusal.LENGTH: "borda: not of 5 bytes an entry",
    Refusal.TOO_MANY: "borda: more entries than others",
    Refusal.UNRATED: "borda: wrong sets of unrated",
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
    with pytest.raises(Reverted, match=WORDS[reason]):
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
    if reason is Refusal.TOO_MANY:
        entries = b"".join(entry(j, 9) for j in range(33))
    ((member, found),) = task.refused("cast_ballots", 1, [task.raw_ballot(0, entries)])
    assert member == 0
    assert found is reason or {found, reason} <= {Refusal.TWICE, Refusal.STRANGER}


def test_a_ballot_longer_than_any_is_refused_before_it_is_read() -> None:
    task = voting()
    with pytest.raises(Reverted):
        task.call("cast_ballots", 1, [task.raw_ballot(0, b"\0" * 673)])


def test_whatever_a_client_can_write_is_refused_with_a_reason() -> None:
    task = voting()
    longest = Ballot.from_values(1, dict.fromkeys(range(128), 0)).encode() + sets(missing=1)
    assert task.refused("cast_ballots", 1, [task.raw_ballot(0, longest)]) == [(0, Refusal.TOO_MANY)]


def test_who_has_not_committed_does_not_vote() -> None:
    task = voting()
    batch = [task.ballot(8, {0: 1})]
    batch += [(m, *task.ballot(0, {1: 1})[1:]) for m in (9, 127, 128, 300, 2**256 - 1)]
    assert task.refused("cast_ballots", 1, batch) == [
        (one[0], Refusal.NOT_COMMITTED) for one in batch
    ]
    assert task.state.voted == 0
    with pytest.raises(Reverted, match="has not committed"):
        task.call("cast_ballot_direct", 1, entry(0, 1), bytes(32), sender=task.keys[8])
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("cast_ballot_direct", 1, entry(0, 1), bytes(32), sender=STRANGER)


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
    assert task.state.phase.name == "SELECT", "an abstainer is not waited for"
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
