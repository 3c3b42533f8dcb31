"""What a ballot must be, open and sealed; and what a bad one gets."""

from __future__ import annotations

import pytest

from bcfl.core.domain import Ballot, Phase
from tests.contracts.peer_consensus_keys import revealed, salt, seal_of
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


# -- sealed -----------------------------------------------------------------------------------


def sealing(members: int = 4) -> Task:
    """A task with sealed ballots in which everybody has committed."""
    task = Task(members, sealed=True)
    task.open()
    task.commit()
    return task


ROWS = {i: {j: 10 * j + i for j in range(4) if j != i} for i in range(4)}


def test_sealed_ballots_are_shown_only_once_all_are_in() -> None:
    task = sealing()
    state = task.state
    assert state.phase is Phase.SEAL
    assert state.seal_deadline == state.commit_deadline + WINDOW_S
    assert state.ballot_deadline == state.seal_deadline + WINDOW_S
    pairs = [task.sealed_ballot(i, ROWS[i]) for i in range(4)]
    task.call("seal", 1, [seal for seal, _ in pairs[:3]])
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("cast_ballots", 1, [ballot for _, ballot in pairs[:3]])
    task.call("seal_direct", 1, pairs[3][0][1], sender=task.keys[3])
    assert (task.state.phase, task.state.sealed) == (Phase.BALLOT, 0b1111)
    assert [event["seal"] for event in task.events("Sealed")] == [seal[1] for seal, _ in pairs]
    task.call("cast_ballots", 1, [ballot for _, ballot in pairs[:3]], sender=STRANGER)
    entries = Ballot.from_values(1, ROWS[3]).encode()
    task.call("cast_ballot_direct", 1, entries, salt(3), sender=task.keys[3])
    assert task.state.phase is Phase.SELECT
    open_task = Task(4)
    open_task.open()
    open_task.commit()
    open_task.vote(ROWS)
    assert task.scores() == open_task.scores()


def test_who_did_not_seal_has_no_vote_and_is_not_waited_for() -> None:
    task = sealing()
    pairs = [task.sealed_ballot(i, ROWS[i]) for i in range(4)]
    task.call("seal", 1, [pairs[0][0], pairs[1][0]])
    assert task.state.phase is Phase.SEAL
    task.travel(2 * WINDOW_S + 1)
    with pytest.raises(Reverted, match="has not sealed"):
        task.call("cast_ballots", 1, [pairs[2][1]])
    with pytest.raises(Reverted, match="has not sealed"):
        task.call("cast_ballot_direct", 1, pairs[2][1][3], salt(2), sender=task.keys[2])
    task.call("cast_ballots", 1, [pairs[0][1], pairs[1][1]])
    assert task.state.phase.name == "SELECT"


def test_too_few_seals_make_a_round_void_at_once() -> None:
    task = Task(4, sealed=True, quorum=2)
    task.open()
    task.commit()
    task.call("seal", 1, [task.sealed_ballot(0, ROWS[0])[0]])
    task.travel(2 * WINDOW_S + 1)
    assert task.state.phase is Phase.SELECT
    task.select()
    assert task.events("Voided") == [{"round": 1, "committed": 0b1111, "voted": 0}]


def test_a_seal_is_kept_to_the_letter() -> None:
    task = sealing()
    pairs = [task.sealed_ballot(i, ROWS[i]) for i in range(4)]
    task.call("seal", 1, [seal for seal, _ in pairs])
    other = Ballot.from_values(1, ROWS[0] | {3: 0}).encode()
    for ballot in [
        revealed(0, other, salt(0)),
        revealed(0, pairs[0][1][3], salt(0, "other")),
        revealed(0, b"", salt(0)),
    ]:
        with pytest.raises(Reverted, match="not what was sealed"):
            task.call("cast_ballots", 1, [ballot])
    with pytest.raises(Reverted, match="not what was sealed"):
        task.call("cast_ballot_direct", 1, other, salt(0), sender=task.keys[0])


def test_a_seal_comes_once_and_from_who_has_committed() -> None:
    task = Task(4, sealed=True)
    task.open()
    task.commit([0, 1, 2])
    task.travel(WINDOW_S + 1)
    first, second = task.sealed_ballot(0, {1: 1})[0], task.sealed_ballot(0, {2: 1})[0]
    task.call("seal", 1, [first])
    task.call("seal", 1, [second])
    assert [event["seal"] for event in task.events("Sealed")] == [first[1]]
    with pytest.raises(Reverted, match="has sealed already"):
        task.call("seal_direct", 1, second[1], sender=task.keys[0])
    with pytest.raises(Reverted, match="has not committed"):
        task.call("seal", 1, [task.sealed_ballot(3, {0: 1})[0]])
    with pytest.raises(Reverted, match="has not committed"):
        task.call("seal_direct", 1, first[1], sender=task.keys[3])
    with pytest.raises(Reverted, match="signed by someone else"):
        task.call("seal", 1, [(1, *first[1:])])


def test_a_reviewer_who_copies_a_seal_can_never_show_it() -> None:
    task = sealing()
    honest = [task.sealed_ballot(i, {}) for i in range(3)]
    task.call("seal", 1, [seal for seal, _ in honest])
    copied = honest[0][0][1]
    task.call("seal_direct", 1, copied, sender=task.keys[3])
    task.call("cast_ballots", 1, [ballot for _, ballot in honest])
    # Member 0's ballot and salt are public now; its entries would be good for member 3, too.
    with pytest.raises(Reverted, match="the salt does not end in the member's index"):
        task.call("cast_ballot_direct", 1, b"", salt(0), sender=task.keys[3])
    with pytest.raises(Reverted, match="not what was sealed"):
        task.call("cast_ballot_direct", 1, b"", salt(3), sender=task.keys[3])
    assert task.state.voted == 0b0111


def test_a_reviewer_who_waits_to_copy_comes_too_late() -> None:
    task = sealing()
    honest = [task.sealed_ballot(i, ROWS[i]) for i in range(3)]
    task.call("seal", 1, [seal for seal, _ in honest])
    task.travel(2 * WINDOW_S + 1)
    task.call("cast_ballots", 1, [honest[0][1]])
    shown = task.events("BallotCast")[0]["entries"]
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("seal_direct", 1, seal_of(shown, salt(3)), sender=task.keys[3])


def test_seals_of_the_round_before_are_not_this_rounds() -> None:
    task = sealing()
    pairs = [task.sealed_ballot(i, ROWS[i]) for i in range(4)]
    task.call("seal", 1, [seal for seal, _ in pairs])
    task.call("cast_ballots", 1, [ballot for _, ballot in pairs])
    task.select()
    task.close()
    task.open()
    task.commit()
    assert (task.state.phase, task.state.sealed) == (Phase.SEAL, 0)
    task.call("seal", 2, [task.sealed_ballot(1, ROWS[1])[0]])
    task.travel(2 * WINDOW_S + 1)
    with pytest.raises(Reverted, match="has not sealed"):
        task.call("cast_ballots", 2, [pairs[0][1]])


def test_where_ballots_are_open_nothing_is_sealed() -> None:
    task = voting(3)
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("seal", 1, [])
