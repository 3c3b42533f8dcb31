"""A Flower run of one's own, written down as ``bcfl run`` writes down its runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, MetricRecord
from omegaconf import OmegaConf

from bcfl.amounts import in_words
from bcfl.experiment.recorder import Evaluation, Recorder, make_result, merge_rounds
from bcfl.experiment.run_folder import RunFolder
from bcfl.flower.handlers import to_arrays
from bcfl.strategies import PeerConsensus


class KeptRun:
    """Leaves ``result.json`` and ``model.safetensors`` for ``bcfl report`` and ``bcfl audit``.

    Give its ``on_round`` to ``PeerConsensus``, its ``evaluate`` to ``start``, and call ``finish``.

    Parameters
    ----------
    run_dir : Path
        The same that the strategy is given.
    evaluation : callable
        (round, arrays) to a ``MetricRecord`` with ``loss`` and ``accuracy``: Flower's
        ``evaluate_fn``, on data that no client has.
    dataset : str
        What a reader calls the data.
    """

    def __init__(self, run_dir: Path, evaluation: Evaluation, dataset: str) -> None:
        self._folder = RunFolder(run_dir)
        self._recorder = Recorder(self._folder, _Silence(), evaluation)
        self._names = {"strategy": "peer_consensus", "dataset": dataset, "overrides": []}
        self._began = time.time()
        self.on_round = self._recorder.on_round

    def evaluate(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        """Measure, and write it down."""
        return self._recorder.evaluate(server_round, arrays)

    def finish(self, strategy: PeerConsensus, arrays: ArrayRecord) -> None:
        """Write what the run came to; ``arrays`` is what ``start`` returned."""
        rules = {k: v for k, v in strategy.rules.to_json().items() if k != "inner"}
        config = OmegaConf.create({"run_dir": str(self._folder.path), "strategy": rules})
        self._folder.write_config(config, self._names)
        self._folder.write_model(to_arrays(arrays))
        seconds = time.time() - self._began
        result = make_result(merge_rounds(list(self._folder.rounds)), (), seconds)
        when = {"began": in_words(int(self._began)), "ended": in_words(int(time.time()))}
        self._folder.write_result(self._names | result | when)


class _Silence:
    """In place of a terminal."""

    def phase(self, round_: int, phase: str) -> None:
        """Show nothing."""

    def measured(self, rounds: Sequence[dict[str, Any]]) -> None:
        """Show nothing."""
