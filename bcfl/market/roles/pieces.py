"""Long blobs as pieces, each of which its digest alone leads to.

On IPFS the digest of a blob of more than 1 MiB does not lead to it (``bcfl.store.ipfs``).
Between peer-consensus members a locator travels in the messages; the marketplace's roles have
no messages, only the chain and the store. So what is long is put in pieces, and what is short
and named on chain lists their digests.
"""

from __future__ import annotations

from collections.abc import Sequence

from bcfl.core.errors import CodecError
from bcfl.market.spec.offer import PIECE_BYTES, pieces_of
from bcfl.store.blob_store import BlobStore


def put_pieces(store: BlobStore, blob: bytes) -> tuple[bytes, ...]:
    """Put ``blob`` in pieces of 1 MiB; their digests in order. Raises as ``BlobStore.put``."""
    return tuple(store.put(blob[at : at + PIECE_BYTES]) for at in range(0, len(blob), PIECE_BYTES))


def get_pieces(store: BlobStore, pieces: Sequence[bytes], size_bytes: int, max_bytes: int) -> bytes:
    """The blob that was put as these pieces.

    Parameters
    ----------
    pieces : sequence of bytes
        Their digests, in order.
    size_bytes : int
        Of the whole, as its publisher says.
    max_bytes : int
        The most that the caller wants; nothing is fetched where the publisher says more.

    Raises
    ------
    BlobMissing, StoreUnreachable
        As ``BlobStore.get``.
    CodecError
        More than ``max_bytes``, or the pieces do not make up ``size_bytes``.
    """
    if size_bytes > max_bytes:
        raise CodecError(f"expected at most {max_bytes:,} bytes; the publisher says {size_bytes:,}")
    if len(pieces) != pieces_of(size_bytes):
        raise CodecError(
            f"{size_bytes:,} bytes lie in {pieces_of(size_bytes)} pieces; found {len(pieces)}"
        )
    blob = b"".join(store.get(digest, PIECE_BYTES) for digest in pieces)
    if len(blob) != size_bytes:
        raise CodecError(
            f"expected {size_bytes:,} bytes in {len(pieces)} pieces; found {len(blob):,}"
        )
    return blob
