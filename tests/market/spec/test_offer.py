"""The offer's bytes: one for each offer, and nothing else decodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import CodecError, ProtocolError
from bcfl.market.spec.offer import (
    MAX_OFFER_BYTES,
    PIECE_BYTES,
    ModelKeys,
    Offer,
    decode_grant,
    encode_grant,
    pieces_of,
)

digests = st.binary(min_size=32, max_size=32)
offers = st.builds(
    lambda author, nonce, share, pieces, last: Offer(
        author, nonce, share, (len(pieces) - 1) * PIECE_BYTES + last, tuple(pieces)
    ),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=1, max_size=255),
    st.lists(digests, min_size=1, max_size=5),
    st.integers(1, PIECE_BYTES),
)
OFFER = Offer(bytes(20), bytes(range(16)), b"share", PIECE_BYTES + 1, (b"a" * 32, b"b" * 32))


def test_the_bytes_are_pinned() -> None:
    assert OFFER.encode().hex() == (
        "4243464f01" + "00" * 20 + bytes(range(16)).hex() + "05" + b"share".hex()
        + "0100100000000000" + "61" * 32 + "62" * 32
    )  # fmt: skip


@given(offers)
def test_what_is_encoded_is_decoded(offer: Offer) -> None:
    blob = offer.encode()
    assert Offer.decode(blob) == offer
    assert len(blob) <= MAX_OFFER_BYTES


@given(offers, st.data())
def test_other_bytes_are_another_offer_or_none(offer: Offer, data: st.DataObject) -> None:
    blob = bytearray(offer.encode())
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    try:
        found = Offer.decode(bytes(blob))
    except CodecError:
        return
    assert found != offer
    assert found.encode() == blob


@pytest.mark.parametrize(
    "blob",
    [b"", OFFER.encode()[:40], OFFER.encode()[:-1], OFFER.encode() + b"x", OFFER.encode()[:-32]],
)
def test_what_is_cut_or_padded_is_refused(blob: bytes) -> None:
    with pytest.raises(CodecError):
        Offer.decode(blob)


def test_a_size_that_its_pieces_do_not_make_up_is_refused() -> None:
    with pytest.raises(CodecError, match="lies in 3 pieces, at most 16384; found 2"):
        Offer(bytes(20), bytes(16), b"s", 2 * PIECE_BYTES + 1, (bytes(32),) * 2)
    assert [pieces_of(size) for size in (0, 1, PIECE_BYTES, PIECE_BYTES + 1)] == [0, 1, 1, 2]


@given(st.dictionaries(digests, digests, max_size=6))
def test_a_grant_is_read_as_it_was_written(shared: dict[bytes, bytes]) -> None:
    assert decode_grant(encode_grant(shared)) == shared


@pytest.mark.parametrize("blob", [b"x", b"b" * 64 + b"a" * 64, b"a" * 128])
def test_a_grant_that_is_torn_or_out_of_order_is_refused(blob: bytes) -> None:
    with pytest.raises(CodecError):
        decode_grant(blob)


def test_keys_are_64_bytes_and_do_not_show() -> None:
    keys = ModelKeys(b"s" * 32, b"t" * 32)
    assert ModelKeys.decode(keys.encode()) == keys
    assert "s" * 4 not in repr(keys)
    with pytest.raises(CodecError):
        ModelKeys.decode(keys.encode()[:-1])
    with pytest.raises(ProtocolError):
        ModelKeys(b"", b"t" * 32)
