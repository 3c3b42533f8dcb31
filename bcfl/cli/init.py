"""``bcfl init DIR``: a small Flower project that uses bcfl; ``bcfl runs``: what there is."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

_NAME: Final = "federated_app"
_MISTAKEN: Final = 2


def init(
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet, or is empty.")],
) -> None:
    """Write a small Flower project that uses bcfl; `flwr run .` runs it."""
    name = re.sub(r"\W+", "_", folder.absolute().name).strip("_").lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or keyword.iskeyword(name):
        _refuse(
            "expected a folder whose name can be a Python package and a Flower app, 1 to 32 of "
            f"a-z, 0-9 and _, a letter first; found {folder.absolute().name!r}"
        )
    try:
        if folder.exists() and any(folder.iterdir()):
            _refuse(f"expected an empty folder, or none yet, at {folder}; there is something in it")
        for place, text in _files(files("bcfl.cli").joinpath("project"), ""):
            path = folder / place.replace(_NAME, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            own = text.replace(_NAME, name).replace(_flowers(_NAME), _flowers(name))
            path.write_text(own, "utf-8")
    except OSError as error:
        _refuse(f"{error.filename}: {error.strerror}")
    print(f"{folder} is a Flower project. Next:\n  cd {folder}\n  pip install -e .")
    print('  flwr run . --stream --federation-config "num-supernodes=4"\n  bcfl report run')


def runs(
    folder: Annotated[Path, typer.Argument(help="Where to look.")] = Path(),
) -> None:
    """List the runs in and below a folder: finished or not, and how well they did."""
    from bcfl.core.errors import AuditError  # noqa: PLC0415
    from bcfl.experiment.terminal import fitting_table, make_console  # noqa: PLC0415
    from bcfl.report import read_run  # noqa: PLC0415

    if not folder.is_dir():
        _refuse(f"expected a folder to look in; there is none at {folder.absolute()}")
    found = sorted(
        path.parent for name in ("config.yaml", "task.json") for path in folder.rglob(name)
    )
    rows = []
    for path in dict.fromkeys(found):
        try:
            result = read_run(path).result
        except AuditError:
            rows.append({"run": str(path), "ended with": "not finished: bcfl resume"})
            continue
        measured = [r.accuracy for r in result.rounds if r.accuracy is not None]
        accuracy = f"{measured[-1]:.3f}" if measured else "–"
        rows.append(
            {
                "run": str(path),
                "began": result.began,
                "strategy": result.strategy,
                "dataset": result.dataset,
                "rounds": str(len(result.rounds)),
                "accuracy": accuracy,
                "ended with": result.error or "success",
            }
        )
    console = make_console()
    least = "rounds", "dataset", "strategy", "began"
    words = "run", "began", "strategy", "dataset", "ended with"
    table = fitting_table(rows, console.width, least, words)
    console.print(table if rows else f"there is no run in {folder.absolute()}")


def _flowers(name: str) -> str:
    """The app's name as Flower has it: letters, digits and hyphens."""
    return name.replace("_", "-")


def _files(folder: Traversable, place: str) -> Iterator[tuple[str, str]]:
    """Place, relative to the project, and content of each file."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{place}{entry.name}/")
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            yield f"{place}{entry.name}", entry.read_text("utf-8")


def _refuse(words: str) -> None:
    print(f"bcfl: {words}", file=sys.stderr)
    raise typer.Exit(_MISTAKEN)
