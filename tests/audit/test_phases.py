"""The phase is what the contract's clock and sets make it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bcfl.audit.evidence import Terms
from bcfl.audit.phases import Progress, phase_at
from bcfl.consensus.spec.domain import Phase, TypedDataDomain

OPEN = Terms(TypedDataDomain(1, "0x"), "0x", b"", 500_000, 2, 10, 20, False, 0)
SEALED = replace(OPEN, sealed=True)


LONG = replace(OPEN, commit_window_s=100, ballot_window_s=100)


def progress(committed: int = 0, sealed: int = 0, voted: int = 0) -> Progress:
    return Progress(100, 0b111, committed, sealed, voted, everybody=committed == 0b111)


@pytest.mark.parametrize(
    ("of", "at", "terms", "phase"),
    [
        (progress(), 110, OPEN, Phase.COMMIT),
        (progress(0b011), 110, OPEN, Phase.COMMIT),
        (progress(0b111), 100, OPEN, Phase.BALLOT),
        (progress(0b011), 111, OPEN, Phase.BALLOT),
        (progress(0b001), 111, OPEN, Phase.SELECT),  # below the quorum
        (progress(0b1011), 110, OPEN, Phase.COMMIT),  # one who was not expected does not count
        (progress(0b111, voted=0b011), 130, OPEN, Phase.BALLOT),
        (progress(0b111, voted=0b111), 101, OPEN, Phase.SELECT),
        (progress(0b111, voted=0b011), 131, OPEN, Phase.SELECT),
        (progress(0b111), 130, SEALED, Phase.SEAL),
        (progress(0b001), 111, SEALED, Phase.SELECT),
        (progress(0b111, 0b111), 101, SEALED, Phase.BALLOT),
        (progress(0b111, 0b011), 131, SEALED, Phase.BALLOT),
        (progress(0b111, 0b001), 131, SEALED, Phase.SELECT),
        (progress(0b111, 0b011, 0b011), 131, SEALED, Phase.SELECT),
        (progress(0b111, 0b111, 0b011), 151, SEALED, Phase.SELECT),
        # Those who were expected have committed, and somebody else may come within thirty seconds.
        (replace(progress(0b111), everybody=False), 130, LONG, Phase.COMMIT),
        (replace(progress(0b111), everybody=False), 131, LONG, Phase.BALLOT),
        (replace(progress(0b011), everybody=False), 200, LONG, Phase.COMMIT),
        (None, 1, OPEN, Phase.IDLE),
        (replace(progress(0b111), selected=True), 999, OPEN, Phase.SELECTED),
        (replace(progress(0b111), selected=True, ended=True), 999, OPEN, Phase.IDLE),
    ],
)
def test_phase(of: Progress | None, at: int, terms: Terms, phase: Phase) -> None:
    assert phase_at(of, at, terms) is phase
