"""contracts/THREATS.md: every threat names the test that shows what stops it, and it exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COLUMNS = ["threat", "who could", "what stops it", "test that shows it"]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells != COLUMNS:
                yield cells


@cache
def functions_in(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))


def faults(row: list[str]) -> list[str]:
    """What is wrong with it."""
    if len(row) != len(COLUMNS) or not all(row):
        return [f"expected {COLUMNS}; found {row}"]
    named = _TEST.findall(row[-1])
    left = _TEST.sub("", row[-1]).strip(", ")
    if not named or left:
        return [f"{row[0]}: expected tests as `tests/path.py::test_name`; found {row[-1]}"]
    return [
        f"{row[0]}: there is no {path}::{name}"
        for path, name in named
        if not name.startswith("test_") or name not in functions_in(ROOT / path)
    ]


def test_every_threat_names_the_tests_that_show_what_stops_it() -> None:
    table = list(rows((ROOT / "contracts" / "THREATS.md").read_text(encoding="utf-8")))
    assert len(table) > 30
    assert [fault for row in table for fault in faults(row)] == []
    threats = [row[0] for row in table]
    assert len(threats) == len(set(threats))


@pytest.mark.parametrize(
    "line",
    [
        "| a | b | c |  |",
        "| a | b | c | later |",
        "| a | b | `tests/test_threats.py::test_a_bad_row_is_told` |",
        "| a | b | c | `tests/test_threats.py::test_that_there_is_not` |",
        "| a | b | c | `tests/test_no.py::test_a_bad_row_is_told` |",
        "| a | b | c | `tests/test_threats.py::faults` |",
        "| a | b | c | `tests/test_threats.py::test_a_bad_row_is_told` and so on |",
    ],
)
def test_a_bad_row_is_told(line: str) -> None:
    (row,) = rows(line)
    assert faults(row)


def test_a_good_row_has_no_fault() -> None:
    (row,) = rows("| a | b | c | `tests/test_threats.py::test_a_bad_row_is_told` |")
    assert faults(row) == []
