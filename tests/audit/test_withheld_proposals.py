"""Where members propose: a delta that most could not look at within a proposal, the server hid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.audit.audit import Audit, audit_run
from bcfl.audit.findings import Finding
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.rules import Rules
from tests.audit.by_hand import RULES, Task
from tests.audit.tampering import member_key

COALITION = replace(RULES, rule="coalition")
REFEREE = replace(RULES, rule="referee", reference=64 * "0")
ALIKE = dict.fromkeys(range(5), (0, 1, 2))
APART = {0: {0, 1, 2}, 1: {0, 1, 2}, 2: {0, 2, 3}, 3: {0, 3, 4}, 4: {2, 3, 4}}
ONE_HOLDS_TWO_MORE = {0: {0, 1, 2}, **dict.fromkeys((1, 2, 3, 4), (0, 3, 4))}
FROM_MOST = {reviewer: {1} for reviewer in (2, 3, 4)}


def audited(folder: Path, rules: Rules, *rounds: dict[str, Any]) -> Audit:
    with EmbeddedChain(folder / "chain.jsonl") as chain:
        task = Task(chain, folder, members=5, rules=rules)
        for each in rounds:
            task.play_proposals(**each)
    return audit_run(folder)


@pytest.fixture(scope="module")
def coalition(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Five rounds, audited once."""
    return audited(
        tmp_path_factory.mktemp("coalition"),
        COALITION,
        {"proposals": APART, "lost": FROM_MOST},
        {"proposals": ONE_HOLDS_TWO_MORE, "lost": FROM_MOST},
        {"proposals": ALIKE, "lost": {4: {1}}},
        {"proposals": ALIKE, "lost": {}, "invalid": {m: {0} for m in (1, 2, 3, 4)}},
        {"proposals": ALIKE, "lost": {}, "relayed": (1, 2, 3, 4)},
    )


@pytest.fixture(scope="module")
def referee(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("referee")
    return audited(folder, REFEREE, {"proposals": APART, "lost": FROM_MOST})


def only(audit: Audit, number: int) -> Finding:
    (finding,) = (finding for finding in audit.findings if finding.round == number)
    assert str(finding.culprit) == "server"
    return finding


def noted(audit: Audit, number: int) -> list[str]:
    return [note for note in audit.notes if note.startswith(f"chain round {number}: ")]


def name(*members: int) -> str:
    named = ", ".join(f"{member} ({member_key(member).address})" for member in members)
    return f"member{'s' * (len(members) > 1)} {named}"


def test_a_delta_that_was_hidden_from_most_is_named_by_what_they_rate(coalition: Audit) -> None:
    """Two proposals hold it; what reviewers rate of the others leaves no other one."""
    expect_named(coalition)


def test_before_the_referee_it_is_named_as_well(referee: Audit) -> None:
    """Its proposer rates its own, too."""
    expect_named(referee)


def expect_named(audit: Audit) -> None:
    assert audit.rounds[0].abstained.keys() == {2, 3, 4}
    finding = only(audit, 1)
    assert finding.kind == "withheld"
    assert finding.expected.startswith(f"the delta of {name(1)}, in the store as committed")
    assert finding.found == f"3 of 5 who have not seen it: {name(2, 3, 4)}"
    for reviewer in (2, 3, 4):
        assert (
            f"chain round 1: {name(reviewer)} could not rate the proposals of {name(0, 1)}, as "
            f"the delta of {name(1)} never reached it; did not vote, as it missed more than a "
            "quarter"
        ) in audit.notes


def test_which_of_several_was_hidden_is_left_open_where_nothing_tells(coalition: Audit) -> None:
    finding = only(coalition, 2)
    assert finding.kind == "withheld"
    assert finding.expected.startswith(f"one of the deltas of {name(1, 2)}, in the store")


def test_what_few_missed_is_noted_and_accuses_nobody(coalition: Audit) -> None:
    assert not [finding for finding in coalition.findings if finding.round == 3]
    (note,) = noted(coalition, 3)
    assert f"as one of the deltas of {name(0, 1, 2)} never reached it" in note


def test_what_most_call_invalid_accuses_nobody(coalition: Audit) -> None:
    """The bytes had the digest on chain: what is wrong with them no server has done."""
    assert not [finding for finding in coalition.findings if finding.round == 4]
    assert [f"the proposals of {name(0)} are no good ones" in n for n in noted(coalition, 4)] == [
        True
    ] * 4


def test_a_proposal_that_was_given_before_others_and_left_out_is_named(coalition: Audit) -> None:
    finding = only(coalition, 5)
    assert finding.kind == "left out"
    assert finding.expected.startswith("member 0's signed proposal of journal.jsonl")


def test_what_the_store_has_lost_is_the_stores_doing(tmp_path: Path) -> None:
    hidden = {member: {1} for member in (0, 2, 3, 4)}
    audited(tmp_path, COALITION, {"proposals": dict.fromkeys(range(5), (1, 2, 3)), "lost": hidden})
    journal = (tmp_path / "journal.jsonl").read_text().splitlines()
    digest = next(e for e in map(json.loads, journal) if e["member"] == 1)["digest"]
    (tmp_path / "blobs" / digest[:2] / digest).unlink()
    audit = audit_run(tmp_path)
    assert {(f.kind, str(f.culprit)) for f in audit.findings} == {("blob", "store")}
    assert any("whether it ever was there is not seen" in note for note in audit.notes)
