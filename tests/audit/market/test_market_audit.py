"""The audit of a market's task against a live node, with one key, and over people who lied."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bcfl.audit.command import audit_command
from bcfl.audit.market.audit import audit_market
from bcfl.audit.market.models import check_models
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.keys.accounts import derive_account
from bcfl.market.contract.events import Reported
from bcfl.market.roles.history import history_of
from bcfl.market.spec.report import Reason
from bcfl.market.task_file import MARKET_FILE, read_market_task
from bcfl.store.local import LocalStore
from tests.audit.market.tampering import Gathered, gathered


@pytest.fixture(scope="module")
def honest(sold_task: Path, fused_once: None) -> Gathered:
    return gathered(sold_task)


def test_a_task_is_audited_on_a_live_node(
    sold_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(sold_task / MARKET_FILE, tmp_path)  # as a role's program leaves it
    chain = Path(shutil.copy(sold_task / "chain.jsonl", tmp_path / "another.jsonl"))
    with EmbeddedChain(chain) as node:
        status = audit_command(tmp_path, rpc_url=node.url, blobs=sold_task / "blobs")
    said = capsys.readouterr().out
    assert status == 0, said
    assert "1. submission" in said
    assert "2026-01-01" in said  # the chain's dates
    assert "not checked: the node: it is believed in what the transactions are" in said


def test_without_any_key_what_is_sealed_is_said(honest: Gathered) -> None:
    evidence = replace(honest.evidence, keys=())
    opened = check_models(evidence, history_of(evidence.events), print)
    assert opened.findings == []
    assert opened.examined == 0
    # the fusion layers are made of public samples: anybody makes the fused model anew
    assert [fused.digest for fused in opened.fused.values()] == [
        fused.digest for fused in honest.opened.fused.values()
    ]
    assert {fused.accuracy for fused in opened.fused.values()} == {None}


@pytest.mark.parametrize(
    ("fitness", "reason", "found"),
    [(990_000, Reason.MEASURED, 1), (0, Reason.DUPLICATE, 1), (0, Reason.UNOPENABLE, 0)],
)
def test_a_verifier_that_reported_something_else_is_named(
    fitness: int, reason: Reason, found: int, honest: Gathered
) -> None:
    events = list(honest.evidence.events)
    at = next(i for i, event in enumerate(events) if isinstance(event, Reported))
    liar = events[at]
    assert isinstance(liar, Reported)
    events[at] = replace(liar, fitness=fitness, reason=reason)
    notes: list[str] = []
    opened = check_models(honest.evidence, history_of(events), notes.append)
    assert len(opened.findings) == found
    for finding in opened.findings:
        assert finding.culprit.words() == f"verifier {liar.verifier}"
    assert len(notes) == 1 - found


def test_a_verifiers_own_key_opens_what_it_judged(honest: Gathered) -> None:
    (account,) = [a for a in honest.evidence.keys if a == derive_account(0, "member", 2)]
    opened = check_models(
        replace(honest.evidence, keys=(account,)), history_of(honest.evidence.events), print
    )
    assert opened.findings == []
    assert opened.examined >= 2


def test_a_task_that_was_never_launched_cannot_be_audited(
    sold_task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = read_market_task(sold_task)
    assert told is not None
    replace(told, task=0, statement={}).write(tmp_path)
    assert audit_command(tmp_path) == 2
    assert "was never launched" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"market": 3}'])
def test_a_file_that_names_no_task_is_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / MARKET_FILE).write_text(text)
    assert audit_command(tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_in_the_folder_is_changed(sold_task: Path) -> None:
    before = {path: path.read_bytes() for path in sold_task.rglob("*") if path.is_file()}
    assert audit_market(sold_task, LocalStore(sold_task / "blobs")).holds
    assert {path: path.read_bytes() for path in sold_task.rglob("*") if path.is_file()} == before
