"""How deltas travel: in messages, or from store to store; plain, or sealed.

Where the server's store is one that others can fetch from (``bcfl.store.ipfs``), members that have
such a store too publish their deltas there, and messages carry locators. Where blobs are for
members only (``store.encrypt=true``), what travels is sealed to their public keys. Both sides
decide both questions here, and ask neither again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bcfl.core.errors import ProtocolError
from bcfl.keys.sealing import seal_for
from bcfl.keys.signer import Reader
from bcfl.store.blob_store import BlobStore, LocatingStore
from bcfl.store.sealed import SealedStore

IPFS_URL = "bcfl-ipfs-url"  #: in a node's configuration: the URL of its own Kubo node


class Parcels:
    """One party's way to keep deltas, to send them, and to get those of others.

    Parameters
    ----------
    store : BlobStore, optional
        Its own; a ``LocatingStore`` is one that others can fetch from.
    reader : Reader, optional
        Its key, where blobs are for members only. None: they are plain.
    recipients : callable
        Gives the public keys that blobs are sealed to, beside the reader's.
    index : Path, optional
        Folder that remembers where sealed blobs lie. None: that ends with this object.
    """

    def __init__(
        self,
        store: BlobStore | None,
        reader: Reader | None = None,
        recipients: Callable[[], Iterable[bytes]] = tuple,
        index: Path | None = None,
    ) -> None:
        self._reader = reader
        self._sealed: SealedStore | None = None
        self._store = store
        self._shared = store if isinstance(store, LocatingStore) else None
        self._recipients = recipients
        if store is not None and reader is not None:
            self._store = self._sealed = SealedStore(store, reader, recipients, index=index)
            self._shared = self._sealed if self._shared is not None else None

    @property
    def shared(self) -> bool:
        """Whether others can fetch from this party's store."""
        return self._shared is not None

    def readers(self) -> list[bytes]:
        """The public keys that blobs are sealed to now; none where they are plain."""
        return self._sealed.readers() if self._sealed is not None else []

    def put(self, blob: bytes) -> bytes:
        """Keep ``blob``; its digest. Raises as ``BlobStore.put``."""
        return self._own().put(blob)

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        """The blob of that digest, opened. Raises as ``BlobStore.get``."""
        return self._own().get(digest, max_bytes)

    def parcel(self, digest: bytes, max_bytes: int) -> bytes:
        """The blob of that digest as it is sent to members. Raises as ``BlobStore.get``."""
        own = self._sealed.get_sealed if self._sealed is not None else self._own().get
        return own(digest, max_bytes)

    def locator(self, digest: bytes) -> str:
        """What leads others to the blob of that digest; empty where nothing need, or can."""
        return self._shared.locator(digest) if self._shared is not None else ""

    def pack(self, blob: bytes, *, publish: bool) -> tuple[bytes, str]:
        """What to send of ``blob``: its bytes; or, published, none of them and a locator.

        Raises
        ------
        SealError
            A reader's public key is none.
        StoreUnreachable
            The store does not take it.
        """
        if publish and self._shared is not None:
            return b"", self._shared.locator(self._shared.put(blob))
        return blob if self._reader is None else seal_for(blob, list(self._recipients())), ""

    def unpack(self, digest: bytes, sent: bytes | None, locator: str, max_bytes: int) -> bytes:
        """The blob of that digest: opened, from what was sent, or fetched by its locator.

        What is fetched is hashed here; what was sent is for the caller to hash.

        Raises
        ------
        ProtocolError
            It was not sent, and there is no store here to fetch it from.
        BlobError, CodecError
            It cannot be fetched, or cannot be opened.
        """
        if sent is not None:
            return sent if self._reader is None else self._reader.unseal(sent)
        if self._shared is None:
            raise ProtocolError(
                f"the blob {digest.hex()[:16]}… was not sent, and there is no store here to fetch "
                "it from; to give a node one, start it with --node-config "
                f"'{IPFS_URL}=\"http://127.0.0.1:5001\"'"
            )
        self._shared.learn(digest, locator)
        return self._shared.get(digest, max_bytes)

    def _own(self) -> BlobStore:
        if self._store is None:
            raise ProtocolError("expected a store of this party's own to keep blobs in; found none")
        return self._store
