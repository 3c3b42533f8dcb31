"""How deltas travel between members: in messages, or from store to store; plain, or sealed.

A SuperNode is started with ``--node-config 'bcfl-ipfs-url="http://127.0.0.1:5001"'``, its own
Kubo node. Where the server keeps the blobs on IPFS too, messages then carry locators, and the
deltas travel from member to member. Where blobs are for members only (``store.encrypt=true``),
what travels is sealed to their public keys, and each opens it with its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from flwr.app import Context

from bcfl.core.errors import ProtocolError
from bcfl.keys.sealing import seal_for
from bcfl.keys.signer import Reader, Signer
from bcfl.store.blob_store import LocatingStore
from bcfl.store.sealed import SealedStore

__all__ = ["IPFS_URL", "Parcels", "store_from"]

IPFS_URL = "bcfl-ipfs-url"


def store_from(context: Context) -> LocatingStore | None:
    """The node's own store, or None where its configuration names none."""
    url = context.node_config.get(IPFS_URL)
    return None if url is None else _store_at(str(url))


@dataclass(frozen=True, slots=True)
class Parcels:
    """Sends one member's deltas and opens the others'.

    Parameters
    ----------
    store : LocatingStore or None
        The node's own, of which the server knows nothing but locators.
    reader : Reader or None
        Opens what is sealed; None where blobs are plain.
    """

    store: LocatingStore | None = None
    reader: Reader | None = None

    @classmethod
    def of(cls, context: Context, signer: Signer, *, sealed: bool) -> Parcels:
        """Those of a node.

        Raises
        ------
        ProtocolError
            Blobs are sealed, and the node's signer cannot open any.
        """
        if sealed and not isinstance(signer, Reader):
            raise ProtocolError(
                f"the blobs of this task are for members only, and {signer.address} can sign but "
                "not open what is sealed to it: start this node with a key file"
            )
        return cls(store_from(context), signer if isinstance(signer, Reader) and sealed else None)

    def pack(self, blob: bytes, readers: Sequence[bytes], *, publish: bool) -> tuple[bytes, str]:
        """What to send of ``blob``: its bytes, sealed if there are readers; or none, and a locator.

        Raises
        ------
        SealError
            A reader's public key is none.
        StoreUnreachable
            The node's store does not take it.
        """
        if not publish or self.store is None:
            return (seal_for(blob, readers) if readers else blob), ""
        store = self._opening(self.store, readers)
        return b"", store.locator(store.put(blob))

    def unpack(self, digest: bytes, sent: bytes | None, locator: str, max_bytes: int) -> bytes:
        """The blob of that digest, from what was sent, or else from wherever ``locator`` says.

        Only what is fetched is hashed here: what was sent, whoever verifies it hashes.

        Raises
        ------
        ProtocolError
            It was not sent, and this node has no store to fetch it from.
        BlobError, CodecError
            It cannot be fetched, or cannot be opened.
        """
        if sent is not None:
            return sent if self.reader is None else self.reader.unseal(sent)
        if self.store is None:
            raise ProtocolError(
                f"the blob {digest.hex()[:16]}… was not sent but published; to fetch it, start "
                f"this node with --node-config '{IPFS_URL}=\"http://127.0.0.1:5001\"'"
            )
        store = self._opening(self.store, ())
        store.learn(digest, locator)
        return store.get(digest, max_bytes)

    def _opening(self, store: LocatingStore, readers: Sequence[bytes]) -> LocatingStore:
        return store if self.reader is None else SealedStore(store, self.reader, lambda: readers)


@lru_cache(maxsize=8)
def _store_at(url: str) -> LocatingStore:
    # an HTTP library, which nodes without a store of their own need not load for every message
    from bcfl.store.ipfs import IpfsStore  # noqa: PLC0415

    return IpfsStore(url)
