"""Nothing is taken in anybody's name but by its key, and for this round of this task alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Ballot, TypedDataDomain
from tests.contracts.peer_consensus_keys import Signing, Words, account
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    STRANGER,
    WINDOW_S,
    Task,
    digest_of,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LOW_255_BITS = 2**255 - 1


def malleable(r: int, vs: int) -> tuple[int, int]:
    """The other signature of the same words, n − s with v flipped, as far as s fits in."""
    s, v = vs & LOW_255_BITS, vs >> 255
    return r, (ORDER - s) & LOW_255_BITS | (1 - v) << 255


#: What is done to the words (r, vs).
DAMAGE: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "malleable": malleable,
    "s just above n / 2": lambda r, vs: (r, ORDER // 2 + 1),
    "s as large as it gets": lambda r, vs: (r, LOW_255_BITS),
    "s = n, cut": lambda r, vs: (r, ORDER & LOW_255_BITS),
    "no signature": lambda r, vs: (0, 0),
    "r = 0": lambda r, vs: (0, vs),
    "s = 0": lambda r, vs: (r, vs >> 255 << 255),
    "r = n": lambda r, vs: (ORDER, vs),
    "v flipped": lambda r, vs: (r, vs ^ 1 << 255),
    "a bit of s flipped": lambda r, vs: (r, vs ^ 1),
    "a bit of r flipped": lambda r, vs: (r ^ 1, vs),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_signature_is_refused_alone(
    damage: Callable[[int, int], tuple[int, int]],
) -> None:
    task = Task(3)
    task.open()
    *rest, r, vs = task.commitment(0)
    batch = [task.commitment(1), (*rest, *damage(r, vs)), task.commitment(2)]
    assert task.refused("commit", 1, batch) == [(0, Refusal.SIGNATURE)]
    assert task.state.committed == 0b110
    task.commit([0])
    member, r, vs, entries = task.ballot(0, {1: 1, 2: 1})
    batch = [(member, *damage(r, vs), entries), task.ballot(1, {0: 1, 2: 1})]
    assert task.refused("cast_ballots", 1, batch) == [(0, Refusal.SIGNATURE)]
    assert task.state.voted == 0b010

    task = Task(3, sealed=True)
    task.open()
    task.commit()
    *rest, r, vs = task.sealed_ballot(0, {1: 1})[0]
    batch = [(*rest, *damage(r, vs)), task.sealed_ballot(1, {0: 1})[0]]
    assert task.refused("seal", 1, batch) == [(0, Refusal.SIGNATURE)]
    assert task.state.sealed == 0b010


def test_of_a_signature_there_is_one_form() -> None:
    """The other signature of the same words, s in the upper half, is nobody's."""
    task = Task(2)
    task.open()
    *rest, r, vs = task.commitment(0)
    low = min(vs & LOW_255_BITS, ORDER - (vs & LOW_255_BITS))
    assert low == vs & LOW_255_BITS
    high = (ORDER - low, 1 - (vs >> 255))
    if high[0] <= LOW_255_BITS:
        twin = high[0] | high[1] << 255
        assert task.refused("commit", 1, [(*rest, r, twin)]) == [(0, Refusal.SIGNATURE)]
    assert task.refused("commit", 1, [(*rest, r, vs)]) == []


def foreign(task: Task) -> list[TypedDataDomain]:
    """Domains that are not this task's."""
    domain = task.signing.domain
    return [
        replace(domain, chain_id=domain.chain_id + 1),
        replace(domain, contract=account(77).address),
    ]


def test_what_was_signed_for_another_chain_or_contract_is_worth_nothing() -> None:
    task = Task(2)
    task.open()
    for domain in foreign(task):
        words = Signing(domain).commitment(0, task.keys[0], task.unsigned(0))
        assert task.refused("commit", 1, [words]) == [(words[0], Refusal.SIGNATURE)]
    task.commit()
    for domain in foreign(task):
        words = Signing(domain).ballot(0, task.keys[0], Ballot.from_values(1, {1: 1}))
        assert task.refused("cast_ballots", 1, [words]) == [(words[0], Refusal.SIGNATURE)]


def test_after_a_split_of_the_chain_its_new_id_counts() -> None:
    task = Task(2)
    task.open()
    old = task.commitment(0)
    chain_id = task.signing.domain.chain_id + 1
    task.env.evm.patch.chain_id = chain_id
    assert task.refused("commit", 1, [old]) == [(0, Refusal.SIGNATURE)]
    new = Signing(TypedDataDomain(chain_id, task.address))
    task.call("commit", 1, [new.commitment(0, task.keys[0], task.unsigned(0))])


