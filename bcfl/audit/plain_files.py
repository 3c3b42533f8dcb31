"""The bytes of a foreign folder's files: within bounds, of the folder itself, never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Final

from bcfl.core import strict_json
from bcfl.core.errors import AuditError
from bcfl.store.local import open_without_waiting

#: Far more than any run writes; what is larger is something else, and is not read at all.
_MOST_BYTES: Final = 2**28
_MOST_LINES: Final = 2**20
MOST_MODEL_BYTES: Final = 2**32


def read_file(path: Path, most_bytes: int = _MOST_BYTES, within: Path | None = None) -> bytes:
    """The whole of a plain file.

    Parameters
    ----------
    path : Path
    most_bytes : int
        Its size is looked at before anything is read.
    within : Path, optional
        The folder that it must lie in once all links are followed; by default the one that its
        name says. Whoever made a folder shall not have other files of the reader's read.

    Raises
    ------
    AuditError
        It is missing, no plain file (nothing is waited for), outside the folder, larger than
        any that a run writes, or not readable.
    """
    try:
        home = (path.parent if within is None else within).resolve()
        if not path.resolve().is_relative_to(home):
            raise AuditError(f"expected {path} in its folder; it is a link to elsewhere")
        with open(path, "rb", opener=open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise AuditError(f"expected a plain file {path}; found another kind of thing")
            content = b"" if status.st_size > most_bytes else file.read(most_bytes + 1)
        if (size := max(status.st_size, len(content))) > most_bytes:
            raise AuditError(f"expected at most {most_bytes} bytes in {path}; found {size}")
        return content
    except FileNotFoundError:
        raise AuditError(f"expected a file {path}; there is none") from None
    except (OSError, RuntimeError) as error:  # a RuntimeError for links that go round in a circle
        reason = getattr(error, "strerror", None) or error
        raise AuditError(f"cannot read {path}: {reason}") from error


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file; a torn last one was promised to nobody.

    Raises
    ------
    AuditError
        As ``read_file``; or there are more lines than any run writes.
    """
    content = read_file(path)
    if (count := content.count(b"\n")) > _MOST_LINES:
        raise AuditError(f"expected at most {_MOST_LINES} lines in {path}; found {count}")
    return content.split(b"\n")[:-1]


def parse_json(path: Path, text: bytes) -> Any:
    """The JSON value of a text from ``path``.

    Raises
    ------
    AuditError
        It is no JSON, or nested deeper than anything that a run writes.
    """
    try:
        return strict_json.parse_json(text)
    except ValueError as error:
        raise AuditError(f"{path.name}: not JSON: {error}") from error
