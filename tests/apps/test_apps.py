"""Two of the apps of ``make apps``: one with a handler and a strategy of its own, and sklearn's."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.serverapp.strategy import FedAvg

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower import InProcessGrid
from tests.apps.small import APPS

CLIENTS = 3


@pytest.mark.parametrize("name", ["several train functions", "scikit-learn"])
def test_an_app_runs_plain_and_adopted(name: str, tmp_path: Path) -> None:
    client, server = APPS[name]
    _, plain = server(InProcessGrid(client([]), CLIENTS), FedAvg)
    records: list[RoundRecord] = []
    _, adopted = server(
        InProcessGrid(client([peer_consensus_mod]), CLIENTS),
        PeerConsensus,
        run_dir=tmp_path,
        on_round=records.append,
    )
    assert [record.voted for record in records] == [(0, 1, 2)] * 3
    assert not any(record.left_out for record in records)
    assert adopted > plain - 0.15 > 0.7