def test_what_was_signed_for_another_round_or_model_is_worth_nothing() -> None:
    task = Task(2)
    task.open()
    commitment, ballot = task.commitment(0), None
    task.commit()
    ballot = task.ballot(0, {1: 1})
    task.vote_fully()
    task.select()
    task.close()
    task.open()
    task.travel(1)
    late = (0, task.now, *commitment[2:])
    for words in [
        late,
        task.commitment(0, round=1),
        task.commitment(0, round=3),
        task.commitment(0, base=sha256(b"another model").digest()),
    ]:
        assert task.refused("commit", 2, [words]) == [(0, Refusal.SIGNATURE)]
    task.commit()
    for words in [ballot, task.ballot(0, {1: 1}, round_=3)]:
        assert task.refused("cast_ballots", 2, [words]) == [(0, Refusal.SIGNATURE)]


def test_no_field_can_be_changed_after_signing() -> None:
    task = Task(3)
    task.open()
    task.travel(5)
    member, timestamp, digest, r, vs = task.commitment(0)
    for words in [
        (1, timestamp, digest, r, vs),
        (member, timestamp - 1, digest, r, vs),
        (member, timestamp, digest_of(1, 1), r, vs),
    ]:
        assert task.refused("commit", 1, [words]) == [(words[0], Refusal.SIGNATURE)]
    task.commit()
    member, r, vs, _ = task.ballot(0, {1: 2, 2: 1})
    for changed in [
        (1, r, vs, Ballot.from_values(1, {0: 1}).encode()),
        (member, r, vs, Ballot.from_values(1, {1: 2}).encode()),
        (member, r, vs, Ballot.from_values(1, {1: 2, 2: 2}).encode()),
    ]:
        assert task.refused("cast_ballots", 1, [changed]) == [(changed[0], Refusal.SIGNATURE)]


@pytest.mark.parametrize("forger", ["coordinator", "member", "stranger"])
def test_nobody_signs_for_another(forger: str) -> None:
    task = Task(3)
    key = {"coordinator": account(1000), "member": task.keys[1], "stranger": STRANGER}[forger]
    task.open()
    words = task.signing.commitment(0, key, task.unsigned(0))
    assert task.refused("commit", 1, [words], sender=COORDINATOR) == [(0, Refusal.SIGNATURE)]
    task.commit()
    ballot = task.signing.ballot(0, key, Ballot.from_values(1, {1: 1}))
    assert task.refused("cast_ballots", 1, [ballot], sender=COORDINATOR) == [(0, Refusal.SIGNATURE)]


@pytest.mark.parametrize("member", [2, 127, 128, 255])
def test_an_index_without_member_is_nobody(member: int) -> None:
    task = Task(2)
    task.open()
    _, *rest = task.commitment(0)
    batch = [(member, *rest), task.commitment(1)]
    assert task.refused("commit", 1, batch) == [(member, Refusal.NOT_A_MEMBER)]
    assert task.state.committed == 0b10


def test_the_order_within_a_batch_changes_nothing_but_the_order_of_events() -> None:
    def play(reverse: bool) -> Task:
        task = Task(5)
        task.open()
        step = -1 if reverse else 1
        batch: list[Words] = [task.commitment(i) for i in range(5)]
        task.call("commit", 1, (batch + batch[:2])[::step])
        rows = {i: {j: (3 * j + i) % 4 for j in range(5) if j != i} for i in range(5)}
        ballots = [task.ballot(i, row) for i, row in rows.items()]
        task.call("cast_ballots", 1, (ballots + ballots[3:])[::step])
        task.select()
        return task

    forth, back = play(False), play(True)
    assert forth.scores() == back.scores()
    assert forth.state.winners == back.state.winners
    assert forth.state == back.state


def test_a_coordinator_can_leave_out_but_the_left_out_can_come_directly() -> None:
    task = Task(3)
    task.open()
    task.commit([0, 1])
    task.call("commit_direct", 1, digest_of(2, 1), task.now, sender=task.keys[2])
    entries = Ballot.from_values(1, {0: 2, 1: 1}).encode()
    task.call("cast_ballot_direct", 1, entries, bytes(32), sender=task.keys[2])
    task.vote({0: {1: 1, 2: 2}})
    task.travel(2 * WINDOW_S + 1)
    task.select()
    assert task.events("Selected")
