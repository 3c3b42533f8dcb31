"""Where an audit fetches blobs from; it puts none anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bcfl.adapters.ipfs_store import IpfsStore
from bcfl.adapters.local_store import LocalStore
from bcfl.apps.audit.files import read_file
from bcfl.core.errors import AuditError, BlobMissing
from bcfl.ports.blob_store import BlobStore

__all__ = ["open_blobs"]

_IPFS_INDEX: Final = "ipfs-index.jsonl"  # as conf/store/ipfs.yaml names it


def open_blobs(folder: Path, ipfs_url: str | None = None) -> BlobStore:
    """The store to fetch blobs from: the node at ``ipfs_url``, else the folder's own.

    Raises
    ------
    AuditError
        The run kept its blobs on IPFS, and no node was named.
    """
    index = folder / _IPFS_INDEX
    if ipfs_url is not None:
        return IpfsStore(ipfs_url, index=index if index.is_dir() else None, pin=False)
    path = folder / "blobs"
    if path.is_dir():
        return LocalStore(path)
    if index.exists() or b"IpfsStore" in _configuration(folder):
        raise AuditError("the blobs of this run are on IPFS: name a node that has them with --ipfs")
    return _NoBlobs(path)


def _configuration(folder: Path) -> bytes:
    try:
        return read_file(folder / "config.yaml")
    except AuditError:
        return b""


class _NoBlobs:
    """What a folder without blobs has in store; making one would change the evidence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, blob: bytes) -> bytes:
        raise BlobMissing(f"an audit writes nothing to {self._path}")

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        raise BlobMissing(
            f"expected a blob {digest.hex()}; there is no folder {self._path}. If the blobs are "
            "on IPFS, name a node with --ipfs"
        )

    def has(self, digest: bytes) -> bool:
        return False
