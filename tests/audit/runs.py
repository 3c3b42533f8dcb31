"""Finished runs to audit: the toy app on the in-process grid and the embedded chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, MetricRecord
from flwr.clientapp import ClientApp
from omegaconf import OmegaConf

from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.experiment.recorder import Recorder, make_result, merge_rounds
from bcfl.experiment.run_folder import RunFolder
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy


class Silence:
    """Watches a run and says nothing."""

    def phase(self, round_: int, phase: str) -> None:
        pass

    def measured(self, rounds: Sequence[dict[str, Any]]) -> None:
        pass


def measure(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    return MetricRecord({"accuracy": 0.5, "loss": 1.0})


def play(
    folder: Path,
    *,
    clients: int = 4,
    rounds: int = 2,
    app: ClientApp | None = None,
    grid: InProcessGrid | None = None,
    strategy: type[PeerConsensus] = PeerConsensus,
    **options: Any,
) -> Path:
    """Play a run and leave its folder as ``bcfl run`` does."""
    written = RunFolder(folder)
    recorder = Recorder(written, Silence(), measure)  # type: ignore[arg-type]
    knobs = {"gamma": 0.5, **options}
    played = strategy(
        run_dir=folder, on_round=recorder.on_round, min_available_nodes=clients, **knobs
    )
    plain = {name: value for name, value in knobs.items() if isinstance(value, (str, int, float))}
    if not options.get("resume"):
        written.write_config(OmegaConf.create({"run_dir": str(folder), "strategy": plain}), {})
    grid = grid or InProcessGrid(app or toy.client_app([peer_consensus_mod]), clients)
    played.start(grid, toy.initial_arrays(), rounds, evaluate_fn=recorder.evaluate)
    written.write_model(recorder.arrays)
    written.write_result(make_result(merge_rounds(list(written.rounds)), (), 1.0))
    return folder
