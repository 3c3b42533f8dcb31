"""What a ballot must be, open and sealed; and what a bad one gets."""

from __future__ import annotations

import pytest

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


#: Ballots of member 0 among 9, of whom the last has not committed.
BAD_BALLOTS = {
    "ascending": (entry(1, 5) + entry(2, 6), "values are not in descending order"),
    "ascending in the last place of seven": (
        b"".join(entry(j, 9) for j in range(1, 7)) + entry(7, 10),
        "values are not in descending order",
    ),
    "ascending by 2**31": (entry(1, 0) + entry(2, 2**32 - 1), "values are not in descending"),
    "for oneself": (entry(1, 5) + entry(0, 4), "nobody rates itself"),
    "somebody twice": (entry(1, 5) + entry(2, 4) + entry(1, 3), "rates someone twice"),
    "somebody twice, tied": (entry(1, 5) + entry(1, 5), "rates someone twice"),
    "somebody six times, tied": (entry(1, 5) * 6, "rates someone twice"),
    "somebody who has not committed": (entry(1, 5) + entry(8, 4), "who has not committed"),
    "an index without member": (entry(15, 5), "who has not committed"),
    "an index beyond the lanes in use": (entry(16, 5), "someone unknown"),
    "an index beyond, where the lanes wrap": (entry(1, 6) + entry(17, 5), "someone unknown"),
    "index 127": (entry(127, 5), "someone unknown"),
    "index 128": (entry(128, 5), "members are 0 to 127"),
    "index 255 in the second place": (entry(1, 6) + entry(255, 5), "members are 0 to 127"),
    "a byte short": ((entry(1, 6) + entry(2, 5))[:-1], "5 bytes each"),
    "a byte long": (entry(1, 6) + b"\0", "5 bytes each"),
    "more entries than others": (
        b"".join(entry(j, 9) for j in range(9)),
        "more entries than other members",
    ),
}


@pytest.mark.parametrize("direct", [False, True], ids=["relayed", "direct"])
@pytest.mark.parametrize(("entries", "reason"), BAD_BALLOTS.values(), ids=BAD_BALLOTS.keys())
def test_a_bad_ballot_is_refused(entries: bytes, reason: str, direct: bool) -> None:
    task = voting()
    name = "cast_ballots"
    arguments: list[object] = [[task.raw_ballot(0, entries)]]
    if direct:
        name, arguments = "cast_ballot_direct", [entries, bytes(32)]
    with pytest.raises(Reverted, match=reason):
        task.call(name, 1, *arguments, sender=task.keys[0])
    assert task.state.voted == 0
    assert task.scores() == [0] * 9
    task.vote({0: {1: 5, 2: 4}})


@pytest.mark.parametrize(("entries", "reason"), BAD_BALLOTS.values(), ids=BAD_BALLOTS.keys())
def test_a_bad_ballot_is_refused_among_several_words_of_members(
    entries: bytes, reason: str
) -> None:
    task = Task(33)
    task.open()
    task.commit([*range(8), 32])
    task.travel(WINDOW_S + 1)
    if "more entries" in reason:
        entries = b"".join(entry(j, 9) for j in range(33))
    if "unknown" in reason:
        reason = "unknown|has not committed"
    with pytest.raises(Reverted, match=reason):
        task.call("cast_ballots", 1, [task.raw_ballot(0, entries)])


def test_a_ballot_longer_than_any_is_refused_before_it_is_read() -> None:
    task = voting()
    with pytest.raises(Reverted):
        task.call("cast_ballots", 1, [task.raw_ballot(0, b"\0" * 640)])


def test_one_bad_ballot_takes_no_other_with_it_on_chain() -> None:
    task = voting()
    good, bad = task.ballot(1, {0: 1}), task.raw_ballot(0, entry(1, 5) + entry(2, 6))
    with pytest.raises(Reverted, match="descending"):
        task.call("cast_ballots", 1, [good, bad])
    assert task.state.voted == 0
    task.call("cast_ballots", 1, [good])
    assert task.state.voted == 0b10


def test_who_has_not_committed_does_not_vote() -> None:
    task = voting()
    with pytest.raises(Reverted, match="has not committed"):
        task.vote({8: {0: 1}})
    with pytest.raises(Reverted, match="has not committed"):
        task.call("cast_ballot_direct", 1, entry(0, 1), bytes(32), sender=task.keys[8])
    for member in (9, 127, 128, 300, 2**256 - 1):
        with pytest.raises(Reverted, match="has not committed"):
            task.call("cast_ballots", 1, [(member, *task.ballot(0, {1: 1})[1:])])
    with pytest.raises(Reverted, match="membership: not a member"):
        task.call("cast_ballot_direct", 1, entry(0, 1), bytes(32), sender=STRANGER)


def test_an_empty_ballot_rejects_everybody_and_counts_as_a_vote() -> None:
    task = voting(4)
    task.vote({0: {}, 1: {}})
    assert task.state.voted == 0b11
    assert task.scores() == [0] * 4


def test_equal_values_share_their_points() -> None:
    task = Task(6)
    task.open()
    task.commit()
    task.vote({0: {1: 7, 2: 5, 3: 5, 4: 5, 5: 1}})
    # Doubled: 2 m - 2 for the first, the mean of the places 2 to 4, 2 m - 10 for the last.
    assert task.scores() == [0, 10, 6, 6, 6, 2]
