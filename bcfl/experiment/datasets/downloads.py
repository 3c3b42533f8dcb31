"""What data sets that torchvision downloads have in common."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bcfl.core.errors import DatasetUnavailable

__all__ = ["downloading"]

#: A connection, or a read, that takes longer than this is given up.
WAIT_S = 20.0


@contextmanager
def downloading(name: str, folder: Path) -> Iterator[None]:
    """Bound every wait of torchvision's downloader, which has no timeout of its own.

    Raises
    ------
    DatasetUnavailable
        What torchvision found missing, or could not fetch, and what to do.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(WAIT_S)
    try:
        yield
    except (OSError, RuntimeError) as error:  # urllib's URLError is an OSError
        reason = " ".join(str(error).split())
        raise DatasetUnavailable(
            f"{name} is not in {folder} and cannot be downloaded ({reason}): "
            "put torchvision's files there, name another folder with dataset.folder=…, or use "
            "dataset=digits, which needs no network"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
