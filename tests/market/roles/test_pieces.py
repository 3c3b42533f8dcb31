"""Long blobs in pieces: back they come as they were, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcfl.core.errors import BlobMissing, CodecError
from bcfl.market.roles.pieces import get_pieces, put_pieces
from bcfl.market.spec.offer import PIECE_BYTES
from bcfl.store.local import LocalStore


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 5])
def test_a_blob_comes_back_as_it_was(tmp_path: Path, size: int) -> None:
    store = LocalStore(tmp_path)
    blob = bytes(index % 251 for index in range(0, size, 7)) * 7
    blob = blob[:size]
    pieces = put_pieces(store, blob)
    assert get_pieces(store, pieces, len(blob), size) == blob
    assert all(len(store.get(piece, PIECE_BYTES)) <= PIECE_BYTES for piece in pieces)


def test_a_publisher_that_says_too_much_is_not_believed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    pieces = put_pieces(store, b"blob")
    with pytest.raises(CodecError, match="at most 3 bytes; the publisher says 4"):
        get_pieces(store, pieces, 4, 3)
    with pytest.raises(CodecError, match="expected 5 bytes in 1 pieces; found 4"):
        get_pieces(store, pieces, 5, 10)
    with pytest.raises(CodecError, match="lie in 2 pieces; found 1"):
        get_pieces(store, pieces, PIECE_BYTES + 1, 2 * PIECE_BYTES)
    with pytest.raises(BlobMissing):
        get_pieces(store, [bytes(32)], 4, 4)
