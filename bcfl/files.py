"""A file that only grows, a JSON object a line, safe against ``kill -9``.

Every line is on disk before :meth:`Journal.append` returns. A torn last line, the mark of a
process that died while writing, was never promised to anyone and is cut off when the journal
is opened again; damage anywhere else is an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bcfl.core.bounded_json import parse_json
from bcfl.core.errors import AuditError

__all__ = ["Journal"]


class Journal:
    """Append-only JSON lines.

    Parameters
    ----------
    path : Path
        Created, with its folder, by the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cut_torn_line()

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry and wait until it is on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All entries, oldest first.

        Raises
        ------
        AuditError
            A line that is no JSON object, with its number.
        """
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().splitlines(), 1):
            try:
                entry = parse_json(line)
            except ValueError as error:
                raise AuditError(f"{self.path.name}, line {number}: not JSON: {error}") from error
            if not isinstance(entry, dict):
                raise AuditError(f"{self.path.name}, line {number}: expected an object")
            yield entry

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
