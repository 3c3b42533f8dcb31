"""A sweep: many runs, one table, kept up to date on disk as each run ends."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.terminal import fitting_table, make_console
from bcfl.files import write_atomically

_MEASURES = ("accuracy", "loss", "gas_per_round", "bytes_up", "bytes_up_dense", "wall_s")
#: What a narrow terminal goes without, the first ones first; ``summary.csv`` has it.
_LEAST_TOLD = ("bytes up dense", "bytes up", "wall s", "loss", "gas per round")


class Sweep:
    """The folder of a sweep; its runs are in folders beneath, however they are named.

    Parameters
    ----------
    path : Path
        ``summary.csv`` is written here.
    count : int
        How many jobs there will be; 0 where that is not known.
    console : Console, optional
    """

    def __init__(self, path: Path, count: int = 0, console: Console | None = None) -> None:
        self.path = path
        self._count = count
        self._console = console or make_console()
        self._jobs: dict[Path, tuple[list[str], str]] = {}  # what was swept over, and its error

    def add(self, folder: Path, overrides: Sequence[str]) -> str:
        """Take in the next point of the sweep; its title."""
        self._jobs[folder.absolute()] = list(overrides), ""
        number, words = len(self._jobs), " ".join(overrides) or "defaults"
        of_all = f" of {self._count}" if self._count >= number else ""
        return f"job {number}{of_all}: {words}"

    def say(self, title: str) -> None:
        """Say which point begins, or has ended."""
        self._console.print(title, style="bold", markup=False, soft_wrap=True)

    def fail(self, folder: Path, error: str) -> None:
        """A job came to nothing, or not to its end."""
        overrides, _ = self._jobs[folder.absolute()]
        self._jobs[folder.absolute()] = overrides, error

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a job: its folder, what was swept over, what came out, or went wrong."""
        results = sorted(self.path.absolute().rglob("result.json"))
        found: dict[Path, tuple[list[str], str]] = {path.parent: ([], "") for path in results}
        rows = []
        for folder, (overrides, error) in {**found, **self._jobs}.items():
            result = RunFolder(folder).read_result() or {}
            swept = result.get("overrides", overrides)
            measures = {**result.get("totals", {}), **result.get("final", {})}
            measures["wall_s"] = round(result["wall_s"], 1) if result else None
            rows.append(
                {
                    "job": os.path.relpath(folder, self.path),
                    **dict(override.split("=", 1) for override in swept),
                    **{name: measures.get(name) for name in _MEASURES},
                    **({"error": error} if (error := error or result.get("error", "")) else {}),
                }
            )
        return sorted(rows, key=_natural)

    def write(self) -> None:
        """Write ``summary.csv`` anew."""
        rows = self.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, _columns(rows), restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / "summary.csv", text.getvalue().encode())

    def show(self) -> None:
        """Print the summary, without what is the same in every run."""
        rows = self.rows()
        told = [
            name
            for name in _columns(rows)
            if name in ("job", "error", *_MEASURES) or len({row.get(name) for row in rows}) > 1
        ]
        cells = [{name.replace("_", " "): _shown(row.get(name)) for name in told} for row in rows]
        words = [name for name in told if name not in _MEASURES]
        self._console.print()
        self._console.print(fitting_table(cells, self._console.width, _LEAST_TOLD, words))
        self._console.print(f"written to {self.path / 'summary.csv'}", soft_wrap=True)
        look = f"look at it with: bcfl report {shlex.quote(str(self.path))}"
        self._console.print(look, soft_wrap=True)


def _natural(row: dict[str, Any]) -> list[tuple[int, str]]:
    """Numbers in a job's name by their size, so that 10 comes after 9."""
    parts = re.split(r"(\d+)", row["job"])
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The job, everything swept over, the measures, and what went wrong if anything did."""
    told = dict.fromkeys(name for row in rows for name in row)
    swept = [name for name in told if name not in ("job", "error", *_MEASURES)]
    return ["job", *swept, *_MEASURES, *(["error"] if "error" in told else [])]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
