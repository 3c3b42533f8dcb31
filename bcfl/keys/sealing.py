"""Blobs that only chosen readers can open: for members, and for the marketplace.

**Members-only blobs.** A random content key encrypts the blob (AES-256-GCM); ECIES encrypts
the key once for each reader's public key, the same secp256k1 keys that sign on Ethereum.

**Sealed models** (System B, "after payment"). The content key is HKDF-SHA256(shared ‖ secret).

- ``shared`` goes to the initiator at once, in a *share* that anybody who knows ``shared`` can
  check (:func:`seal_share`, :func:`check_share`).
- ``keccak256(secret)`` stands on chain from the submission on (:func:`secret_commitment`);
  payment discloses ``secret``, in the same transaction.
- The drawn verifiers get both, by :func:`seal_for`. So before it votes, a verifier knows that
  the secret is the committed one, that the share opens to ``shared``, and that the two open
  the model: payment will disclose that very model to the initiator.

After payment the whole world knows ``secret``, and without ``shared`` nothing else.
**[reading]** PROTOCOL wants payment and disclosure in one step; the alternative, putting the
whole key on chain, would give the model to everyone for the price of one.

Both containers carry SHA-256 of the plain blob, authenticated, and opening checks it: AES-GCM
alone lets a sender craft bytes that two keys open to two different blobs. Whoever holds a
container can thus confirm a guess of the blob; the chain shows the same hash anyway.

Not hidden: sizes, and who the readers of a container are to somebody who knows their public
keys. A reader can pass on what it reads; no cipher prevents that.

The ciphers are the libraries' (``bcfl.keys.envelope``); ours are the byte layouts alone.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable
from itertools import pairwise

from eth_utils.crypto import keccak

from bcfl.core.errors import NotAReader, SealError
from bcfl.keys.envelope import (
    BODY_OVERHEAD_BYTES,
    KEY_BYTES,
    SLOT_BYTES,
    compressed_key,
    derive,
    expect_container,
    expect_key,
    open_body,
    open_slot,
    public_key_of,
    repeatable_slot,
    seal_body,
    seal_slot,
)

_FOR_READERS = b"bcfs\x01"  # the last byte is the version
_MODEL = b"bcfm\x01"
_SHARE = b"\x01"
_COUNT = struct.Struct("<H")
_DIGEST_BYTES = 32
_NAME_BYTES = 16
_ENTRY_BYTES = _NAME_BYTES + SLOT_BYTES
_MAX_READERS = 256
_FIXED_BYTES = len(_FOR_READERS) + _COUNT.size + _DIGEST_BYTES
#: the most by which a container is longer than its blob
MAX_OVERHEAD_BYTES = _FIXED_BYTES + _MAX_READERS * _ENTRY_BYTES + BODY_OVERHEAD_BYTES


def seal_for(blob: bytes, recipients: Iterable[bytes]) -> bytes:
    """Encrypt ``blob`` so that each of the recipients can open it, and nobody else.

    Parameters
    ----------
    blob : bytes
        Less than 2 GiB.
    recipients : iterable of bytes
        1 to 256 secp256k1 public keys: 33 bytes, 65, or Ethereum's 64; the same key twice
        counts once.

    Returns
    -------
    bytes
        ``"bcfs"``, version (1), number of readers (2, little-endian), SHA-256 of the blob; for
        each reader, ascending, its name (16, of SHA-256 of the compressed key) and the content
        key under ECIES (93); nonce (12); ciphertext and tag (16), authenticated with all that
        stands before. Fresh randomness makes every call's bytes different.

    Raises
    ------
    SealError
        If a public key is none, or there are too few or too many, or the blob is too long.
    """
    readers = {_name(key): key for key in map(compressed_key, recipients)}
    if not 1 <= len(readers) <= _MAX_READERS:
        raise SealError(f"expected 1 to {_MAX_READERS} recipients; found {len(readers)}")
    content_key = os.urandom(KEY_BYTES)
    slots = b"".join(name + seal_slot(content_key, readers[name]) for name in sorted(readers))
    digest = hashlib.sha256(blob).digest()
    return seal_body(content_key, _FOR_READERS + _COUNT.pack(len(readers)) + digest + slots, blob)


def open_sealed(sealed: bytes, private_key: bytes) -> bytes:
    """The blob that :func:`seal_for` sealed.

    Parameters
    ----------
    sealed : bytes
        The container, whoever served it; opening takes about as much memory again.
    private_key : bytes
        32 bytes, of one of its readers.

    Raises
    ------
    NotAReader
        If it is not sealed to this key.
    SealError
        If the container is malformed or was changed, or does not hold what it says; or if the
        private key is none.
    """
    public_key = public_key_of(private_key)
    return open_sealed_with(sealed, public_key, lambda slot: open_slot(slot, private_key))


def open_sealed_with(sealed: bytes, public_key: bytes, opener: Callable[[bytes], bytes]) -> bytes:
    """As :func:`open_sealed`, where the private key is elsewhere.

    Parameters
    ----------
    sealed : bytes
        The container.
    public_key : bytes
        Of one of its readers: 33 bytes, 65, or Ethereum's 64.
    opener : callable
        Gives the 32 bytes that a slot of 93 seals to this reader; may raise SealError.
    """
    name = _name(compressed_key(public_key))
    entries = _entries(sealed)
    if name not in entries:
        raise NotAReader(
            f"this blob is sealed to {len(entries)} readers, and this key is none of them; "
            "was this account a member when the blob was sealed?"
        )
    content_key = opener(entries[name])
    digest = sealed[_FIXED_BYTES - _DIGEST_BYTES : _FIXED_BYTES]
    return open_body(content_key, sealed, _FIXED_BYTES + len(entries) * _ENTRY_BYTES, digest)


def encrypt_model(blob: bytes, shared: bytes, secret: bytes) -> bytes:
    """Seal a model under a key in two parts, one of which payment will disclose.

    Parameters
    ----------
    blob : bytes
        The model, less than 2 GiB.
    shared, secret : bytes
        32 random bytes each, drawn for this model alone.

    Returns
    -------
    bytes
        ``"bcfm"``, version (1), SHA-256 of the blob, nonce (12), ciphertext and tag (16).

    Raises
    ------
    SealError
        If a part of the key is not 32 bytes long, or the blob is too long.
    """
    head = _MODEL + hashlib.sha256(blob).digest()
    return seal_body(_model_key(shared, secret), head, blob)


def decrypt_model(sealed: bytes, shared: bytes, secret: bytes) -> bytes:
    """The model that :func:`encrypt_model` sealed; the same for everybody who can open it.

    Raises
    ------
    SealError
        If ``sealed`` is malformed or was changed, or these two parts do not open it.
    """
    head_bytes = len(_MODEL) + _DIGEST_BYTES
    expect_container("sealed model", sealed, _MODEL, head_bytes + BODY_OVERHEAD_BYTES)
    digest = sealed[len(_MODEL) : head_bytes]
    return open_body(_model_key(shared, secret), sealed, head_bytes, digest)


def secret_commitment(secret: bytes) -> bytes:
    """``keccak256(secret)``, as the contract computes it when payment discloses the secret.

    Raises
    ------
    SealError
        If the secret is not 32 bytes long.
    """
    expect_key("secret", secret)
    return bytes(keccak(secret))


def seal_share(shared: bytes, public_key: bytes) -> bytes:
    """Encrypt ``shared`` to one reader so that others who know it can check that.

    Parameters
    ----------
    shared : bytes
        32 random bytes; guessable ones could be confirmed.
    public_key : bytes
        Of the reader: 33 bytes, 65, or Ethereum's 64.

    Returns
    -------
    bytes
        Version (1), and ``shared`` under ECIES (93); the same at every call.

    Raises
    ------
    SealError
        If ``shared`` is not 32 bytes long, or the public key is none.
    """
    expect_key("shared", shared)
    return _SHARE + repeatable_slot(shared, compressed_key(public_key), b"bcfl share 1")


def check_share(share: bytes, shared: bytes, public_key: bytes) -> bool:
    """Whether ``share`` opens to ``shared`` for the owner of ``public_key``.

    Raises
    ------
    SealError
        If ``shared`` is not 32 bytes long, or the public key is none.
    """
    return share == seal_share(shared, public_key)


def open_share(share: bytes, private_key: bytes) -> bytes:
    """The 32 bytes that :func:`seal_share` sealed to this key.

    Raises
    ------
    SealError
        If the share is malformed, was changed, or is sealed to another key; if it is not what
        ``seal_share`` makes, so that no verifier accepts it; if the private key is none.
    """
    public_key = public_key_of(private_key)
    if len(share) != len(_SHARE) + SLOT_BYTES or not share.startswith(_SHARE):
        raise SealError(
            f"expected a share of version 1, {len(_SHARE) + SLOT_BYTES} bytes; found other bytes, "
            f"{len(share)} of them"
        )
    shared = open_slot(share[len(_SHARE) :], private_key)
    if not check_share(share, shared, public_key):
        raise SealError(
            "this share opens, but not to what a verifier can check; do not accept the submission"
        )
    return shared


def _model_key(shared: bytes, secret: bytes) -> bytes:
    expect_key("shared", shared)
    expect_key("secret", secret)
    return derive(shared + secret, b"bcfl model 1", KEY_BYTES)


def _name(key: bytes) -> bytes:
    """What a reader's slot is found by; says nothing to those who do not know the key."""
    return hashlib.sha256(key).digest()[:_NAME_BYTES]


def _entries(sealed: bytes) -> dict[bytes, bytes]:
    """Slot by reader's name, of a container that is long enough for what it claims."""
    expect_container("sealed blob", sealed, _FOR_READERS, _FIXED_BYTES)
    (count,) = _COUNT.unpack_from(sealed, len(_FOR_READERS))
    end = _FIXED_BYTES + count * _ENTRY_BYTES
    if not 1 <= count <= _MAX_READERS:
        raise SealError(f"a sealed blob has 1 to {_MAX_READERS} readers; found {count}")
    expect_container("sealed blob", sealed, _FOR_READERS, end + BODY_OVERHEAD_BYTES)
    entries = [sealed[at : at + _ENTRY_BYTES] for at in range(_FIXED_BYTES, end, _ENTRY_BYTES)]
    names = [entry[:_NAME_BYTES] for entry in entries]
    if any(a >= b for a, b in pairwise(names)):
        raise SealError("a sealed blob's readers stand in ascending order; found another order")
    return {entry[:_NAME_BYTES]: entry[_NAME_BYTES:] for entry in entries}
