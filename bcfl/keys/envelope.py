"""Keys and ciphers beneath ``bcfl.keys.sealing``: eciespy and cryptography, tamed.

Two things are made here. A *slot* is 32 bytes encrypted to one public key, by ECIES as in
github.com/ecies/py (secp256k1, HKDF-SHA256, AES-256-GCM). A *body* is a blob under
AES-256-GCM, bound to the header that stands before it and to its own SHA-256.

Whatever is wrong with keys or bytes comes out as SealError. No message, and no object that
outlives a call, holds a key.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bcfl.core.errors import SealError

KEY_BYTES = 32
_NONCE_BYTES = 12  # of slots and bodies alike
_TAG_BYTES = 16
SLOT_BYTES = 33 + _NONCE_BYTES + _TAG_BYTES + KEY_BYTES
BODY_OVERHEAD_BYTES = _NONCE_BYTES + _TAG_BYTES
MAX_SEALED_BYTES = 2**31 - 1  # what cryptography's AES-GCM takes in one piece
_GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def compressed_key(public_key: bytes) -> bytes:
    """The 33-byte form of a public key given in 33, 64 (Ethereum's) or 65 bytes."""
    try:
        return bytes(
            _ecies().keys.PublicKey("secp256k1", bytes(public_key)).to_bytes(compressed=True)
        )
    except ValueError:
        raise SealError(
            "expected a secp256k1 public key of 33, 64 or 65 bytes; found "
            f"{len(public_key)} bytes that are no point of the curve"
        ) from None


def public_key_of(private_key: bytes) -> bytes:
    """The 65 bytes of the public key, 0x04 ‖ x ‖ y.

    Raises
    ------
    SealError
        If it is no private key.
    """
    # checked before eciespy sees it, which takes an empty key for a wish for a random one
    expect_key("a private key", private_key)
    try:
        return bytes(
            _ecies().keys.PrivateKey("secp256k1", bytes(private_key)).public_key.to_bytes()
        )
    except ValueError:
        raise SealError("expected a private key; found a number outside the group") from None


def expect_key(name: str, key: bytes) -> None:
    """Raise SealError, which does not show it, unless ``key`` has 32 bytes."""
    if len(key) != KEY_BYTES:
        raise SealError(f"{name} is {KEY_BYTES} bytes long; found {len(key)}")


def expect_container(kind: str, sealed: bytes, magic: bytes, min_bytes: int) -> None:
    """Raise SealError unless ``sealed`` begins with ``magic``, version last, and is that long."""
    if not sealed.startswith(magic):
        raise SealError(
            f"expected a {kind} of version {magic[-1]}; found bytes that begin with "
            f"{sealed[: len(magic)].hex() or 'nothing'}; was it sealed at all, and by this bcfl?"
        )
    if len(sealed) < min_bytes:
        raise SealError(f"expected a {kind} of {min_bytes} bytes or more; found {len(sealed)}")


def derive(key: bytes, info: bytes, size_bytes: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt: ``key`` is uniformly random already."""
    return HKDF(algorithm=hashes.SHA256(), length=size_bytes, salt=None, info=info).derive(key)


def seal_slot(key: bytes, public_key: bytes) -> bytes:
    """Encrypt 32 bytes to one public key; other bytes at every call."""
    return bytes(_ecies().encrypt(public_key, key, _config()))


def repeatable_slot(key: bytes, public_key: bytes, info: bytes) -> bytes:
    """Encrypt 32 bytes to one public key (33 bytes); the same bytes at every call.

    The ephemeral key and the nonce come from what is encrypted, as Fujisaki and Okamoto
    (CRYPTO '99) have it, so that who knows ``key`` can check the slot. ``key`` must be
    random: a guessable one could be confirmed. ``open_slot`` opens it like any other.
    """
    drawn = derive(key, info + public_key, 48 + _NONCE_BYTES)
    # 48 bytes for a number of 32: reduced, no value is noticeably likelier than another
    scalar = int.from_bytes(drawn[:48], "big") % (_GROUP_ORDER - 1) + 1
    ephemeral = _ecies().keys.PrivateKey("secp256k1", scalar.to_bytes(32, "big"))
    reader = _ecies().keys.PublicKey("secp256k1", public_key)
    slot_key = ephemeral.encapsulate(reader, _config().is_hkdf_key_compressed)
    nonce = drawn[48:]
    encrypted = AESGCM(slot_key).encrypt(nonce, key, None)
    tag_first = encrypted[-_TAG_BYTES:] + encrypted[:-_TAG_BYTES]  # as eciespy has it
    return bytes(ephemeral.public_key.to_bytes(compressed=True)) + nonce + tag_first


def open_slot(slot: bytes, private_key: bytes) -> bytes:
    """The 32 bytes in a slot; SealError if it was made for another key, or changed."""
    try:
        key = bytes(_ecies().decrypt(bytes(private_key), slot, _config()))
    except ValueError:
        raise SealError(
            "this key does not open what was sealed to it: the bytes were changed, or were "
            "never right"
        ) from None
    expect_key("a sealed key", key)
    return key


def seal_body(key: bytes, head: bytes, blob: bytes) -> bytes:
    """``head``, nonce (12), ``blob`` encrypted, tag (16); ``head`` is authenticated, too."""
    size_bytes = len(head) + len(blob) + BODY_OVERHEAD_BYTES
    if size_bytes > MAX_SEALED_BYTES:
        raise SealError(
            f"expected a blob of less than 2 GiB; found {len(blob)} bytes; seal it in parts"
        )
    nonce = os.urandom(_NONCE_BYTES)
    return head + nonce + AESGCM(key).encrypt(nonce, blob, head)


def open_body(key: bytes, sealed: bytes, head_bytes: int, digest: bytes) -> bytes:
    """Invert ``seal_body`` for a head of ``head_bytes``, and check the SHA-256 of the blob.

    AES-GCM alone would let a sender craft bytes that two keys open to two different blobs.
    """
    view = memoryview(sealed)
    nonce = view[head_bytes : head_bytes + _NONCE_BYTES]
    try:
        blob = AESGCM(key).decrypt(nonce, view[head_bytes + _NONCE_BYTES :], view[:head_bytes])
    except (InvalidTag, ValueError, OverflowError):
        raise SealError(
            "the key does not open these sealed bytes: it is another's, or they were changed"
        ) from None
    if hashlib.sha256(blob).digest() != digest:
        raise SealError("the sealed bytes do not hold the blob that they name: whoever sealed lies")
    return blob


@cache
def _ecies() -> Any:
    # A tenth of a second for curves of other kinds, which whoever seals nothing is spared: a
    # SuperNode starts a process for every message.
    import ecies  # noqa: PLC0415

    return ecies


@cache
def _config() -> Any:
    """Spelt out, because eciespy's defaults are no part of our format."""
    return _ecies().config.Config(
        elliptic_curve="secp256k1",
        is_ephemeral_key_compressed=True,
        is_hkdf_key_compressed=True,
        symmetric_algorithm="aes-256-gcm",
        symmetric_nonce_length=12,
    )
