"""Where a blob lies, by its digest: for stores that need more than the digest to find it."""

from __future__ import annotations

from pathlib import Path

from bcfl.core.errors import CodecError, StoreUnreachable
from bcfl.files import write_atomically
from bcfl.store.local import check_digest, open_without_waiting

MAX_LOCATOR_CHARS = 256
_MAX_HINTS = 8  # for one digest
_MAX_HINTED_DIGESTS = 4096


class LocatorIndex:
    """Digest to locator, one small file each, so that several processes may share a folder.

    Only locators that led to the right bytes are put there; hints of others stay in memory.

    Parameters
    ----------
    folder : str, Path or None
        Made where it does not exist. None keeps the index in memory: it ends with the object.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()
        self._memory: dict[bytes, str] = {}
        self._hints: dict[bytes, tuple[str, ...]] = {}

    def get(self, digest: bytes) -> str | None:
        """The locator of ``digest``, or None.

        Raises
        ------
        CodecError
            If the file that holds it was damaged.
        StoreUnreachable
            If it cannot be read.
        """
        check_digest(digest)
        if self._folder is None:
            return self._memory.get(digest)
        path = self._path(self._folder, digest)
        try:
            with open(path, "rb", opener=open_without_waiting) as file:
                found = file.read(MAX_LOCATOR_CHARS + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnreachable(
                f"the blob index at {path} cannot be read: {error.strerror}; check its permissions"
            ) from error
        if not 0 < len(found) <= MAX_LOCATOR_CHARS or not found.isascii():
            raise CodecError(
                f"expected a locator of 1 to {MAX_LOCATOR_CHARS} ASCII letters in {path}; found "
                f"{found[:40]!r}; remove that file: the locator comes back with the next message"
            )
        return found.decode("ascii")

    def put(self, digest: bytes, locator: str) -> None:
        """Remember ``locator``, on the disk where there is a folder, and no hints any more.

        Raises
        ------
        StoreUnreachable
            If the folder cannot be written.
        """
        self.drop(digest)
        if self.get(digest) == locator:
            return
        if self._folder is None:
            self._memory[digest] = locator
            return
        path = self._path(self._folder, digest)
        try:
            write_atomically(path, locator.encode("ascii"))
        except OSError as error:
            raise StoreUnreachable(
                f"the blob index at {path} cannot be written: {error.strerror}; "
                "check its permissions and the room on the disk"
            ) from error

    @staticmethod
    def _path(folder: Path, digest: bytes) -> Path:
        return folder / digest.hex()[:2] / digest.hex()

    def known(self, digest: bytes) -> list[str]:
        """Where to look: the proven locator, then the hints, the newest first."""
        proven = self.get(digest)
        found = (proven, *self._hints.get(digest, ()))
        return [locator for locator in dict.fromkeys(found) if locator]

    def hint(self, digest: bytes, locator: str) -> None:
        """Put what somebody's message named, and what has led nowhere yet, before other hints.

        Kept in memory. A flood of wrong hints costs the oldest ones, never memory.
        """
        check_digest(digest)
        if self.get(digest) == locator:
            return
        others = self.drop(digest, locator)
        self._hints[digest] = (locator, *others[: _MAX_HINTS - 1])
        if len(self._hints) > _MAX_HINTED_DIGESTS:
            del self._hints[next(iter(self._hints))]

    def drop(self, digest: bytes, locator: str | None = None) -> tuple[str, ...]:
        """Forget one hint for ``digest``, or all of them; return those that are left."""
        left = tuple(one for one in self._hints.pop(digest, ()) if locator not in (None, one))
        if left:
            self._hints[digest] = left
        return left
