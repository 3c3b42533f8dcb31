"""Reading the files of a run's folder, whatever is in them, and changing none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bcfl.core import bounded_json
from bcfl.core.errors import AuditError

__all__ = ["parse_json", "read_file", "read_lines"]

#: Far more than any run writes; what is larger is something else, and is not read at all.
_MOST_BYTES = 2**30


def read_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """The whole of a plain file.

    Raises
    ------
    AuditError
        It is missing, no plain file, larger than any that a run writes, or not readable.
    """
    try:
        if not path.is_file():
            raise AuditError(f"expected a file {path}; there is none")
        if (size := path.stat().st_size) > most_bytes:
            raise AuditError(f"expected at most {most_bytes} bytes in {path}; found {size}")
        return path.read_bytes()
    except OSError as error:
        raise AuditError(f"cannot read {path}: {error.strerror or error}") from error


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file; a torn last one was promised to nobody.

    Raises
    ------
    AuditError
        As ``read_file``.
    """
    return read_file(path).split(b"\n")[:-1]


def parse_json(path: Path, text: bytes) -> Any:
    """The JSON value of a text from ``path``.

    Raises
    ------
    AuditError
        It is no JSON, or nested deeper than anything that a run writes.
    """
    try:
        return bounded_json.parse_json(text)
    except ValueError as error:
        raise AuditError(f"{path.name}: not JSON: {error}") from error
