"""Sealed ballots: promised by hash before any is shown, so that none can be copied."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Ballot, Phase
from tests.contracts.peer_consensus_keys import revealed, salt, seal_of
from tests.contracts.peer_consensus_task import STRANGER, WINDOW_S, Reverted, Task, words_of


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
    assert state.seal_deadline == state.opened_at + 2 * WINDOW_S
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
    assert task.state.phase is Phase.SELECTED
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
    batch = [pairs[2][1], pairs[0][1]]
    assert task.refused("cast_ballots", 1, batch) == [(2, Refusal.NOT_SEALED)]
    assert task.state.voted == 0b0001
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_SEALED)):
        task.call("cast_ballot_direct", 1, pairs[2][1][3], salt(2), sender=task.keys[2])
    task.call("cast_ballots", 1, [pairs[0][1], pairs[1][1]])
    assert task.state.phase is not Phase.BALLOT


def test_too_few_seals_make_a_round_void_at_once() -> None:
    task = Task(4, sealed=True, quorum=2)
    task.open()
    task.commit()
    task.call("seal", 1, [task.sealed_ballot(0, ROWS[0])[0]])
    task.travel(2 * WINDOW_S + 1)
    assert task.state.phase is Phase.SELECT
    task.select()
    assert task.events("Voided") == [{"round": 1, "committed": 0b1111, "voted": 0, "abstained": 0}]


def test_a_seal_is_kept_to_the_letter() -> None:
    task = sealing()
    pairs = [task.sealed_ballot(i, ROWS[i]) for i in range(4)]
    task.call("seal", 1, [seal for seal, _ in pairs])
    other = Ballot.from_values(1, ROWS[0] | {3: 0}).encode()
    batch = [
        revealed(0, other, salt(0)),
        revealed(0, pairs[0][1][3], salt(0, "other")),
        revealed(0, b"", salt(0)),
        pairs[1][1],
    ]
    assert task.refused("cast_ballots", 1, batch) == [(0, Refusal.NOT_THE_SEALED)] * 3
    assert task.state.voted == 0b0010
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_THE_SEALED)):
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
    batch = [
        task.sealed_ballot(3, {0: 1})[0],
        (2**256 - 1, *first[1:]),
        (1, *first[1:]),
        task.sealed_ballot(2, {0: 1})[0],
    ]
    assert task.refused("seal", 1, batch) == [
        (3, Refusal.NOT_COMMITTED),
        (2**256 - 1, Refusal.NOT_COMMITTED),
        (1, Refusal.SIGNATURE),
    ]
    assert task.state.sealed == 0b0101
    with pytest.raises(Reverted, match="has not committed"):
        task.call("seal_direct", 1, first[1], sender=task.keys[3])


def test_a_reviewer_who_copies_a_seal_can_never_show_it() -> None:
    task = sealing()
    honest = [task.sealed_ballot(i, {}) for i in range(3)]
    task.call("seal", 1, [seal for seal, _ in honest])
    copied = honest[0][0][1]
    task.call("seal_direct", 1, copied, sender=task.keys[3])
    task.call("cast_ballots", 1, [ballot for _, ballot in honest])
    # Member 0's ballot and salt are public now; its entries would be good for member 3, too.
    shown = revealed(3, b"", salt(0))
    assert task.refused("cast_ballots", 1, [shown]) == [(3, Refusal.SALT)]
    with pytest.raises(Reverted, match=words_of(Refusal.SALT)):
        task.call("cast_ballot_direct", 1, b"", salt(0), sender=task.keys[3])
    with pytest.raises(Reverted, match=words_of(Refusal.NOT_THE_SEALED)):
        task.call("cast_ballot_direct", 1, Ballot(1, ()).encode(), salt(3), sender=task.keys[3])
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
    assert task.refused("cast_ballots", 2, [pairs[0][1]]) == [(0, Refusal.NOT_SEALED)]


def test_where_ballots_are_open_nothing_is_sealed() -> None:
    task = Task(3)
    task.open()
    task.commit()
    with pytest.raises(Reverted, match="not in this phase"):
        task.call("seal", 1, [])


def test_a_salt_on_an_open_ballot_costs_the_others_nothing() -> None:
    task = Task(3)
    task.open()
    task.commit()
    odd = revealed(1, Ballot.from_values(1, {0: 1, 2: 1}).encode(), salt(1))
    batch = [task.ballot(0, {1: 1, 2: 2}), odd, task.ballot(2, {0: 1, 1: 1})]
    assert task.refused("cast_ballots", 1, batch) == [(1, Refusal.SIGNATURE)]
    assert task.state.voted == 0b101
