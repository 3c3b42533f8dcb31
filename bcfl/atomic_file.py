"""Files that are written whole or not at all, whenever the process or the machine dies."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["TEMPORARY", "write_atomically"]

#: How the name of a file begins that is still being written.
TEMPORARY = ".tmp-"


def write_atomically(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``: whole or not at all, and on the disk on return.

    The folder is made where it does not exist. Permissions follow the umask, so that other
    accounts can share the folder if its owner wants that.

    Raises
    ------
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
