"""Error feedback: what was left out comes back, in part, and no void round is counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.audit.audit import audit_run
from bcfl.consensus.member.unsent import Unsent
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.model import Arrays
from bcfl.flower.grid import InProcessGrid
from tests import toy


@pytest.fixture
def context() -> Context:
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})


def unsent(context: Context, base: int, contract: str = "0xA", share: float = 0.5) -> Unsent:
    """In a round of a task whose θ_g has this digest."""
    membership: Any = SimpleNamespace(
        rules=SimpleNamespace(error_feedback=share),
        ledger=SimpleNamespace(domain=SimpleNamespace(contract=contract)),
        state=SimpleNamespace(model=bytes([base]) * 32),
    )
    return Unsent(context, membership)


def model(*values: float) -> Arrays:
    return {"w": np.float32(values), "steps": np.array([7])}


def weights(arrays: Arrays) -> list[float]:
    assert arrays["w"].dtype == np.float32
    assert arrays["steps"].tolist() == [7]
    found: list[float] = arrays["w"].tolist()
    return found


def test_a_share_of_what_was_left_out_is_added_to_the_next(context: Context) -> None:
    assert weights(unsent(context, 1).added_to(model(1, 2))) == [1, 2]
    unsent(context, 1).keep(model(1, 2), model(1, 0))
    assert weights(unsent(context, 2).added_to(model(10, 10))) == [10, 11]
    unsent(context, 2).keep(model(10, 11), model(8, 11))
    assert weights(unsent(context, 3).added_to(model(0, 0))) == [1, 0]
    assert weights(unsent(context, 3).added_to(model(0, 0))) == [1, 0], "asked again"


def test_a_void_round_has_not_been(context: Context) -> None:
    unsent(context, 1).keep(model(4, 0), model(0, 0))
    unsent(context, 2).keep(model(2, 6), model(0, 0))
    assert weights(unsent(context, 2).added_to(model(0, 0))) == [2, 0], "as round 1 left it"
    unsent(context, 2).keep(model(2, 8), model(0, 0))
    assert weights(unsent(context, 2).added_to(model(0, 0))) == [2, 0]
    assert weights(unsent(context, 3).added_to(model(0, 0))) == [1, 4]


def test_the_first_round_was_void(context: Context) -> None:
    unsent(context, 1).keep(model(4, 0), model(0, 0))
    assert weights(unsent(context, 1).added_to(model(0, 0))) == [0, 0]


def test_another_task_begins_without(context: Context) -> None:
    unsent(context, 1).keep(model(4, 0), model(0, 0))
    unsent(context, 2).keep(model(4, 0), model(0, 0))
    assert weights(unsent(context, 3, "0xB").added_to(model(0, 0))) == [0, 0]
    unsent(context, 3, "0xB").keep(model(0, 2), model(0, 0))
    assert weights(unsent(context, 3, "0xB").added_to(model(0, 0))) == [0, 0], "void there"
    assert weights(unsent(context, 4, "0xB").added_to(model(0, 0))) == [0, 1]


def test_without_the_rule_nothing_is_added(context: Context) -> None:
    unsent(context, 1).keep(model(4, 0), model(0, 0))
    assert weights(unsent(context, 2, share=0).added_to(model(0, 0))) == [0, 0]


def play(folder: Path, **rules: Any) -> tuple[bytes, list[RoundRecord]]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder, gamma=0.2, warmup_rounds=0, on_round=records.append, **rules
    )
    strategy.start(InProcessGrid(toy.client_app([peer_consensus_mod]), 3), toy.initial_arrays(), 2)
    return records[-1].model, records


def test_everybody_counts_with_the_values_that_were_sent(tmp_path: Path) -> None:
    """Members, who sign the same ballots of them, the server, and an audit."""
    short = {"values": "ternary", "error_feedback": 0.5}
    found, records = play(tmp_path / "a", **short)
    assert not any(record.rejected for record in records)
    report = audit_run(tmp_path / "a")
    assert not report.findings
    assert report.recomputed == {1, 2}
    assert found != play(tmp_path / "b", values="ternary")[0]
