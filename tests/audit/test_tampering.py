"""Every kind of tampering that is listed is caught, and the right one is named, alone."""

from __future__ import annotations

import shutil
from functools import cache, partial
from pathlib import Path

import pytest

from bcfl.audit.audit import audit_run
from bcfl.audit.evidence import Evidence
from tests.audit import dishonest_runs, lying_nodes, spoilt_folders
from tests.audit.tampering import TAMPERINGS, Case, Tampering, gathered

assert lying_nodes
assert spoilt_folders


class Runs:
    """Finished runs by name, played once and read once."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders

    @cache  # noqa: B019 - lives as long as the module's tests
    def folder(self, name: str) -> Path:
        path = self._folders.mktemp(name.replace(" ", "-")) / "run"
        return dishonest_runs.RUNS[name](path)

    @cache  # noqa: B019
    def evidence(self, name: str) -> Evidence:
        return gathered(self.folder(name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory)


def test_eighty_kinds_are_listed() -> None:
    assert len({tampering.name for tampering in TAMPERINGS}) == len(TAMPERINGS) >= 80


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_tampering_is_caught_and_the_culprit_named(
    tampering: Tampering, runs: Runs, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(runs.folder(tampering.run), tmp_path / "run"))
    case = Case(copy, partial(runs.evidence, tampering.run))
    tampering.spoil(case)
    audit = case.audit()
    assert not audit.holds
    named = {str(finding.culprit) for finding in audit.findings}
    assert named == {tampering.culprit}, [finding.words() for finding in audit.findings]


def test_the_server_is_told_what_it_aggregated_instead(runs: Runs) -> None:
    (finding,) = audit_run(runs.folder("aggregates all")).findings
    assert "made of all that were committed" in finding.found
