"""What a configuration of somebody else's may ask for: what ``conf/`` itself does, and no more.

``_target_`` calls whatever it names. Of a run that one starts oneself that is one's own affair; a
folder that is gone on with, or a run config that reaches a SuperNode, is a stranger's. It may call
the classes that conf/ calls, with the arguments that conf/ gives them, and name places inside its
own folder, or those that conf/ names. More is allowed by name.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from bcfl.core.errors import ConfigurationError

#: Arguments in conf/ that name a file, a folder, a node or a store.
PLACES = frozenset({"_args_", "folder", "index", "key_file", "run_dir", "store", "url"})
_HERE = "${run_dir}"


def shipped_options() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every option in conf/: its group, its name, its values; interpolations as written."""
    for group in sorted(files("bcfl.conf").iterdir(), key=lambda folder: folder.name):
        for file in sorted(group.iterdir() if group.is_dir() else (), key=lambda file: file.name):
            if file.name.endswith(".yaml"):
                name = file.name.removesuffix(".yaml")
                yield group.name, name, yaml.safe_load(file.read_text("utf-8"))


def expect_harmless(config: dict[Any, Any], folder: Path, allowed: Collection[str]) -> None:
    """Refuse a run folder's configuration that reaches outside of the folder.

    Parameters
    ----------
    config : dict
        Plain values; strings as they are written.
    folder : Path
        Where ``${run_dir}`` is; no other interpolation is allowed, as a run writes none.
    allowed : collection of str
        Targets, which may then be given anything, and places.

    Raises
    ------
    ConfigurationError
        What it asks for, and how to allow it.
    """
    named = list(_strings("", config))
    for name, text in named:
        if "${" in text.replace(_HERE, ""):
            raise ConfigurationError(f"{name}: expected a value; found {text!r}, not looked up")
    own = {*allowed, *_shipped_places()}
    refused = dict(_foreign_targets("", config, allowed)) | {
        name: text
        for name, text in named
        if _is_place(name) and text not in own and not _is_inside(text, folder)
    }
    if refused:
        words = " ".join(f"--allow {text!r}" for text in dict.fromkeys(refused.values()))
        raise ConfigurationError(
            f"{folder}/config.yaml: expected what bcfl's own conf/ calls and places in the folder; "
            f"found {', '.join(f'{name}: {text}' for name, text in refused.items())}; nothing of "
            f"it was called. Where it is your own: bcfl resume {shlex.quote(str(folder))} {words}"
        )


def expect_shipped_targets(config: dict[Any, Any], allowed: Collection[str], how: str) -> None:
    """Refuse a configuration that calls what conf/ does not; ``how`` says what allows it.

    Raises
    ------
    ConfigurationError
        What it calls.
    """
    for name, target in _foreign_targets("", config, allowed):
        raise ConfigurationError(
            f"{name}: expected what bcfl's own conf/ calls; found {target}, which was not called; "
            f"{how}"
        )


def expect_plain_files(folder: Path) -> None:
    """Refuse a folder with links in it: what is written to them lands elsewhere.

    Raises
    ------
    ConfigurationError
        Something in it is neither a file nor a folder.
    """
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ConfigurationError(f"{path}: expected a file or a folder; found a link, or worse")


def add_scenario(strategy: Any) -> None:
    """Name the scenario of a strategy in whose run it went without saying, in place."""
    if isinstance(strategy, dict) and "scenario" not in strategy:
        for group, _, option in shipped_options():
            same = group == "strategy" and option["_target_"] == strategy.get("_target_")
            if same and "scenario" in option:
                strategy["scenario"] = option["scenario"]


def _foreign_targets(name: str, value: Any, allowed: Collection[str]) -> Iterator[tuple[str, str]]:
    """Name and target of each that conf/ does not call, or not with these arguments."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _foreign_targets(f"{name}.{index}", item, allowed)
    if not isinstance(value, dict):
        return
    keys = {str(key) for key in value}
    reserved = {key for key in keys if key.startswith("_")}
    target = str(value.get("_target_", min(reserved, default="")))
    if target and target not in allowed:
        if target not in (known := _shipped_targets()):
            yield f"{name}._target_".lstrip("."), target
        elif more := keys - known[target]:
            yield f"{name}.{min(more)}".lstrip("."), target
    for key, item in value.items():
        yield from _foreign_targets(f"{name}.{key}".lstrip("."), item, allowed)


def _strings(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """All strings in it, paths among them, each with its dotted name."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(f"{name}.{key}".lstrip("."), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(f"{name}.{index}", item)
    elif value is not None and not isinstance(value, (bool, int, float)):
        yield name, str(value)


def _is_place(name: str) -> bool:
    return next(key for key in reversed(name.split(".")) if not key.isdigit()) in PLACES


def _is_inside(text: str, folder: Path) -> bool:
    path = Path(text.replace(_HERE, str(folder.absolute())))
    try:
        return path.is_absolute() and path.resolve().is_relative_to(folder.resolve())
    except ValueError:  # a zero byte
        return False


@lru_cache(maxsize=1)
def _shipped_targets() -> dict[str, frozenset[str]]:
    """What conf/ calls, and the arguments that it gives each."""
    found: dict[str, frozenset[str]] = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if (target := value.get("_target_")) is not None:
                found[target] = found.get(target, frozenset()) | value.keys()
            for item in value.values():
                look(item)

    for *_, option in shipped_options():
        look(option)
    return found


@lru_cache(maxsize=1)
def _shipped_places() -> frozenset[str]:
    """The places that conf/ names, but for those in a run's folder."""
    return frozenset(
        text
        for *_, option in shipped_options()
        for name, text in _strings("", option)
        if _is_place(name) and "${" not in text
    )
