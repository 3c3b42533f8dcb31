"""Opening what was bought or is to be judged: from the chain's digests to models.

PROTOCOL, System B, "after payment"; ``bcfl.market.spec.terms``, "How a model is opened".
"""

from __future__ import annotations

from bcfl.core.errors import CodecError
from bcfl.keys.sealing import decrypt_model
from bcfl.market.roles.history import SubmissionLog
from bcfl.market.roles.pieces import get_pieces
from bcfl.market.spec.architecture import Limits
from bcfl.market.spec.model_blob import TrainedModel, decode_model_blob, max_blob_bytes
from bcfl.market.spec.offer import MAX_OFFER_BYTES, ModelKeys, Offer
from bcfl.store.blob_store import BlobStore

#: By which a sealed model is longer than its blob, at most.
_SEALING_BYTES = 256


def address_bytes(address: str) -> bytes:
    """0x… as 20 bytes."""
    return bytes.fromhex(address.removeprefix("0x"))


def fetch_offer(store: BlobStore, submitted: SubmissionLog) -> Offer:
    """What was submitted.

    Raises
    ------
    BlobError, CodecError
        As ``BlobStore.get``; or it is no offer, or names another contributor.
    """
    offer = Offer.decode(store.get(submitted.digest, MAX_OFFER_BYTES))
    if offer.contributor != address_bytes(submitted.contributor):
        raise CodecError(
            f"expected an offer by {submitted.contributor}, who submitted it; found one by "
            f"0x{offer.contributor.hex()}"
        )
    return offer


def shared_in_the_clear(offer: Offer) -> bytes:
    """``shared`` of an offer to a task that is not for members only."""
    if len(offer.share) != 32:
        raise CodecError(f"the offer's share is 32 bytes in the clear; found {len(offer.share)}")
    return offer.share


def open_model(
    store: BlobStore, submitted: SubmissionLog, offer: Offer, keys: ModelKeys, limits: Limits
) -> TrainedModel:
    """The model, from the store to weights.

    Raises
    ------
    BlobError
        A piece is not to be had, or these keys do not open it.
    ArchitectureError, CodecError, ModelError
        The pieces are not what the offer says, or more than a model of this task takes; or as
        ``decode_model_blob``.
    """
    longest = max_blob_bytes(limits) + _SEALING_BYTES
    sealed = get_pieces(store, offer.pieces, offer.size_bytes, longest)
    blob = decrypt_model(sealed, keys.shared, keys.secret)
    return decode_model_blob(blob, address_bytes(submitted.contributor), limits)
