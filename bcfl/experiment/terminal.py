"""What a person sees of a run: a table that grows above a bar, and a summary when it has ended.

Where standard output is no terminal (a pipe, a log) a round is a line, and the table comes last.
"""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, JustifyMethod, RenderableType
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

#: Columns of output into a file or a pipe.
_WIDTH = 120
#: From how many columns on there is room beside the round for a bar, and for the run's title.
_BARRED, _TITLED = 100, 76
#: A cell of more characters may be folded where there is no room.
_FOLDED = 24
#: Columns that a narrow terminal goes without, the first ones first; `bcfl report` has them.
_LEAST_TOLD = ("of dense", "up", "seconds", "loss", "rejected")


class _GrowingTable(Progress):
    """A bar, and above it the newest rounds; how many, the terminal's height says."""

    rounds: Sequence[dict[str, Any]] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        """Called by Rich, at each refresh."""
        if newest := [entry for entry in self.rounds if entry["round"]]:
            yield round_table(newest[-max(1, self.console.height - 4) :], self.console.width)
        yield self.make_tasks_table(self.tasks)


class Terminal:
    """The bar, the table and the summary of one run.

    Parameters
    ----------
    title : str
        What is running.
    rounds : int
        How many rounds there will be.
    console : Console, optional
    """

    def __init__(self, title: str, rounds: int, console: Console | None = None) -> None:
        self.console = console or make_console()
        self._rounds = rounds
        width = self.console.width
        columns: list[ProgressColumn] = [TextColumn(title)] if width >= _TITLED else []
        columns += [BarColumn(bar_width=24)] if width >= _BARRED else []
        self._progress = _GrowingTable(
            *columns,
            TextColumn("round {task.fields[at]}/{task.total} {task.fields[phase]:<9}"),
            TextColumn("accuracy {task.fields[accuracy]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=rounds, at=0, phase="start", accuracy="–")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def phase(self, round_: int, phase: str) -> None:
        """Show the round and its phase."""
        if round_ <= self._rounds:
            self._progress.update(self._task, at=round_, phase=phase)

    def measured(self, rounds: Sequence[dict[str, Any]]) -> None:
        """Show all rounds until now; move the bar on to the last, which was measured."""
        entry = rounds[-1]
        accuracy = _number(entry["accuracy"])
        self._progress.rounds = rounds
        self._progress.update(self._task, completed=entry["round"], accuracy=accuracy)
        if not self.console.is_terminal:
            line = f"round {entry['round']}/{self._rounds}: accuracy {accuracy}"
            self.console.print(f"{line}, loss {_number(entry['loss'])}")

    def show(self, result: dict[str, Any], folder: Path, rpc_url: str = "") -> None:
        """Print the table of the rounds, and the summary."""
        self.console.print(round_table(result["rounds"], self.console.width))
        for line in summary_lines(result, folder, rpc_url):
            self.console.print(line, soft_wrap=True)


def make_console() -> Console:
    """Standard output, brackets as they are; where it is no terminal, as wide as the tables."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=_WIDTH)


def round_table(rounds: Iterable[dict[str, Any]], width: int = _WIDTH) -> Table:
    """A row a round; where a chain was in it, also who took part and what it cost.

    Where ``width`` characters are too few for all columns, those go that matter least.
    """
    rows = [_row(entry) for entry in rounds if entry["round"]]
    return fitting_table(rows, width, _LEAST_TOLD, ("winners", "outcome"))


def fitting_table(
    rows: Sequence[dict[str, str]], width: int, least: Iterable[str], words: Container[str]
) -> Table:
    """A table of as many columns as ``width`` characters hold.

    Parameters
    ----------
    rows : sequence of dict
        Cells by their headings.
    least : iterable of str
        Headings that a narrow table goes without, the first ones first.
    words : container of str
        Headings of columns that are no numbers.
    """
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    for heading in least:
        if _width_of(rows, headings) > width and heading in headings:
            headings.remove(heading)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        justify: JustifyMethod = "left" if heading in words else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(row.get(heading, "") for heading in headings))
    return table


def _row(entry: dict[str, Any]) -> dict[str, str]:
    """A round's cells, by their headings."""
    row = {
        "round": str(entry["round"]),
        "accuracy": _number(entry.get("accuracy")),
        "loss": _number(entry.get("loss")),
    }
    if "winners" in entry:
        rejected = {int(j) for row_ in entry["rejected"].values() for j in row_}
        row["committed"] = f"{len(entry['committed'])}/{len(entry['expected'])}"
        row["rejected"] = _members(rejected)
        row["winners"] = "void" if entry["void"] else _members(entry["winners"])
    if "outcome" in entry:
        row["contributor"] = str(entry["contributor"])
        row["reported"] = _reported(entry["fitness"], entry["reasons"])
        row |= {"outcome": entry["outcome"], "fused": str(entry["fused"])}
    if "gas" in entry:
        row["gas"] = f"{sum(entry['gas'].values()):,}"
    dense = entry["bytes_up_dense"]
    row["up"] = decimal(entry["bytes_up"])
    row["of dense"] = f"{entry['bytes_up'] / dense:.1%}" if dense else "–"
    row["seconds"] = f"{sum(entry['seconds'].values()):.1f}"
    return row


def _width_of(rows: Sequence[dict[str, str]], headings: Sequence[str]) -> int:
    """Characters of a line, with two between columns; what is long may be folded."""
    columns = ([heading, *(row.get(heading, "") for row in rows)] for heading in headings)
    return sum(min(_FOLDED, max(map(len, column))) + 2 for column in columns) - 2


def summary_lines(result: dict[str, Any], folder: Path, rpc_url: str = "") -> list[str]:
    """The closing words: accuracy, gas, bytes, and where everything is.

    Parameters
    ----------
    result : dict
        As ``result.json`` holds it.
    folder : Path
    rpc_url : str
        Of the node that has the chain; empty where the folder has it.
    """
    final, totals = result["final"], result["totals"]
    lines = [
        "",
        f"{result['strategy']} on {result['dataset']}: test accuracy "
        f"{_number(final['accuracy'])} after {final['round']} "
        f"round{'s' * (final['round'] != 1)}, "
        f"{result['wall_s']:.0f} s",
    ]
    if totals["gas"]:
        lines.append(f"gas: {totals['gas_per_round']:,} a round, {totals['gas']:,} for all of them")
    saved = 1 - totals["bytes_up"] / totals["bytes_up_dense"] if totals["bytes_up_dense"] else 0
    if saved > 0:
        lines.append(
            f"sent by the clients: {decimal(totals['bytes_up'])} instead of "
            f"{decimal(totals['bytes_up_dense'])}, {saved:.0%} saved"
        )
    lines.append(f"model: {final['model']}")
    where = shlex.quote(str(folder))
    lines.append(f"everything is in {folder}: result.json, model.safetensors, …")
    if totals["gas"] and any("winners" in entry for entry in result["rounds"]):
        node = f" --rpc {shlex.quote(rpc_url)}" if rpc_url else ""
        lines.append(f"check every round of it with: bcfl audit {where}{node}")
    lines.append(f"look at it with: bcfl report {where}")
    return lines


def _reported(fitness: dict[str, float], reasons: dict[str, str]) -> str:
    """What a panel found, once if all found the same."""
    said = [
        f"{value:.3f}" if reasons[who] == "measured" else reasons[who]
        for who, value in fitness.items()
    ]
    return " ".join(dict.fromkeys(said)) or "–"


def _members(indices: Iterable[int]) -> str:
    return " ".join(str(index) for index in sorted(indices)) or "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
