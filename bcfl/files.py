"""Files that survive ``kill -9``: those that only grow, and those that are written whole."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from bcfl.core.errors import AuditError
from bcfl.core.strict_json import parse_json

#: How the name of a file begins that is still being written.
TEMPORARY = ".tmp-"


class Journal:
    """A file that only grows, a JSON object a line.

    Every line is on disk before :meth:`append` returns. A torn last line, the mark of a process
    that died while writing, was never promised to anyone and is cut off when the journal is
    opened again; damage anywhere else is an error.

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


def write_atomically(path: Path, data: bytes, *, anew: bool = False) -> None:
    """Make ``data`` the content of ``path``: whole or not at all, and on the disk on return.

    The folder is made where it does not exist. Permissions follow the umask, so that other
    accounts can share the folder if its owner wants that.

    Parameters
    ----------
    path : Path
    data : bytes
    anew : bool
        Nothing is replaced: of several that write at once, one does.

    Raises
    ------
    FileExistsError
        ``anew``, and there is a file.
    OSError
        If anything fails; then ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if anew:
            os.link(temporary, path)
            temporary.unlink()
        else:
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # the rename itself is on the disk only once its folder is
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays; the file's metadata keep their order, as JSON under ``order``.

    safetensors 0.8 writes an array's memory as it lies, whatever its strides: an array that is
    not C-contiguous would be read back as another one, so it is copied first.

    Parameters
    ----------
    path : Path
        Replaced, or left as it is if writing fails.
    arrays : mapping of str to array
        Of any shape, those without dimensions included.
    """
    rows = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"order": json.dumps(list(rows))}
    write_atomically(path, safetensors.numpy.save(rows, metadata))
