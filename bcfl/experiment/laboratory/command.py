"""``bcfl lab``: what it prints, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from bcfl.core.errors import BcflError
from bcfl.experiment.laboratory.laboratory import QUICK, Laboratory
from bcfl.experiment.laboratory.table import rows, summarise
from bcfl.experiment.mistakes import complain, exit_status, interrupt
from bcfl.experiment.terminal import make_console


def lab_command(folder: Path, overrides: Sequence[str], *, quick: bool) -> int:
    """Play what is missing of a laboratory; print its table; return the exit status."""
    try:
        laboratory = Laboratory(folder, [*(QUICK if quick else ()), *overrides])
        table = rows(summarise(laboratory.play()))
    except (BcflError, OmegaConfBaseException, OSError, ModuleNotFoundError) as error:
        complain(error)
        return exit_status(error)
    except KeyboardInterrupt:
        interrupt(folder)
    console, shown = make_console(), Table(box=None, pad_edge=False, header_style="bold")
    for name in table[0] if table else ():
        shown.add_column(name)
    for row in table:
        shown.add_row(*row.values())
    console.print(shown)
    console.print(f"written to {folder}: table.md, cells.csv, heat.png, heat.svg", soft_wrap=True)
    return 0
