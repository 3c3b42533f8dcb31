"""Follows a run while it goes on: to disk line by line, to the terminal as it happens.

Every strategy is followed in the same way; peer consensus has more to tell of a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from flwr.app import ArrayRecord, MetricRecord

from bcfl.core.model import Arrays, model_digest
from bcfl.experiment.clients.grids import OrderedGrid
from bcfl.experiment.run_folder import RunFolder
from bcfl.flower.handlers import to_arrays

if TYPE_CHECKING:
    from bcfl.trackers import Tracker

#: Flower's ``evaluate_fn``.
Evaluation: TypeAlias = Callable[[int, ArrayRecord], MetricRecord]


class Record(Protocol):
    """What a round was, whichever strategy says it."""

    @property
    def chain_round(self) -> int:
        """Its number on the chain; each is told once."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, ``round`` among them."""


class Screen(Protocol):
    """Where a person follows the run: ``Terminal``."""

    def phase(self, round_: int, phase: str) -> None:
        """A phase of a round begins."""

    def measured(self, rounds: Sequence[dict[str, Any]]) -> None:
        """A round has ended, the last of these, and its model was measured."""


class Recorder:
    """Flower's ``evaluate_fn``, and peer consensus's ``on_phase`` and ``on_round``.

    Parameters
    ----------
    folder : RunFolder
    terminal : Screen
    evaluation : callable
        (round, arrays) to their metrics, loss and accuracy among them.
    tracker : Tracker, optional
        Who is told of each round that was measured, besides.
    """

    def __init__(
        self,
        folder: RunFolder,
        terminal: Screen,
        evaluation: Evaluation,
        tracker: Tracker | None = None,
    ) -> None:
        self._folder = folder
        self._terminal = terminal
        self._tracker = tracker
        self._evaluation = evaluation
        self._grid: OrderedGrid | None = None
        self._since = time.monotonic()
        self.arrays: Arrays = {}  #: the newest global model

    def weigh(self, grid: OrderedGrid) -> OrderedGrid:
        """Take each round's traffic from ``grid``, for strategies that keep no record."""
        self._grid = grid
        return grid

    def on_phase(self, round_: int, phase: str) -> None:
        """A strategy on a chain begins a phase."""
        self._terminal.phase(round_, phase)

    def on_round(self, record: Record) -> None:
        """A round on a chain has ended; a resumed run tells all again."""
        known = (entry.get("chain_round") for entry in self._folder.rounds)
        if record.chain_round not in known:
            self._folder.append({"kind": "round", **record.to_json()})

    def evaluate(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        """Measure the global model; called before the first round (0) and after each."""
        if server_round and self._grid is not None:
            self._folder.append({"kind": "round", **self._plain_round(server_round)})
        metrics = self._evaluation(server_round, arrays)
        self.arrays = to_arrays(arrays)
        digest = model_digest(self.arrays).hex()
        entry = {"kind": "evaluation", "round": server_round, "model": digest, **dict(metrics)}
        self._folder.append(entry)
        rounds = merge_rounds(list(self._folder.rounds))
        self._terminal.measured(rounds)
        if self._tracker is not None:
            self._tracker.follow(rounds[-1])
        self._since = time.monotonic()
        if self._grid is not None:
            self.on_phase(server_round + 1, "train")
        return metrics

    def _plain_round(self, server_round: int) -> dict[str, Any]:
        assert self._grid is not None
        traffic = self._grid.take_traffic()
        return {
            "round": server_round,
            "seconds": {"train": time.monotonic() - self._since},
            "bytes_up": traffic.up,
            "bytes_up_dense": traffic.up,
            "bytes_down": traffic.down,
            "bytes_down_dense": traffic.down,
            "failures": traffic.failures,
        }


def merge_rounds(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a round, from the lines of ``rounds.jsonl``.

    An evaluation belongs to the newest line of its round; a round that was void, and then
    repeated, has a line of its own without one. A round measured twice, as after a crash,
    counts once.
    """
    merged: list[dict[str, Any]] = []
    for entry in entries:
        fields = {key: value for key, value in entry.items() if key != "kind"}
        if entry["kind"] == "round":
            merged.append(fields)
            continue
        found = [known for known in merged if known["round"] == entry["round"]]
        if found:
            found[-1].update(fields)
        else:
            merged.append(fields)
    return merged


def make_result(
    rounds: list[dict[str, Any]], malicious: Iterable[int], wall_s: float, error: str = ""
) -> dict[str, Any]:
    """Put a run's result together.

    Parameters
    ----------
    rounds : list of dict
        As ``merge_rounds`` gives them; round 0 is the model before the first round.
    malicious : iterable of int
        The partitions that attacked.
    wall_s : float
        Seconds that this process spent on the run, loading included.
    error : str
        What ended the run before its last round; empty where nothing did.

    Returns
    -------
    dict
        ``rounds`` (one entry each: loss, accuracy, model digest, bytes, seconds by phase, and
        of peer consensus all of its ``RoundRecord``), ``initial``, ``final`` (the last round
        that was measured), ``totals``, ``malicious``, ``wall_s``, ``error``, ``bcfl`` (the
        version).
    """
    measured = [entry for entry in rounds if "accuracy" in entry]
    counted = [entry for entry in rounds if entry["round"]]
    gas = sum(sum(entry.get("gas", {}).values()) for entry in counted)
    names = ("round", "accuracy", "loss", "model")
    return {
        "bcfl": version("bcfl"),
        "error": error,
        "initial": {name: measured[0].get(name) for name in names} if measured else {},
        "final": {name: measured[-1].get(name) for name in names} if measured else {},
        "totals": {
            "gas": gas,
            "gas_per_round": round(gas / max(len({entry["round"] for entry in counted}), 1)),
            **{
                name: sum(entry[name] for entry in counted)
                for name in ("bytes_up", "bytes_up_dense", "bytes_down", "bytes_down_dense")
            },
        },
        "malicious": sorted(malicious),
        "wall_s": wall_s,
        "rounds": counted,
    }
