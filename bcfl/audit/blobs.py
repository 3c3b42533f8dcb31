"""Where an audit fetches blobs from; it puts none anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bcfl.audit.plain_files import parse_json, read_file
from bcfl.core.errors import AuditError, BlobMissing
from bcfl.keys.accounts import (
    DEVELOPMENT_CHAINS,
    PASSWORD_VARIABLE,
    Account,
    derive_account,
)
from bcfl.store.blob_store import BlobStore
from bcfl.store.ipfs import IpfsStore
from bcfl.store.local import LocalStore
from bcfl.store.sealed import SEALED_INDEX, SealedStore

_IPFS_INDEX: Final = "ipfs-index.jsonl"  # as conf/store/ipfs.yaml names it


def open_blobs(
    folder: Path,
    ipfs_url: str | None = None,
    key_file: Path | None = None,
    blobs: Path | None = None,
) -> BlobStore:
    """The store to fetch blobs from: the node at ``ipfs_url``, ``blobs``, else the folder's own.

    What is sealed there is opened with the key of ``key_file``. The blobs of a simulation on a
    development chain need none: its keys follow from its seed.

    Raises
    ------
    AccountError
        The key file, or its password, cannot be used.
    AuditError
        The run kept its blobs on IPFS, and no node was named; or they are sealed, and there
        is no key.
    """
    store = _as_they_lie(folder, ipfs_url, blobs)
    index = folder / SEALED_INDEX
    if not index.is_dir():
        return store
    reader = _development_key(folder) if key_file is None else Account.from_key_file(key_file)
    if reader is None:
        raise AuditError(
            "the blobs of this run are sealed to its members: give the key file of one of them, "
            f"or of the coordinator, with --key-file, and its password in {PASSWORD_VARIABLE}"
        )
    return SealedStore(store, reader, tuple, index=index)


def _as_they_lie(folder: Path, ipfs_url: str | None, blobs: Path | None) -> BlobStore:
    index = folder / _IPFS_INDEX
    if ipfs_url is not None:
        return IpfsStore(ipfs_url, index=index if index.is_dir() else None, pin=False)
    path = folder / "blobs" if blobs is None else blobs
    if path.is_dir():
        return LocalStore(path)
    if index.exists() or b"IpfsStore" in _configuration(folder):
        raise AuditError("the blobs of this run are on IPFS: name a node that has them with --ipfs")
    return _NoBlobs(path)


def _development_key(folder: Path) -> Account | None:
    """The coordinator's key, where whoever knows the run's seed has it anyway."""
    path = folder / "task.json"
    task = parse_json(path, read_file(path))
    try:
        account = derive_account(int(task["seed"]), "coordinator", 0)
        simulated = task["chain_id"] in DEVELOPMENT_CHAINS
        return account if simulated and account.address == task["coordinator"] else None
    except (KeyError, TypeError, ValueError):
        return None


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
            "on IPFS, name a node with --ipfs; another folder with --blobs"
        )

    def has(self, digest: bytes) -> bool:
        return False
