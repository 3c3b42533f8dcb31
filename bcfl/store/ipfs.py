"""IPFS as blob store, through the RPC of the member's own Kubo node.

The chain names a blob by SHA-256 of its bytes, IPFS by a CID. Blobs are cut by the profile
``unixfs-v1-2025``, into chunks of 1 MiB, the largest block that every node takes: a blob of up
to 1 MiB is one raw block, its CID *is* its digest, and the chain alone leads to it. The CID of
a longer blob hashes the root of a tree of blocks and cannot be had from the digest. Such a CID

- is kept by this store, once it has led to the right bytes, in an index (a folder, so that it
  outlives the process), and
- is what ``locator`` gives and ``learn`` takes: it travels in the messages beside the digest.

Nobody is believed: the CID that a node gives is compared with our own, a CID from a message is
a hint that a wrong one can delay but not mislead, and what is fetched is re-hashed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from bcfl.core.errors import (
    BlobError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    StoreUnreachable,
)
from bcfl.store.cid import UNIXFS_V1_2025, Cid, Layout, cid_of
from bcfl.store.kubo import KuboRpc
from bcfl.store.local import check_digest, expect_digest
from bcfl.store.locators import LocatorIndex

_LOG = logging.getLogger(__name__)
_LIAR = "whoever named that CID, or served it, is wrong"
_LOOKUP_S = 5.0  # what ``has`` gives a node to search the network


class IpfsStore:
    """Kubo node (:class:`bcfl.store.blob_store.LocatingStore`).

    Parameters
    ----------
    url : str
        Of the node's RPC; see :class:`bcfl.store.kubo.KuboRpc`.
    index : str, Path or None
        Folder for the CIDs of blobs longer than a chunk. None: they end with this object.
    layout : Layout
        How blobs are cut that this store puts; those it gets may be cut in any way.
    budget_s : float
        Seconds for one ``put`` or ``get`` with all its tries.
    pin : bool
        Pin what is put, and what was fetched and found right: every member's node then keeps
        the blobs of its runs, and they can be audited after the server has gone.
    sleep : callable
        Waits between tries; tests pass their own.

    Raises
    ------
    ConfigurationError
        If the URL or the budget is none, or the layout wraps its leaves.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5001",
        *,
        index: str | Path | None = None,
        layout: Layout = UNIXFS_V1_2025,
        budget_s: float = 60.0,
        pin: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not layout.raw_leaves:
            raise ConfigurationError(
                "expected a layout with raw leaves, in which short blobs are found by their "
                "digest; found one that wraps them; choose UNIXFS_V1_2025 or KUBO_CIDV1"
            )
        self._rpc = KuboRpc(url, budget_s, sleep)
        self._index = LocatorIndex(index)
        self._layout = layout
        self._budget_s = budget_s
        self._pin = pin

    def __repr__(self) -> str:
        return f"IpfsStore({self._rpc.url!r})"

    def put(self, blob: bytes) -> bytes:
        """Add ``blob`` to the node; return its SHA-256 (32 bytes).

        Raises
        ------
        BlobError
            If the node gives it another CID than the bytes have.
        CodecError
            If the node's answer does not end.
        StoreUnreachable
            If the node does not answer, or refuses.
        """
        digest = hashlib.sha256(blob).digest()
        cid = cid_of(blob, self._layout)
        answered = self._rpc.add(blob, self._layout, pin=self._pin)
        if answered != str(cid):
            raise BlobError(
                f"expected the node at {self._rpc.url} to store {len(blob)} bytes as {cid}; it "
                f"answered {answered[:100]!r}; Kubo before 0.35 knows only trees of 174 links "
                "and differs for blobs over 174 MiB; if that is not why, do not trust this node"
            )
        if cid.blob_digest is None:
            self._index.put(digest, str(cid))
        return digest

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        """The blob of that digest, fetched through the node and re-hashed.

        Parameters
        ----------
        digest : bytes
            SHA-256, 32 bytes.
        max_bytes : int
            The largest blob that the caller wants; no more is ever read.

        Raises
        ------
        BlobMissing
            If the node neither has nor finds it under any CID known for it.
        CodecError
            If what it serves hashes to something else, or is longer than ``max_bytes``.
        StoreUnreachable
            If the node does not answer.
        """
        deadline = time.monotonic() + self._budget_s
        candidates = self._candidates(digest)
        unreachable: StoreUnreachable | None = None
        refused: CodecError | None = None
        for tried, cid in enumerate(candidates):
            share_s = (deadline - time.monotonic()) / (len(candidates) - tried)
            try:
                blob = self._rpc.cat(cid, max_bytes, max(share_s, 0.001))
                expect_digest(digest, blob, cid, _LIAR)
            except BlobMissing:
                continue
            except StoreUnreachable as error:  # a hint, say to a folder, may be all that failed
                unreachable = error
                continue
            except CodecError as error:
                self._index.drop(digest, cid)
                refused = refused or error
                continue
            self._keep(digest, cid, max(deadline - time.monotonic(), 1.0))
            return blob
        missing = BlobMissing(
            f"expected a blob {digest.hex()} at the IPFS node {self._rpc.url}; within "
            f"{self._budget_s:g} s it found none of {', '.join(candidates)}; a blob of more than "
            f"{self._layout.chunk_bytes} bytes needs the CID from the message that named it"
        )
        raise refused or unreachable or missing

    def has(self, digest: bytes) -> bool:
        """Whether the node has, or finds within seconds, the first block of that blob.

        Raises
        ------
        StoreUnreachable
            If the node does not answer.
        """
        candidates = self._candidates(digest)
        share_s = min(self._budget_s, _LOOKUP_S) / len(candidates)
        unreachable: StoreUnreachable | None = None
        for cid in candidates:
            try:
                if self._rpc.finds(cid, share_s):
                    return True
            except StoreUnreachable as error:
                unreachable = error
        if unreachable is not None:
            raise unreachable
        return False

    def cid(self, digest: bytes) -> str:
        """The CID to fetch that blob by, with any IPFS tool, as far as this store knows."""
        return self._candidates(digest)[0]

    def locator(self, digest: bytes) -> str:
        """The CID where it cannot be had from the digest; else empty."""
        return self._index.get(digest) or ""

    def learn(self, digest: bytes, locator: str) -> None:
        """Take a CID from somebody's message as a hint; see the port.

        Raises
        ------
        CodecError
            If it is no CID, or that of one raw block which is not this blob.
        """
        check_digest(digest)
        if not locator:
            return
        cid = Cid.parse(locator)
        if cid.blob_digest not in (None, digest):
            raise CodecError(
                f"expected a CID of the blob {digest.hex()}; found {locator}, which is another's"
            )
        if cid.blob_digest is None:
            self._index.hint(digest, locator)

    def _candidates(self, digest: bytes) -> list[str]:
        """CIDs to try: the proven one, the hints from the newest, the one-block CID."""
        return [*self._index.known(digest), str(Cid.of_digest(digest))]

    def _keep(self, digest: bytes, cid: str, budget_s: float) -> None:
        """The bytes under ``cid`` were right: remember it, and let the node keep them."""
        self._index.drop(digest)
        if Cid.parse(cid).blob_digest is None:
            self._index.put(digest, cid)
        if self._pin:
            try:
                self._rpc.pin(cid, budget_s)
            except BlobError as error:  # the caller's bytes are good, pinned or not
                _LOG.warning("%s was fetched, but is not pinned: %s", cid, error)
