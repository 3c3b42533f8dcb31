"""What a long command says: a line for each thing done, and while it works, that it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bcfl.keys.accounts import PASSWORD_FILE_VARIABLE, PASSWORD_VARIABLE


class Narrator:
    """Given a line for each thing that is done or begun.

    Parameters
    ----------
    console : Console
        On a terminal the newest line is repeated below the others, with the time since.
    progress : Progress
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._task = progress.add_task("", total=None)

    def __call__(self, line: str) -> None:
        """Say it; on a terminal folded between words, in a file whole."""
        self._console.print(line, soft_wrap=not self._console.is_terminal, markup=False)
        self._progress.start()
        self._progress.reset(self._task, description=line)


@contextmanager
def narrated() -> Iterator[Narrator]:
    """A narrator on standard output; what it shows beside its lines is gone afterwards."""
    console = Console(highlight=False)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    try:
        yield Narrator(console, shown)
    finally:
        shown.stop()


def typed_password(key_file: Path) -> str | None:
    """What somebody types; None where the environment says it, or nobody is there."""
    given = os.environ.keys() & {PASSWORD_VARIABLE, PASSWORD_FILE_VARIABLE}
    return None if given or not sys.stdin.isatty() else getpass(f"password of {key_file}: ")


def ask_for_password(key_file: Path | None) -> None:
    """Put what is typed where whatever opens key files looks; see :func:`typed_password`."""
    if key_file is not None and (password := typed_password(key_file)) is not None:
        os.environ[PASSWORD_VARIABLE] = password
