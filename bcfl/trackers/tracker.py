"""What all trackers have in common: rounds come in, numbers and a picture go out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, MetricRecord
from numpy.typing import NDArray

from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import BcflError, StorageFailed
from bcfl.report.sources import Round
from bcfl.trackers.picture import ballots_image

#: Flower's ``evaluate_fn``.
_Evaluation: TypeAlias = Callable[[int, ArrayRecord], MetricRecord | None]
#: Members, by what they did: told by their number.
_GROUPS = ("expected", "committed", "voted", "winners")
_BYTES = ("bytes_up", "bytes_up_dense", "bytes_down", "bytes_down_dense")


class Tracker(ABC):
    """Follows a run, round by round.

    In a Flower app of one's own: ``PeerConsensus(on_round=tracker)``, and for what is measured on
    the server ``start(evaluate_fn=tracker.evaluating(evaluate))``. ``bcfl run tracker=…`` does
    both.

    Parameters
    ----------
    name : str
        What the run is called; empty: when it began. The same name goes on with the same run.
    values : mapping, optional
        The run's configuration, as plain values, where the tracker shows one.

    Raises
    ------
    ModuleNotFoundError
        The tracker's library is not installed.
    """

    def __init__(self, name: str = "", values: Mapping[str, Any] | None = None) -> None:
        self.name = name or f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        self.values = dict(values or {})
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, record: RoundRecord) -> None:
        """``on_round``: a round is over, or void. Raises StorageFailed."""
        self.follow(record.to_json())

    def evaluating(self, evaluate: _Evaluation) -> _Evaluation:
        """``evaluate_fn`` that passes on, and tells the tracker, what ``evaluate`` measures."""

        def measure(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            metrics = evaluate(server_round, arrays)
            if metrics:
                self._tell(server_round, dict(_numbers_of(metrics)), None)
            return metrics

        return measure

    def follow(self, entry: Mapping[str, Any]) -> None:
        """Take in an entry of ``result.json``: what a round was, whatever the strategy.

        Raises
        ------
        StorageFailed
            The tracker does not take it.
        """
        round_ = Round.model_validate(entry)
        self._tell(round_.round, round_numbers(round_), ballots_image(round_))

    def close(self) -> None:
        """Write what is not written yet. Raises StorageFailed."""
        if self._begun:
            self._guarded(self._close)
            self._begun = False

    @abstractmethod
    def _begin(self) -> None:
        """Begin the run, or go on with the one of that name; called once, before all else."""

    @abstractmethod
    def _log(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        """Write down the numbers, and a picture (height, width, 3) of the ballots."""

    @abstractmethod
    def _close(self) -> None:
        """End the run."""

    def _tell(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        if not self._begun:
            self._guarded(self._begin)
            self._begun = True
        self._guarded(lambda: self._log(round_, numbers, image))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BcflError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())[:300]
            raise StorageFailed(
                f"{type(self).__name__} could not write the run {self.name}: {words}; go on by "
                "`bcfl resume`, or without a tracker"
            ) from error


def round_numbers(round_: Round) -> dict[str, float]:
    """What is told of a round, by name; what its strategy does not know is not there.

    Gas and seconds are told in all, and as ``gas_by_phase/ballot``; of groups of members how many
    they are; ``void`` counts the void rounds until now.
    """
    numbers: dict[str, float] = {}
    for name in ("accuracy", "loss"):
        if (value := getattr(round_, name)) is not None:
            numbers[name] = value
    if round_.expected:
        numbers |= {name: len(getattr(round_, name)) for name in _GROUPS}
        numbers["rejected"] = len({j for reasons in round_.rejected.values() for j in reasons})
        numbers["void"] = (round_.chain_round or round_.round) - round_.round
    for name in ("gas", "seconds"):
        phases: dict[str, float] = getattr(round_, name)
        if phases:
            numbers[name] = sum(phases.values())
            numbers |= {f"{name}_by_phase/{phase}": value for phase, value in phases.items()}
    if round_.seconds:
        numbers |= {name: getattr(round_, name) for name in _BYTES}
    return numbers


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names and plain values."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _numbers_of(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, (int, float)):
            yield name, float(value)
