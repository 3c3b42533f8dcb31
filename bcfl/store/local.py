"""A folder as blob store: one file a blob, named by its SHA-256.

``folder/ab/abcd…`` holds the blob whose digest is ``abcd…``; 256 sub-folders keep listings
short. A blob appears under its name whole or not at all: it is written to a temporary file
beside it, forced to the disk, and renamed. Several processes may share the folder, and any
of them may be killed at any moment; what a killed writer leaves is a ``.tmp-…`` file that no
reader looks at and that is removed once it is a day old.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path

from bcfl.core.errors import BlobMissing, CodecError, ConfigurationError, StoreUnreachable
from bcfl.files import TEMPORARY, write_atomically

_STALE_S = 24 * 3600


class LocalStore:
    """Content-addressed folder (:class:`bcfl.store.blob_store.BlobStore`).

    Parameters
    ----------
    folder : str or Path
        Made, with its parents, when the first blob is put.

    Raises
    ------
    ConfigurationError
        If something that is no folder has that name.
    StoreUnreachable
        If the folder cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        try:
            there = next(p for p in (self.folder, *self.folder.parents) if p.exists())
            if not there.is_dir():
                raise ConfigurationError(
                    f"expected a folder to keep blobs in at {self.folder}; found something else "
                    "there or above it; name another folder"
                )
            _remove_stale(self.folder)
        except OSError as error:
            raise _unreachable(self.folder, error) from error

    def __repr__(self) -> str:
        return f"LocalStore({str(self.folder)!r})"

    def put(self, blob: bytes) -> bytes:
        """Keep ``blob``; return its SHA-256 (32 bytes).

        Putting it again changes nothing, except that a damaged copy is replaced.

        Raises
        ------
        StoreUnreachable
            If the folder cannot be written, or the disk is full.
        """
        digest = hashlib.sha256(blob).digest()
        with contextlib.suppress(BlobMissing, CodecError):
            self.get(digest, max_bytes=len(blob))
            return digest
        path = self._path(digest)
        try:
            write_atomically(path, blob)
        except OSError as error:
            raise _unreachable(path, error) from error
        return digest

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        """The blob of that digest, re-hashed; its size is looked at before it is read.

        Parameters
        ----------
        digest : bytes
            SHA-256, 32 bytes.
        max_bytes : int
            The largest blob that the caller wants.

        Raises
        ------
        BlobMissing
            If there is none.
        CodecError
            If it is longer than ``max_bytes``, if it hashes to something else, or if
            ``digest`` is no digest.
        StoreUnreachable
            If the file cannot be read.
        """
        path = self._path(digest)
        try:
            blob = _read(path, max_bytes)
        except (FileNotFoundError, NotADirectoryError):
            raise BlobMissing(
                f"expected a blob {digest.hex()} in {self.folder}; found none; "
                "is this the folder that the run wrote to?"
            ) from None
        except OSError as error:
            raise _unreachable(path, error) from error
        fault = "the file is damaged; putting the blob again mends it"
        return expect_digest(digest, blob, str(path), fault)

    def has(self, digest: bytes) -> bool:
        """Whether a file of that name is there; only ``get`` reads and re-hashes it."""
        return self._path(digest).is_file()

    def _path(self, digest: bytes) -> Path:
        check_digest(digest)
        name = digest.hex()
        return self.folder / name[:2] / name


def check_digest(digest: bytes) -> None:
    """Raise CodecError unless ``digest`` has the 32 bytes of a SHA-256."""
    if len(digest) != 32:
        raise CodecError(f"a digest is 32 bytes long; found {len(digest)}")


def expect_digest(digest: bytes, blob: bytes, where: str, fault: str) -> bytes:
    """``blob`` again; CodecError, which says whose fault it is, if it hashes to something else."""
    if (found := hashlib.sha256(blob).digest()) != digest:
        raise CodecError(
            f"expected bytes that hash to {digest.hex()}; found {len(blob)} bytes in {where} that "
            f"hash to {found.hex()}: {fault}"
        )
    return blob


def _read(path: Path, max_bytes: int) -> bytes:
    with open(path, "rb", opener=open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CodecError(f"expected a plain file at {path}; found another kind of thing")
        size = status.st_size
        blob = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(size, len(blob)) > max_bytes:
        raise CodecError(f"expected at most {max_bytes} bytes in {path}; found {size}")
    return blob


def open_without_waiting(path: str, flags: int) -> int:
    """An ``opener``: a pipe put where a file is expected must not hang its reader."""
    return os.open(path, flags | os.O_NONBLOCK)


def _remove_stale(folder: Path) -> None:
    before = time.time() - _STALE_S
    for left_over in folder.glob(f"??/{TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):  # somebody else sweeps, too
            if left_over.stat().st_mtime < before:
                left_over.unlink()


def _unreachable(path: Path, error: OSError) -> StoreUnreachable:
    return StoreUnreachable(
        f"the blob store at {path} cannot be used: {error.strerror or error}; "
        "check that it exists, that this account may write there, and that the disk has room"
    )
