"""An error in one line: its name, what is wrong, and where it helps, what was meant.

Exit status: 0 done, 1 it failed, 2 the configuration or a place was wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import shlex
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
_UNKNOWN_OPTION = re.compile(r"Could not find '(\w+)/([^']+)'")
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
        return f"ConfigurationError: {_of_knob(unknown[1])}"
    if (unknown := _UNKNOWN_OPTION.search(text)) is not None:
        return f"ConfigurationError: {_of_option(*unknown.groups())}"
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
        words = f"the runs that are over are in {folder}; {_go_on(folder)}"
    print(f"bcfl: interrupted; {words}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    if apart:  # nothing of Flower's is in this process
        sys.exit(INTERRUPTED)
    os._exit(INTERRUPTED)


def _how_to_go_on(folder: Path) -> str:
    chain = yaml.safe_load((folder / "config.yaml").read_text("utf-8")).get("chain") or {}
    if chain.get("_target_") == "bcfl.consensus.MemoryChain":
        return "nothing goes on with it, as its chain was in memory"
    return _go_on(folder)


def _go_on(folder: Path) -> str:
    return f"go on with: bcfl resume {shlex.quote(str(folder))}"


def _of_knob(name: str) -> str:
    """What is wrong with a knob that there is not, or not beside the options that were chosen."""
    group, _, own = name.partition(".")
    of_group = [(option, values) for of, option, values in shipped_options() if of == group]
    having = [f"{group}={option}" for option, values in of_group if own in values]
    if having:
        return (
            f"{name} is a knob of {' and '.join(having)}, and another {group} was chosen; "
            f"`bcfl run --help {group}` lists the knobs of each"
        )
    last, knobs = name.rpartition(".")[2], _knobs()
    close = [knob for knob in knobs if knob.endswith(f".{last}")]
    close = close or get_close_matches(name, knobs, n=1, cutoff=0.75)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"no knob is called {name}; {meant}`bcfl run --help` lists them all"


def _of_option(group: str, name: str) -> str:
    options = [option for of, option, _ in shipped_options() if of == group]
    close = get_close_matches(name.lower(), options, n=1)
    meant = f"; did you mean {group}={close[0]}?" if close else ""
    return f"{group}: expected one of {', '.join(options)}; found {name}{meant}"


def _knobs() -> list[str]:
    """Every knob there is, as it is written on the command line."""
    config = yaml.safe_load(files("bcfl.conf").joinpath("config.yaml").read_text("utf-8"))
    names = {name for name in config if name != "defaults"}
    for group, _, values in shipped_options():
        names |= {group, *(f"{group}.{name}" for name in values if name != "defaults")}
    return sorted(names)
