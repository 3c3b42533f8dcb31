"""``bcfl lab``: attacks × ballots × rules × splits × seeds, each run once, whatever happens.

Every run is a line of ``cells.jsonl``, on disk when it ends: begun again in the same folder, the
laboratory plays what is missing; with more rules, attacks or seeds than before, these as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from rich.progress import Progress

from bcfl.core.errors import ConfigurationError, expect
from bcfl.experiment.attacks import Attack
from bcfl.experiment.attacks.attack import Lie
from bcfl.experiment.configuration import build, read_settings, register_resolvers
from bcfl.experiment.laboratory.arena import Cell, play
from bcfl.experiment.laboratory.network import Network
from bcfl.experiment.laboratory.rules import NEED_REFERENCE, RULES, VOTING
from bcfl.experiment.laboratory.table import write_tables
from bcfl.experiment.run import load, under_attack
from bcfl.experiment.scenario import Material, Plan, read_plan
from bcfl.files import Journal, write_atomically

QUICK = (
    "rounds=10",
    "lab.rules=[oracle,borda,coalition,referee,fedavg]",
    "lab.attacks=[none,sign_flip,label_flip,alie,'ipm epsilon=10',backdoor]",
    "lab.ballots=[front]",
    "lab.seeds=[1]",
)


#: What may be more, or less, when a laboratory is begun again: each line says which cell it is.
_OF_CELLS = ("lab.rules", "lab.attacks", "lab.ballots", "lab.partitions", "lab.seeds")
#: What no rule of the laboratory reads: each is played with what is said of it in its module.
_AS_THEY_ARE = {
    "rule": "borda",
    "coalition_size": "any",
    "values": "float32",
    "error_feedback": 0.0,
    "kappa": 0.5,
    "metric": None,
    "clip": "median_norm",
    "combine": None,
    "server_learning_rate": 1.0,
}


@dataclass(frozen=True, slots=True)
class LabSettings:
    """What is played: see ``conf/lab.yaml``."""

    rules: tuple[str, ...]
    attacks: tuple[str, ...]
    ballots: tuple[Lie, ...]
    partitions: tuple[str, ...]
    seeds: tuple[int, ...]
    fraction: Annotated[float, Field(ge=0, lt=1)]
    reference_size: Annotated[int, Field(ge=0)]

    def __post_init__(self) -> None:
        for rule in self.rules:
            expect(rule in RULES, "lab.rules", f"some of {', '.join(RULES)}", repr(rule))
            fits = self.reference_size > 0 or rule not in NEED_REFERENCE
            expect(fits, "lab.reference_size", f"above 0 for rule {rule}", self.reference_size)

    def cells(self) -> Iterator[Cell]:
        """Every run; those of one split one after the other.

        Who does not vote cannot lie, and the oracle sees no attack: one run stands for all.
        """
        for seed in self.seeds:
            for partition in self.partitions:
                for rule in self.rules:
                    attacks = self.attacks if rule != "oracle" else ("sign_flip",)
                    for attack in attacks:
                        lies = rule in VOTING and attack != "none"
                        told: tuple[Lie, ...] = self.ballots if lies else ("honest",)
                        for ballots in told:
                            yield Cell(rule, attack, ballots, partition, seed)


class Laboratory:
    """All runs of one folder.

    Parameters
    ----------
    folder : Path
    overrides : sequence of str
        NAME=VALUE, of ``conf/lab.yaml`` and of ``conf/config.yaml``.

    Raises
    ------
    ConfigurationError
        A value is wrong, or the folder is that of other values.
    """

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        register_resolvers()
        self.folder = folder
        self._overrides = tuple(overrides)
        config = self._compose()
        _expect_what_is_compared(config)
        self.settings = read_settings(LabSettings, config.lab, "lab")
        self._journal = Journal(folder / "cells.jsonl")
        self._attacks: dict[str, Attack] = {}
        self._split: Any = (None,)  # which, its plan, its data, its network
        self._attacked: Any = (None,)  # which split and attack, its data
        self._claim(config)

    def play(self) -> list[dict[str, Any]]:
        """Play what is missing, and write the tables; all that was ever played here."""
        cells, lines = list(self.settings.cells()), list(self._journal)
        done = {Cell(**line["cell"]) for line in lines} & set(cells)
        with Progress() as progress:
            bar = progress.add_task(str(self.folder), total=len(cells), completed=len(done))
            for cell in cells:
                if cell not in done:
                    lines.append(self._play(cell))
                    self._journal.append(lines[-1])
                    progress.advance(bar)
        write_tables(lines, self.folder)
        return lines

    def _play(self, cell: Cell) -> dict[str, Any]:
        if self._split[0] != (cell.partition, cell.seed):
            self._split = (cell.partition, cell.seed), *self._load(cell)
        split, plan, honest, network = self._split
        if cell.attack not in self._attacks:
            self._attacks[cell.attack] = self._build(cell.attack)
        attack = replace(self._attacks[cell.attack], ballots=cell.ballots)
        plan = replace(plan, attack=attack)
        if self._attacked[0] != (split, cell.attack):
            self._attacked = (split, cell.attack), under_attack(honest, plan)
        return play(cell, plan, self._attacked[1], network).to_json()

    def _load(self, cell: Cell) -> tuple[Plan, Material, Network]:
        asked = f"partition={cell.partition}", f"seed={cell.seed}"
        plan = read_plan(self._compose(*asked)).settled()
        material = load(plan, self.settings.reference_size)
        return plan, material, Network(material.model, plan.engine.device)

    def _build(self, words: str) -> Attack:
        name, *changed = words.split()
        asked = (f"attack.{each}" for each in [*changed, f"fraction={self.settings.fraction}"])
        attack: Attack = build(self._compose(f"attack={name}", *asked), "attack")
        return attack

    def _claim(self, config: DictConfig) -> None:
        """Write down what is played; of what was, nothing differs but which cells there are."""
        path = self.folder / "lab.yaml"
        if path.exists():
            try:
                known, asked = _knobs(OmegaConf.load(path)), _knobs(config)
            except (yaml.YAMLError, ValueError) as error:
                raise ConfigurationError(f"{path}: expected what a laboratory wrote") from error
            nothing = "nothing"
            if differing := [
                f"{name} ({known.get(name, nothing)} there, {asked.get(name, nothing)} asked)"
                for name in sorted(known.keys() | asked.keys())
                if known.get(name, nothing) != asked.get(name, nothing)
            ]:
                raise ConfigurationError(
                    f"{path} says that something else is played here: {'; '.join(differing)}; ask "
                    f"for the same, but for {', '.join(_OF_CELLS)}, or name another folder"
                )
        write_atomically(path, OmegaConf.to_yaml(config).encode())

    def _compose(self, *more: str) -> DictConfig:
        asked = [*self._overrides, *more, "engine=in_process", "run_dir=lab"]
        try:
            with initialize_config_module("bcfl.conf", version_base="1.3"):
                composed: DictConfig = compose("lab", asked)
        except HydraException as error:
            raise ConfigurationError(" ".join(str(error).split())) from error
        return composed


def _knobs(config: Any, prefix: str = "") -> dict[str, str]:
    """By dotted name: every value but those that say which cells there are."""
    found: dict[str, str] = {}
    for name, value in config.items_ex(resolve=False) if isinstance(config, DictConfig) else ():
        at = prefix + str(name)
        if isinstance(value, DictConfig):
            found |= _knobs(value, f"{at}.")
        elif at not in _OF_CELLS:
            found[at] = str(value)
    return found


def _expect_what_is_compared(config: DictConfig) -> None:
    for knob, value in _AS_THEY_ARE.items():
        expect(config[knob] == value, knob, f"{value}: bcfl lab compares lab.rules", config[knob])
