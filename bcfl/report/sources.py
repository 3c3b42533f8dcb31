"""A run's folder as plain values. It may be a stranger's: nothing in it is trusted or called."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bcfl.audit.plain_files import parse_json, read_file
from bcfl.core.errors import AuditError, ConfigurationError

#: Who is behind an address, as the reader knows.
Names: TypeAlias = dict[str, str]
_MOST_MEMBERS: Final = 128
_MOST_ROUNDS: Final = 100_000

_Member = Annotated[int, Field(ge=0, lt=_MOST_MEMBERS)]
_Number = float | None
_Text = Annotated[str, Field(max_length=100_000)]


class _Plain(BaseModel):
    """What is known of an object; what else is in it is passed over."""

    model_config = ConfigDict(frozen=True)


class Round(_Plain):
    """One entry of ``result.json``: a round of any strategy; what a strategy lacks is empty."""

    round: int
    chain_round: int | None = None
    accuracy: _Number = None
    loss: _Number = None
    void: bool = False
    model: _Text = ""
    expected: tuple[_Member, ...] = ()
    committed: tuple[_Member, ...] = ()
    voted: tuple[_Member, ...] = ()
    winners: tuple[_Member, ...] = ()
    scores: dict[_Member, int] = Field(default_factory=dict)
    ballots: dict[_Member, dict[_Member, int]] = Field(default_factory=dict)
    rejected: dict[_Member, dict[_Member, _Text]] = Field(default_factory=dict)
    left_out: dict[_Member, _Text] = Field(default_factory=dict)
    abstained: dict[_Member, tuple[_Member, ...]] = Field(default_factory=dict)
    standing: dict[_Member, float] = Field(default_factory=dict)
    transactions: dict[_Text, list[_Text]] = Field(default_factory=dict)
    gas: dict[_Text, int] = Field(default_factory=dict)
    seconds: dict[_Text, float] = Field(default_factory=dict)
    bytes_up: int = 0
    bytes_up_dense: int = 0
    bytes_down: int = 0
    bytes_down_dense: int = 0
    # of a marketplace
    contributor: _Member | None = None
    outcome: _Text = ""
    fused: int = 0
    fitness: dict[_Member, float] = Field(default_factory=dict)
    reasons: dict[_Member, _Text] = Field(default_factory=dict)


class _Result(_Plain):
    strategy: _Text = "?"
    dataset: _Text = "?"
    attack: _Text = "none"
    overrides: list[_Text] = Field(default_factory=list)
    bcfl: _Text = ""
    error: _Text = ""
    began: _Text = ""
    ended: _Text = ""
    wall_s: float = 0.0
    initial: dict[_Text, Any] = Field(default_factory=dict)
    malicious: tuple[_Member, ...] = ()
    rounds: Annotated[list[Round], Field(max_length=_MOST_ROUNDS)] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    folder: Path
    result: _Result
    task: dict[str, Any] = field(default_factory=dict)  #: ``task.json``; empty where there is none
    audit: dict[str, Any] = field(default_factory=dict)  #: the report of ``bcfl audit``, likewise
    market: dict[str, Any] = field(default_factory=dict)  #: ``market.json``, likewise

    @property
    def members(self) -> int:
        """One more than the highest index that any round names."""
        named = (
            max([*r.expected, *r.committed, *r.ballots, *r.fitness, r.contributor or 0], default=0)
            for r in self.result.rounds
        )
        return max(named, default=-1) + 1


@dataclass(frozen=True, slots=True)
class Sweep:
    """Many runs, by the name of their folder."""

    folder: Path
    runs: dict[str, Run]


def read_run(folder: Path, audit: Path | None = None) -> Run:
    """Read a run; ``audit`` is its audit's report, by default ``audit.json`` in the folder.

    The folder of a market's role has no result: what there is of the task is read.

    Raises
    ------
    AuditError
        There is no ``result.json``, or it is not what a run leaves.
    """
    path, market = folder / "result.json", _object(folder / "market.json")
    try:
        of_a_role = market and not os.path.lexists(path)
        told = {"strategy": "market"} if of_a_role else parse_json(path, read_file(path))
        result = _Result.model_validate(told)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise AuditError(f"{path}: not the result of a run: {place}: {wrong['msg']}") from error
    return Run(
        folder,
        result,
        _object(folder / "task.json"),
        _object(audit or folder / "audit.json"),
        market,
    )


def read_sweep(folder: Path) -> Sweep:
    """Read the runs of a sweep that have a result. Raises AuditError where none has."""
    runs = {}
    for path in sorted(folder.glob("*/result.json"), key=lambda path: _order(path.parent.name)):
        runs[path.parent.name] = read_run(path.parent)
    if not runs:
        raise AuditError(f"expected a run or a sweep in {folder}; there is no result.json")
    return Sweep(folder, runs)


def read_names(path: Path | None) -> Names:
    """Address to name, from a JSON object.

    Raises
    ------
    ConfigurationError
        It is none.
    """
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
        return {str(address).lower(): str(name) for address, name in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f'--names: expected a JSON object such as {{"0x…": "Clinic A"}} in {path}: {error}'
        ) from error


def _object(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    try:
        found = parse_json(path, read_file(path.absolute()))
    except AuditError:
        return {}
    return found if isinstance(found, dict) else {}


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)
