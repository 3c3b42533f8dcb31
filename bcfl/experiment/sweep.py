"""A sweep: many runs, one table, kept up to date on disk as each run ends."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.terminal import make_console
from bcfl.files import write_atomically

__all__ = ["Sweep"]

_MEASURES = ("accuracy", "loss", "gas_per_round", "bytes_up", "bytes_up_dense", "wall_s")


class Sweep:
    """The folder of a sweep; its runs are in ``0/``, ``1/``, and so on.

    Parameters
    ----------
    path : Path
        ``summary.csv`` is written here.
    console : Console, optional
    """

    def __init__(self, path: Path, console: Console | None = None) -> None:
        self.path = path
        self._console = console or make_console()

    def announce(self, overrides: Sequence[str]) -> None:
        """Say which point of the sweep begins."""
        self._console.print(f"[bold]{' '.join(overrides) or 'defaults'}[/bold]", soft_wrap=True)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a finished run: its job, what was swept over, what came out."""
        results = [(path, RunFolder(path).read_result()) for path in self._jobs()]
        rows = []
        for path, result in results:
            if result is None:
                continue
            swept = dict(override.split("=", 1) for override in result["overrides"])
            measures = {**result["totals"], **result["final"], "wall_s": round(result["wall_s"], 1)}
            rows.append({"job": path.name, **swept, **{name: measures[name] for name in _MEASURES}})
        return rows

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
            if name in ("job", *_MEASURES) or len({row.get(name) for row in rows}) > 1
        ]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in told:
            table.add_column(
                name.replace("_", " "), justify="right" if name in _MEASURES else "left"
            )
        for row in rows:
            table.add_row(*(_shown(row.get(name)) for name in told))
        self._console.print()
        self._console.print(table)
        self._console.print(f"written to {self.path / 'summary.csv'}", soft_wrap=True)

    def _jobs(self) -> list[Path]:
        jobs = [path for path in self.path.iterdir() if path.is_dir() and path.name.isdigit()]
        return sorted(jobs, key=lambda path: int(path.name))


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The job, everything swept over, the measures."""
    swept = dict.fromkeys(name for row in rows for name in row)
    return ["job", *(n for n in swept if n not in ("job", *_MEASURES)), *_MEASURES]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
