"""An error in one line: its name, what is wrong, and where it helps, what was meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.resources import files

import yaml  # type: ignore[import-untyped]

from bcfl.core.errors import BcflError
from bcfl.experiment.trust import shipped_options

__all__ = ["explain"]

_UNKNOWN_KNOB = re.compile(r"Could not override '([^']+)'")
#: Hydra goes on with where it looked, and OmegaConf with its own data structures.
_NO_INTEREST = re.compile(r"Config search path|To append to your config|\bfull_key:")


def explain(error: Exception) -> str:
    """``"Name: text"``, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, BcflError):
        return f"{type(error).__name__}: {text}"
    if (unknown := _UNKNOWN_KNOB.search(text)) is not None:
        return f"ConfigurationError: no knob is called {unknown[1]}; {_suggestion(unknown[1])}"
    return f"ConfigurationError: {_NO_INTEREST.split(text)[0].strip()}"


def _suggestion(name: str) -> str:
    close = get_close_matches(name, _knobs(), n=1, cutoff=0.75)
    if close:
        return f"did you mean {close[0]}? `bcfl run --help` lists them all"
    return "`bcfl run --help` lists them all"


def _knobs() -> list[str]:
    """Every knob there is, as it is written on the command line."""
    config = yaml.safe_load(files("bcfl.conf").joinpath("config.yaml").read_text())
    names = {name for name in config if name != "defaults"}
    for group, option in shipped_options():
        names |= {group, *(f"{group}.{name}" for name in option if name != "defaults")}
    return sorted(names)
