"""The same mod and strategy around torch, scikit-learn, NumPy and a ``NumPyClient``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ModelError
from bcfl.flower.grid import InProcessGrid
from tests.dropin import frameworks
from tests.dropin.frameworks import FRAMEWORKS

CLIENTS = 3


def play(
    tmp_path: Path, app: ClientApp, arrays: ArrayRecord, **options: Any
) -> tuple[Any, list[RoundRecord]]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path / "run", chain=MemoryChain(), on_round=records.append, **options
    )
    return strategy.start(InProcessGrid(app, CLIENTS), arrays, num_rounds=3), records


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_one_mod_and_one_strategy_serve_every_framework(tmp_path: Path, name: str) -> None:
    make, initial = FRAMEWORKS[name]
    first = initial()
    result, records = play(tmp_path, make([peer_consensus_mod]), first, gamma=0.5)
    assert [record.committed for record in records] == [(0, 1, 2)] * 3
    assert [record.voted for record in records] == [(0, 1, 2)] * 3
    assert not any(record.rejected or record.left_out for record in records)
    described = {key: (array.dtype, array.shape) for key, array in first.items()}
    assert {key: (a.dtype, a.shape) for key, a in result.arrays.items()} == described
    measured = result.evaluate_metrics_clientapp[3]
    (accuracy,) = (value for key, value in measured.items() if "acc" in key)
    assert accuracy > 0.85


@pytest.mark.parametrize("name", sorted(FRAMEWORKS.keys() - {"NumPyClient"}))
def test_the_same_app_still_runs_under_fedavg(name: str) -> None:
    make, initial = FRAMEWORKS[name]
    grid = InProcessGrid(make([peer_consensus_mod]), CLIENTS)
    result = FedAvg().start(grid, initial(), num_rounds=1)
    assert result.evaluate_metrics_clientapp[1]


def test_batch_norms_counter_can_be_refused(tmp_path: Path) -> None:
    app = frameworks.torch_app([peer_consensus_mod], batch_norm=True)
    arrays = frameworks.torch_arrays(batch_norm=True)
    with pytest.raises(ModelError, match=r"num_batches_tracked.*integer_arrays='keep'"):
        play(tmp_path, app, arrays, integer_arrays="refuse")


def test_batch_norms_counter_is_left_as_it_is_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = frameworks.torch_app([peer_consensus_mod], batch_norm=True)
    first = frameworks.torch_arrays(batch_norm=True)
    caplog.set_level("INFO", logger="flwr")
    result, records = play(tmp_path, app, first, gamma=0.5)
    said = [line for line in caplog.messages if "num_batches_tracked" in line and "int64" in line]
    assert len(said) == 1
    assert records[-1].committed == records[-1].voted == (0, 1, 2)
    final = result.arrays.to_torch_state_dict()
    assert int(final["layers.0.num_batches_tracked"]) == 0
    assert not np.allclose(final["layers.0.running_mean"].numpy(), 0)
    assert result.evaluate_metrics_clientapp[3]["eval_acc"] > 0.85
