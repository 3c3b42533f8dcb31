"""Where blobs live: content-addressed, so that a digest on chain is a promise about bytes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class BlobStore(Protocol):
    """Blobs by the SHA-256 of their bytes. Whoever serves them, ``get`` re-hashes."""

    def put(self, blob: bytes) -> bytes:
        """Keep ``blob``; return its digest (32 bytes). Putting it again changes nothing."""

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        """The blob of that digest.

        Raises
        ------
        BlobMissing
            There is none.
        CodecError
            What is there hashes to something else, or is longer than ``max_bytes``.
        StoreUnreachable
            The store does not answer.
        """

    def has(self, digest: bytes) -> bool:
        """Whether ``get`` would find it."""


@runtime_checkable
class LocatingStore(BlobStore, Protocol):
    """A store in which the digest alone does not lead to every blob.

    Whoever sends a digest to somebody else sends ``locator(digest)`` along; the receiver
    hands it to ``learn`` before ``get``. A locator is a hint, never trusted: ``get``
    re-hashes all the same.
    """

    def locator(self, digest: bytes) -> str:
        """What to send along, ASCII, at most 256 characters; empty where the digest is enough."""

    def learn(self, digest: bytes, locator: str) -> None:
        """Take another member's locator; an empty one says nothing.

        Raises
        ------
        CodecError
            It is no locator of such a store, or cannot belong to that digest.
        """
