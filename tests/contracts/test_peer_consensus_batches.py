"""Batches as whoever relays them packs them: what is in them counts, and nothing beside."""

from __future__ import annotations

import pytest

from bcfl.consensus.contract.batches import pack_ballots, pack_commitments
from tests.contracts.peer_consensus_task import Reverted, Task, digest_of


def test_of_two_entries_in_one_name_that_counts_which_its_member_signed() -> None:
    task = Task(3)
    task.open()
    good, other, third = task.commitment(0), task.commitment(0, version=1), task.commitment(1)
    forged = (0, good[1], other[2], *good[3:])
    task.call("commit", 1, [forged, good, third, other])
    assert task.digests() == [(0, digest_of(0, 1)), (1, digest_of(1, 1))]
    assert task.state.committed == 0b011


@pytest.mark.parametrize("damage", [b"", b"\0", bytes(38), bytes(114)])
def test_a_batch_without_a_signature_for_each_costs_whoever_sent_it_its_gas(damage: bytes) -> None:
    task = Task(3)
    task.open()
    batch, signatures = pack_commitments([task.commitment(i) for i in range(3)])  # type: ignore[misc]
    with pytest.raises(Reverted, match="consensus: not a batch"):
        task.call("commit", 1, batch + damage if damage else batch[:-1], signatures)
    task.call("commit", 1, batch, signatures)
    ballots, proofs = pack_ballots([task.ballot(i, {(i + 1) % 3: 9}) for i in range(3)])  # type: ignore[misc]
    for bad in (ballots[:-1], ballots + damage + b"\0"):
        with pytest.raises(Reverted):
            task.call("cast_ballots", 1, bad, proofs)
    with pytest.raises(Reverted, match="consensus: not a batch"):
        task.call("cast_ballots", 1, ballots, proofs[:-1])
    task.call("cast_ballots", 1, ballots, proofs)
    assert [event["member"] for event in task.events("BallotCast")] == [0, 1, 2]
