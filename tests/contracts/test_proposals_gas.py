"""What a round costs in which members propose is what the snapshot says."""

from __future__ import annotations

import json

from tests.contracts.proposals_gas import SNAPSHOT, measure


def test_every_figure_is_the_one_in_the_snapshot() -> None:
    assert measure() == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        "run: python -m tests.contracts.proposals_gas"
    )
