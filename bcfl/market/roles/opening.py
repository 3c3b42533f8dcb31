"""Opening what was bought or is to be judged: from the chain's digests to models.

PROTOCOL, System B, "after payment"; ``bcfl.market.spec.terms``, "How a model is opened".
"""

from __future__ import annotations

from bcfl.core.errors import CodecError
from bcfl.keys.sealing import decrypt_model
from bcfl.market.roles.history import Story
from bcfl.market.roles.pieces import get_pieces
from bcfl.market.spec.architecture import Limits
from bcfl.market.spec.model_blob import TrainedModel, decode_model_blob, max_blob_bytes
from bcfl.market.spec.offer import MAX_OFFER_BYTES, ModelKeys, Offer
from bcfl.store.blob_store import BlobStore

__all__ = ["address_bytes", "fetch_model_blob", "fetch_offer", "open_model", "shared_in_the_clear"]

#: By which a sealed model is longer than its blob, at most.
_SEALING_BYTES = 256


def address_bytes(address: str) -> bytes:
    """0x… as 20 bytes."""
    return bytes.fromhex(address.removeprefix("0x"))


def fetch_offer(store: BlobStore, story: Story) -> Offer:
    """What was submitted.

    Raises
    ------
    BlobError, CodecError
        As ``BlobStore.get``; or it is no offer, or names another contributor.
    """
    offer = Offer.decode(store.get(story.submission, MAX_OFFER_BYTES))
    if offer.contributor != address_bytes(story.contributor):
        raise CodecError(
            f"the offer is 0x{offer.contributor.hex()}'s; it was submitted by {story.contributor}"
        )
    return offer


def shared_in_the_clear(offer: Offer) -> bytes:
    """``shared`` of an offer to a task that is not for members only."""
    if len(offer.share) != 32:
        raise CodecError(f"the offer's share is 32 bytes in the clear; found {len(offer.share)}")
    return offer.share


def fetch_model_blob(store: BlobStore, offer: Offer, keys: ModelKeys, limits: Limits) -> bytes:
    """The plain model blob, fetched and opened.

    Raises
    ------
    BlobError
        A piece is not to be had, or these keys do not open it.
    CodecError
        The pieces are not what the offer says, or more than a model of this task takes.
    """
    longest = max_blob_bytes(limits) + _SEALING_BYTES
    sealed = get_pieces(store, offer.pieces, offer.size_bytes, longest)
    return decrypt_model(sealed, keys.shared, keys.secret)


def open_model(
    store: BlobStore, story: Story, offer: Offer, keys: ModelKeys, limits: Limits
) -> TrainedModel:
    """The model, from the store to weights.

    Raises
    ------
    BlobError, CodecError
        As :func:`fetch_model_blob`.
    ArchitectureError, CodecError, ModelError
        As ``decode_model_blob``.
    """
    blob = fetch_model_blob(store, offer, keys, limits)
    return decode_model_blob(blob, address_bytes(story.contributor), limits)
