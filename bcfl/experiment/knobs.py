"""``bcfl run --help``: every knob, in groups, explained by the comments of ``conf/``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import yaml  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from bcfl.core.errors import ConfigurationError

_USAGE = """\
bcfl run [-m] [NAME=VALUE …]    train together, on a chain; -m sweeps over A=1,2,3

  bcfl run --cfg job            print the configuration that would be used
  bcfl run --help GROUP         the knobs of a group's options, such as attack
  bcfl run -m gamma=0.01,0.1,1 clients=5,10    --jobs 3: three runs at a time
  bcfl run strategy=fedavg attack=sign_flip attack.fraction=0.3
  bcfl resume FOLDER            go on with a run, or a sweep, that was cut off
"""
_SECTION = re.compile(r"# -+ (.+)")
_KNOB = re.compile(r"( *)(\w+):(?: (.*?))?(?:\s+# (.*))?")
_COMMENT = re.compile(r" *# (.*)")


@dataclass(slots=True)
class Knob:
    """One knob, as it is written on the command line."""

    name: str
    value: str
    words: str  #: what it means; empty where the configuration says nothing


@dataclass(slots=True)
class Page:
    """One file of ``conf/``: what it is for, and its knobs by section."""

    words: str = ""
    sections: dict[str, list[Knob]] = field(default_factory=dict)

    @property
    def explained(self) -> list[Knob]:
        """The knobs that have a value of their own, and an explanation."""
        found = (knob for knobs in self.sections.values() for knob in knobs)
        return [knob for knob in found if knob.words and knob.value[:2] not in ("", "${")]


def read_page(text: str, prefix: str = "") -> Page:
    """Take a YAML file of ``conf/`` apart, comments included; ``prefix`` is put before names."""
    page = Page()
    section, parents, knob = "", list[tuple[int, str]](), None
    for line in text.splitlines():
        if (found := _SECTION.fullmatch(line)) is not None:
            section, knob = found[1], None
        elif (found := _COMMENT.fullmatch(line)) is not None:
            if knob is not None and knob.words:
                knob.words += f" {found[1]}"
            elif knob is None and not page.sections:
                page.words = f"{page.words} {found[1]}".lstrip()
        elif (found := _KNOB.fullmatch(line)) is not None:
            depth = len(found[1])
            while parents and parents[-1][0] >= depth:
                parents.pop()
            parents.append((depth, found[2]))
            name = ".".join([prefix, *(name for _, name in parents)]).lstrip(".")
            knob = Knob(name, (found[3] or "").strip(), (found[4] or "").strip())
            page.sections.setdefault(section, []).append(knob)
        else:
            knob = None
    return page


def print_help(console: Console, group: str = "") -> None:
    """Print what ``bcfl run`` can be told: everything, or the knobs of one group's options.

    Raises
    ------
    ConfigurationError
        There is no such group.
    """
    groups, config = _groups(), files("bcfl.conf").joinpath("config.yaml").read_text("utf-8")
    if group and group not in groups:
        raise ConfigurationError(f"--help: expected one of {', '.join(groups)}; found {group!r}")
    if group:
        _print_group(console, group, groups[group])
        return
    console.print(_USAGE, soft_wrap=True)
    chosen = dict(entry.popitem() for entry in yaml.safe_load(config)["defaults"][:-1])
    console.print("Groups: what a run is made of (GROUP=OPTION; * is what it is by default)\n")
    table = _table(3)
    for name, options in groups.items():
        for number, (option, page) in enumerate(options.items()):
            star = "*" if chosen.get(name) == option else ""
            table.add_row("" if number else name, option + star, page.words)
    console.print(table)
    for section, knobs in read_page(config).sections.items():
        told = [knob for knob in knobs if knob.words and not knob.name.startswith("hydra")]
        if section and told:
            console.print(f"\n{section[0].upper()}{section[1:]}\n")
            console.print(_knob_table(told))


def _print_group(console: Console, group: str, options: dict[str, Page]) -> None:
    for option, page in options.items():
        console.print(f"{group}={option}    {page.words}")
        console.print(_knob_table(page.explained) if page.explained else "")


def _groups() -> dict[str, dict[str, Page]]:
    """By group and option, in the order of the defaults."""
    root = files("bcfl.conf")
    order = yaml.safe_load(root.joinpath("config.yaml").read_text("utf-8"))["defaults"][:-1]
    groups = [name for entry in order for name in entry if not name.startswith("override ")]
    return {group: dict(_options(group)) for group in groups}


def _options(group: str) -> Iterator[tuple[str, Page]]:
    folder = files("bcfl.conf").joinpath(group)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml"), read_page(file.read_text("utf-8"), group)


def _knob_table(knobs: list[Knob]) -> Table:
    table = _table(2)
    for knob in knobs:
        value = "…" if knob.value.startswith("${") else knob.value
        table.add_row(f"{knob.name}={value}", knob.words)
    return table


def _table(columns: int) -> Table:
    """The last column folds, the others stay whole."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(columns - 1):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
