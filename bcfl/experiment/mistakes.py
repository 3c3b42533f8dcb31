"""An error in one line: its name, what is wrong, and where it helps, what was meant.

Exit status: 0 done, 1 it failed, 2 the configuration or a place was wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import yaml  # type: ignore[import-untyped]
from omegaconf.errors import OmegaConfBaseException

from bcfl.core.errors import BcflError, ConfigurationError, DatasetUnavailable
from bcfl.experiment.trust import shipped_options
from bcfl.extras import how_to_get

FAILED, MISTAKEN, INTERRUPTED = 1, 2, 130

_UNKNOWN_KNOB = re.compile(r"Could not override '([^']+)'")
#: Hydra goes on with where it looked, and OmegaConf with its own data structures.
_NO_INTEREST = re.compile(r"Config search path|To append to your config|\bfull_key:")

_ELSEWHERE = "is it the right place, and may this user write there?"


def explain(error: Exception) -> str:
    """``"Name: text"``, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return how_to_get(error) or f"ConfigurationError: {error}"
    if isinstance(error, OSError) and error.strerror is not None:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"ConfigurationError: {place}{error.strerror}; {_ELSEWHERE}"
    text = " ".join(str(error).split())
    if isinstance(error, BcflError):
        return f"{type(error).__name__}: {text}"
    if (unknown := _UNKNOWN_KNOB.search(text)) is not None:
        return f"ConfigurationError: no knob is called {unknown[1]}; {_suggestion(unknown[1])}"
    return f"ConfigurationError: {_NO_INTEREST.split(text)[0].strip()}"


def complain(error: Exception) -> None:
    """Print one line to standard error."""
    print(f"bcfl: {explain(error)}", file=sys.stderr, flush=True)


def exit_status(error: Exception) -> int:
    """2 where whoever started the run can put it right, 1 where the run failed."""
    missing = DatasetUnavailable, ModuleNotFoundError
    wrong = ConfigurationError, OmegaConfBaseException, OSError
    return MISTAKEN if isinstance(error, (*missing, *wrong)) else FAILED


def interrupt(folder: Path | None, *, apart: bool = False) -> NoReturn:
    """Leave at once: Flower's server thread would go on waiting for replies, an hour at most.

    Unless all that ran was ``apart``, in processes of its own, which have been ended.
    """
    words = "nothing was written yet"
    if folder is not None and (folder / "config.yaml").exists():
        words = f"the rounds that are over are in {folder}; {_how_to_go_on(folder)}"
    elif folder is not None and (folder / "multirun.yaml").exists():
        words = f"the runs that are over are in {folder}; go on with: bcfl resume {folder}"
    print(f"bcfl: interrupted; {words}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    if apart:  # nothing of Flower's is in this process
        sys.exit(INTERRUPTED)
    os._exit(INTERRUPTED)


def _how_to_go_on(folder: Path) -> str:
    chain = yaml.safe_load((folder / "config.yaml").read_text("utf-8")).get("chain") or {}
    if chain.get("_target_") == "bcfl.consensus.MemoryChain":
        return "nothing goes on with it, as its chain was in memory"
    return f"go on with: bcfl resume {folder}"


def _suggestion(name: str) -> str:
    close = get_close_matches(name, _knobs(), n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}? `bcfl run --help` lists them all"
    return "`bcfl run --help` lists them all"


def _knobs() -> list[str]:
    """Every knob there is, as it is written on the command line."""
    config = yaml.safe_load(files("bcfl.conf").joinpath("config.yaml").read_text("utf-8"))
    names = {name for name in config if name != "defaults"}
    for group, option in shipped_options():
        names |= {group, *(f"{group}.{name}" for name in option if name != "defaults")}
    return sorted(names)
