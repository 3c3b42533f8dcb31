"""A worker of the simulation engine is killed: it begins anew, and so does what it was at."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.experiment.clients.engine import EngineSettings, run_clients
from bcfl.strategies import PeerConsensus
from tests import toy

CLIENTS = 2


def app(mark: str) -> ClientApp:
    """The toy's; the second client's process is killed in its first training, as by the kernel."""

    def killed_once(message: Message, context: Context, call_next: object) -> Message:
        me = int(context.node_config["partition-id"])
        if message.metadata.message_type == "train" and me == 1 and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return call_next(message, context)  # type: ignore[operator,no-any-return]

    return toy.client_app([peer_consensus_mod, killed_once])


@pytest.mark.skipif(not os.environ.get("BCFL_FUZZ"), reason="starts Ray: make fuzz")
def test_nobody_is_lost_by_it(tmp_path: Path) -> None:
    """flwrlabs/flower#5855: "The actor died … SIGKILL by OOM killer"; it is put back, dead."""
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path,
        on_round=records.append,
        min_available_nodes=CLIENTS,
        fraction_evaluate=0.0,
    )

    def serve(grid: Grid) -> Result:
        return strategy.start(grid, toy.initial_arrays(), num_rounds=1, timeout=120)

    mark = tmp_path / "killed-once"
    run_clients(EngineSettings("ray", 2), serve, app(str(mark)), CLIENTS)
    assert mark.exists()
    (record,) = records
    assert not record.void
    assert record.committed == record.voted == (0, 1)
    assert not record.left_out
