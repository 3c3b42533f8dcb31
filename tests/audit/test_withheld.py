"""Whose deltas reviewers did not see is said by name; what most did not see, the server hid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.audit.audit import Audit, audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import Voided
from bcfl.core.model import model_digest
from tests.audit.by_hand import Task, delta
from tests.audit.tampering import member_key


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Task]:
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        yield Task(chain, tmp_path, members=5)


def audited(task: Task) -> Audit:
    task.chain.stop()
    return audit_run(task.folder.path)


def withheld(audit: Audit) -> list[str]:
    assert {(f.kind, str(f.culprit)) for f in audit.findings} <= {("withheld", "server")}
    return [finding.expected for finding in audit.findings]


def test_a_server_that_shows_only_what_it_likes_gets_no_round_and_is_named(task: Task) -> None:
    shown = {0, 3, 4}
    task.play(range(5), {reviewer: {1, 2} - {reviewer} for reviewer in range(5)})
    audit = audited(task)
    (round_,) = audit.rounds
    assert isinstance(round_.outcome, Voided)
    assert round_.abstained.keys() == shown
    of_one, of_two = withheld(audit)
    assert member_key(1).address in of_one
    assert member_key(2).address in of_two
    names = f"members 1 ({member_key(1).address}), 2 ({member_key(2).address})"
    for reviewer in shown:
        who = f"member {reviewer} ({member_key(reviewer).address})"
        assert (
            f"chain round 1: {who} said that the deltas of {names} never reached it; "
            "did not vote, as it missed more than a quarter"
        ) in audit.notes


def test_one_hidden_from_all_cannot_win_and_the_server_is_named(task: Task) -> None:
    task.play(range(5), {reviewer: {0} for reviewer in range(1, 5)})
    audit = audited(task)
    assert len(withheld(audit)) == 1
    assert "4 of 4 who have not seen it" in audit.findings[0].found
    assert 0 not in audit.rounds[0].winners
    assert audit.rounds[0].winners


def test_saying_nothing_of_a_delta_is_as_missing_it(task: Task) -> None:
    task.play(range(5), silent={reviewer: {0} for reviewer in range(1, 5)})
    audit = audited(task)
    assert len(withheld(audit)) == 1
    assert f"said nothing of the deltas of member 0 ({member_key(0).address})" in audit.notes[0]


@pytest.mark.parametrize("reviewers", [{3}, {2, 3}])
def test_what_few_missed_is_noted_and_accuses_nobody(task: Task, reviewers: set[int]) -> None:
    task.play(range(5), {reviewer: {0} for reviewer in reviewers})
    audit = audited(task)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert sum("never reached it" in note for note in audit.notes) == len(reviewers)


def test_who_commits_what_no_app_can_evaluate_frames_no_server(task: Task) -> None:
    """All call it invalid, and it lies in the store: the bytes had the digest on chain."""
    task.play(range(5), invalid={reviewer: {0} for reviewer in range(1, 5)})
    audit = audited(task)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert sum("are no good ones" in note for note in audit.notes) == 4


def test_a_reviewer_of_one_other_proves_nothing(task: Task) -> None:
    task.ledger.remove_member(4)
    task.play((0, 1), {0: {1}})
    audit = audited(task)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert isinstance(audit.rounds[0].outcome, Voided)


def test_what_the_store_has_lost_is_the_stores_doing(task: Task) -> None:
    task.play(range(5), {reviewer: {0} for reviewer in range(1, 5)})
    digest = next(iter(task.folder.journal))["digest"]
    (task.store.folder / digest[:2] / digest).unlink()
    audit = audited(task)
    assert {(f.kind, str(f.culprit)) for f in audit.findings} == {("blob", "store")}
    assert any("whether it ever was there is not seen" in note for note in audit.notes)


def test_what_was_committed_directly_the_server_may_never_have_had(task: Task) -> None:
    ledger = task.ledger
    ledger.open_round(model_digest(task.model), 0b11111)
    commitments = [task.commitment(member, delta(member + 1.0)) for member in range(5)]
    for one in commitments[1:]:
        task.signed().keep_commitment(one, {})
    own = task.chain.connect(member_key(0))
    task.chain.fund(member_key(0).address, 10**18)
    type(ledger).attach(own, ledger.domain.contract).commit_direct(commitments[0])
    ledger.commit(commitments[1:])
    values = {1: 5, 2: 4, 3: 3, 4: 2}
    ballots = [
        task.ballot(m, {j: v for j, v in values.items() if j != m}, missing={0} - {m})
        for m in range(5)
    ]
    for ballot in ballots:
        task.signed().keep_ballot(ballot, {})
    ledger.cast_ballots(ballots)
    audit = audited(task)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert any("committed directly" in note for note in audit.notes)


def test_a_spoilt_signature_in_a_members_name_is_the_servers_doing(task: Task) -> None:
    task.play(range(5), spoil={1: 64 * b"\1" + b"\x1b"})
    audit = audited(task)
    assert [(f.kind, str(f.culprit)) for f in audit.findings] == [("spoilt", "server")]
