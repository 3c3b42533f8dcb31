"""An honest task holds; every kind of tampering is caught, and the right one is named, alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bcfl.audit.market.audit import audit_evidence
from tests.audit.market import spoilt
from tests.audit.market.tampering import TAMPERINGS, Case, Gathered, Tampering, gathered, measure

assert spoilt


@pytest.fixture(scope="module")
def honest(sold_task: Path) -> Gathered:
    return gathered(sold_task)


def test_an_honest_task_holds(honest: Gathered) -> None:
    audit = audit_evidence(honest.evidence, measure)
    assert audit.findings == []
    assert audit.notes == []
    assert (audit.examined, len(audit.fused)) == (4, 2)
    assert "4 of 4 reports, by measuring again" in audit.checked


def test_many_kinds_are_listed() -> None:
    assert len({tampering.name for tampering in TAMPERINGS}) == len(TAMPERINGS) >= 100


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_tampering_is_caught_and_the_culprit_named(
    tampering: Tampering, honest: Gathered, sold_task: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sold_task, tmp_path / "run"))
    case = Case(folder, honest)
    tampering.spoil(case)
    audit = case.audit()
    assert not audit.holds
    named = {str(finding.culprit) for finding in audit.findings}
    assert named == {tampering.culprit}, [finding.words() for finding in audit.findings]
