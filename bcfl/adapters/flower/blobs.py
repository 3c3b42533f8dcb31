"""Where a node fetches the others' deltas itself, instead of being handed them.

A SuperNode is started with ``--node-config 'bcfl-ipfs-url="http://127.0.0.1:5001"'``, its own
Kubo node. Where the server keeps the blobs on IPFS too, messages then carry locators, and the
deltas travel from member to member.
"""

from __future__ import annotations

from functools import lru_cache

from flwr.app import Context

from bcfl.adapters.ipfs_store import IpfsStore
from bcfl.core.errors import ProtocolError
from bcfl.ports.blob_store import BlobStore, LocatingStore

__all__ = ["IPFS_URL", "fetch", "publish", "store_from"]

IPFS_URL = "bcfl-ipfs-url"


def store_from(context: Context) -> LocatingStore | None:
    """The node's own store, or None where its configuration names none."""
    url = context.node_config.get(IPFS_URL)
    return None if url is None else _store_at(str(url))


def publish(store: LocatingStore, blob: bytes) -> str:
    """Put ``blob`` where others can fetch it; its locator. Raises as ``BlobStore.put``."""
    return store.locator(store.put(blob))


def fetch(store: BlobStore | None, digest: bytes, locator: str, max_bytes: int) -> bytes:
    """The blob of that digest, from wherever ``locator`` says; re-hashed by the store.

    Raises
    ------
    ProtocolError
        This node has no such store.
    BlobError, CodecError
        As ``BlobStore.get`` and ``LocatingStore.learn``.
    """
    if not isinstance(store, LocatingStore):
        raise ProtocolError(
            f"the blob {digest.hex()[:16]}… was not sent but published; to fetch it, start "
            f"this node with --node-config '{IPFS_URL}=\"http://127.0.0.1:5001\"'"
        )
    store.learn(digest, locator)
    return store.get(digest, max_bytes)


@lru_cache(maxsize=8)
def _store_at(url: str) -> IpfsStore:
    return IpfsStore(url)
