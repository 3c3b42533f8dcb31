"""Where blobs live: content-addressed, so that a digest on chain is a promise about bytes."""

from __future__ import annotations

from typing import Protocol

__all__ = ["BlobStore"]


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
