"""What a submission costs, from receipts, against the figures that are committed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.market_gas import SNAPSHOT, measure

#: From publication to payment, with five verifiers. 35,000 of it open the measuring samples.
BUDGET = 920_000


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return measure()


def test_gas_is_what_the_snapshot_says(measured: dict[str, Any]) -> None:
    committed = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert measured == committed, (
        "the contract's gas has changed; if that is meant, run "
        "`python -m tests.contracts.market_gas` and commit the new figures"
    )


@pytest.mark.parametrize(
    "case", ["submission, 5 verifiers", "submission, 5 verifiers, after another"]
)
def test_a_submission_with_five_verifiers_stays_within_the_budget(
    measured: dict[str, Any], case: str
) -> None:
    gas = measured[case]
    assert len(gas["seal"]) == len(gas["reveal"]) == 5
    assert gas["all"] <= BUDGET
