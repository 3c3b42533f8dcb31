"""A blob store whose blobs only members can read (``store.encrypt=true``).

Wraps any store: what goes in is sealed to the members' public keys, what comes out is opened
with the member's own. The protocol notices nothing: its digests stay those of the plain
blobs, so that commitments and audits mean what they always mean, and the chain shows the same
hashes. What lies in the wrapped store has another digest, which changes whenever the same
blob is sealed again; so a message carries a locator beside the digest (see the port).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from bcfl.core.errors import BlobError, BlobMissing, CodecError
from bcfl.keys.envelope import compressed_key
from bcfl.keys.sealing import MAX_OVERHEAD_BYTES, seal_for
from bcfl.keys.signer import Reader
from bcfl.store.blob_store import BlobStore, LocatingStore
from bcfl.store.local import check_digest, expect_digest
from bcfl.store.locators import MAX_LOCATOR_CHARS, LocatorIndex

SEALED_INDEX = "sealed-index"  #: in a task's folder: where each blob lies sealed
_SEPARATOR = "+"


class SealedStore:
    """Members-only blobs in any store (:class:`bcfl.store.blob_store.LocatingStore`).

    Parameters
    ----------
    inner : BlobStore
        Where the sealed bytes lie.
    reader : Reader
        The member itself: its :class:`bcfl.keys.accounts.Account`.
    recipients : callable
        Gives the public keys (33, 64 or 65 bytes) of those who may read what is put now; asked
        at every ``put``, because members come and go. One's own key is always among them.
    index : str, Path or None
        Folder that remembers where the blobs lie. None: that ends with this object.
    """

    def __init__(
        self,
        inner: BlobStore,
        reader: Reader,
        recipients: Callable[[], Iterable[bytes]],
        *,
        index: str | Path | None = None,
    ) -> None:
        self.inner = inner
        self._reader = reader
        self._recipients = recipients
        self._index = LocatorIndex(index)

    def __repr__(self) -> str:
        return f"SealedStore({self.inner!r})"

    def put(self, blob: bytes) -> bytes:
        """Seal ``blob`` to the members of now and keep it; return the plain blob's SHA-256.

        Where it was put before, it is sealed anew if members have come since.

        Raises
        ------
        SealError
            If a member's public key is none.
        StoreUnreachable
            If the inner store does not take it.
        """
        sealed_digest = self.inner.put(seal_for(blob, self.readers()))
        digest = hashlib.sha256(blob).digest()
        self._index.put(digest, self._compose(sealed_digest))
        return digest

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        """The plain blob of that digest, opened and re-hashed.

        Raises
        ------
        BlobMissing
            If nobody said where it lies, or it is not there.
        CodecError
            If what is there is another blob, or longer than ``max_bytes``.
        SealError
            If it is not sealed to this member, or was changed.
        StoreUnreachable
            If the inner store does not answer.
        """
        return self._fetch(digest, max_bytes)[0]

    def get_sealed(self, digest: bytes, max_bytes: int) -> bytes:
        """The same blob as it lies there, for others to open; raises as :meth:`get`."""
        return self._fetch(digest, max_bytes)[1]

    def unseal(self, sealed: bytes) -> bytes:
        """What somebody sealed to this member and sent. Raises SealError."""
        return self._reader.unseal(sealed)

    def readers(self) -> list[bytes]:
        """Who may read what is put now, this member among them: public keys of 33 bytes."""
        return sorted(set(map(compressed_key, (self._reader.public_key, *self._recipients()))))

    def has(self, digest: bytes) -> bool:
        """Whether the inner store has the sealed blob; only ``get`` opens it."""
        check_digest(digest)
        return any(self.inner.has(self._point(one)) for one in self._index.known(digest))

    def locator(self, digest: bytes) -> str:
        """Digest of the sealed blob, and the inner store's locator of that, if it has one."""
        return self._index.get(digest) or ""

    def learn(self, digest: bytes, locator: str) -> None:
        """Take another member's locator as a hint; see the port.

        Raises
        ------
        CodecError
            If it is no locator of a sealed store, or its rest is none of the inner store.
        """
        check_digest(digest)
        if locator:
            self._point(locator)
            self._index.hint(digest, locator)

    def _fetch(self, digest: bytes, max_bytes: int) -> tuple[bytes, bytes]:
        """The plain blob, and the sealed one."""
        check_digest(digest)
        failure: BlobError | CodecError = BlobMissing(
            f"expected to know where the blob {digest.hex()} lies sealed; found no locator of it; "
            "it comes with the message that brings the digest"
        )
        for locator in self._index.known(digest):
            try:
                blob, sealed = self._open(digest, locator, max_bytes)
            except (BlobError, CodecError) as error:
                failure = error
                continue
            self._index.put(digest, locator)
            return blob, sealed
        raise failure

    def _open(self, digest: bytes, locator: str, max_bytes: int) -> tuple[bytes, bytes]:
        sealed = self.inner.get(self._point(locator), max_bytes + MAX_OVERHEAD_BYTES)
        blob = self._reader.unseal(sealed)
        if len(blob) > max_bytes:
            raise CodecError(f"expected at most {max_bytes} bytes; found {len(blob)}, sealed")
        fault = "whoever sent that locator is wrong"
        return expect_digest(digest, blob, f"what is sealed at {locator}", fault), sealed

    def _compose(self, sealed_digest: bytes) -> str:
        inner = self.inner
        further = inner.locator(sealed_digest) if isinstance(inner, LocatingStore) else ""
        return sealed_digest.hex() + (_SEPARATOR + further if further else "")

    def _point(self, locator: str) -> bytes:
        """The sealed blob's digest; what else the locator says, the inner store learns."""
        sealed_digest, further = _split(locator)
        if further and isinstance(self.inner, LocatingStore):
            self.inner.learn(sealed_digest, further)
        return sealed_digest


def _split(locator: str) -> tuple[bytes, str]:
    digest, separator, further = locator.partition(_SEPARATOR)
    if (
        len(locator) > MAX_LOCATOR_CHARS
        or len(digest) != 64
        or digest.strip("0123456789abcdef")
        or bool(separator) != bool(further)
        or not further.isascii()
    ):
        raise CodecError(
            "expected the locator of a sealed blob, its digest in 64 hexadecimal digits; found "
            f"{locator[:80]!r}"
        )
    return bytes.fromhex(digest), further
