"""What the strategy never does but the contract allows: members come, go, cheat and pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bcfl.audit.audit import audit_run
from bcfl.audit.history import _of_one_batch
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import BallotCast, Closed, Committed
from bcfl.consensus.spec.aggregation import aggregate
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.domain import members_in
from bcfl.core.model import model_digest
from tests.audit.by_hand import MODEL, RULES, Task, delta
from tests.audit.tampering import member_key


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EmbeddedChain]:
    with EmbeddedChain(tmp_path / "chain.jsonl") as running:
        yield running


def test_members_come_and_go_and_an_equivocator_wins_nothing(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    task = Task(chain, tmp_path, members=3)
    ledger = task.ledger
    ledger.remove_member(1)
    ledger.add_member(member_key(3).address)
    ledger.add_member(member_key(1).address)
    ledger.open_round(model_digest(MODEL), 0b1111)
    deltas = {member: delta(member + 1.0) for member in range(4)}
    commitments = [task.commitment(member, one) for member, one in deltas.items()]
    signed = task.signed()
    for commitment in commitments:
        signed.keep_commitment(commitment, {})
    ledger.commit(commitments)
    ledger.prove_equivocation(commitments[2], task.commitment(2, delta(9.0)))
    values = {0: 5, 1: 6, 2: 7, 3: 4}
    ballots = [task.ballot(m, {j: v for j, v in values.items() if j != m}) for m in range(4)]
    for ballot in ballots:
        signed.keep_ballot(ballot, {})
    ledger.cast_ballots(ballots)
    winners = members_in(ledger.state().winners)
    assert winners == (0, 1)
    clipped = clip(deltas, RULES.clip)
    new = aggregate(MODEL["w"], {m: clipped[m] for m in winners}, RULES.combination)
    ledger.close_round(1, model_digest({"w": new}))
    chain.stop()

    audit = audit_run(tmp_path)
    assert [(f.kind, str(f.culprit)) for f in audit.findings] == [("equivocation", "member 2")]
    assert audit.recomputed == {1}


def test_a_task_with_a_stake_and_a_void_round(chain: EmbeddedChain, tmp_path: Path) -> None:
    task = Task(chain, tmp_path, members=0, stake=1000)
    members = [task.joined(member) for member in range(3)]
    members[1].leave()
    task.ledger.open_round(model_digest(MODEL), 0b101)
    task.ledger.wait_until(task.ledger.state().commit_deadline)
    task.ledger.select()
    members[2].leave()
    chain.stop()

    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.rounds) == 1


def test_a_task_without_a_round(chain: EmbeddedChain, tmp_path: Path) -> None:
    Task(chain, tmp_path, members=2)
    chain.stop()
    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert audit.rounds == []


def test_a_seat_that_is_anothers_now_accuses_neither(chain: EmbeddedChain, tmp_path: Path) -> None:
    task = Task(chain, tmp_path, members=128)
    task.play([0, 1, 5])
    task.ledger.remove_member(5)
    task.ledger.add_member(member_key(200).address)
    task.keys[5] = member_key(200)
    task.play([0, 1, 5])
    chain.stop()

    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert [audit.addresses(round_)[5] for round_ in (1, 2)] == [
        member_key(5).address,
        member_key(200).address,
    ]
    assert audit.recomputed == {1, 2}


def test_what_was_refused_in_a_members_name_says_nothing_of_it(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    task = Task(chain, tmp_path, members=3)
    task.ledger.open_round(model_digest(MODEL), 0b111)
    of_another = replace(task.commitment(1, delta(1.0)), member=2)
    stranger = task.stranger()
    stranger.commit([of_another])
    huge = replace(of_another)
    object.__setattr__(huge, "member", 255)
    stranger.commit([huge])
    chain.stop()

    audit = audit_run(tmp_path)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.notes) == 3, audit.notes
    for note, reason in zip(audit.notes, ("SIGNATURE", "NOT_A_MEMBER"), strict=False):
        assert f"the contract refused what {member_key(9).address} sent" in note
        assert reason in note
        assert "says nothing of that member" in note


def test_an_equivocator_is_named_by_the_address_that_signed(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    task = Task(chain, tmp_path, members=0, stake=1000)
    for member in range(4):
        task.joined(member)
    task.ledger.open_round(model_digest(MODEL), 0b1111)
    one, other = task.commitment(3, delta(1.0)), task.commitment(3, delta(2.0))
    task.ledger.prove_equivocation(one, other)
    chain.stop()

    (finding,) = audit_run(tmp_path).findings
    assert (finding.kind, str(finding.culprit)) == ("equivocation", "member 3")


def test_two_events_share_a_place_where_one_batch_says_both_alone() -> None:
    one = BallotCast("0x1", 2, 3, 4, 1, 0, b"")
    assert _of_one_batch(one, replace(one, member=1))
    for other in (replace(one, transaction="0x2"), replace(one, log_index=2)):
        assert not _of_one_batch(one, other)
    assert not _of_one_batch(one, Committed("0x1", 2, 3, 4, 1, 0, bytes(32), 4))
    closed = Closed("0x1", 2, 3, 4, 1, bytes(32))
    assert not _of_one_batch(closed, closed)
