"""What a contributor publishes, what it shares with the panel, what the initiator grants.

The bytes that the marketplace's roles leave for one another in the blob store. The chain names
each of them by its SHA-256; what is secret in them is sealed by ``bcfl.keys.sealing``.
PROTOCOL, System B, computing contributor; ``bcfl.market.spec.terms``, "How a model is opened".

An *offer* is what ``submit`` names. Layout, little-endian::

    "BCFO" | version u8 | contributor 20 bytes | nonce 16 bytes | length of the share u8
    share | length of the sealed model u64 | SHA-256 of each of its pieces, 32 bytes each

The sealed model lies beside it in pieces of 1 MiB: the largest blob whose digest alone leads
to it in every kind of store, IPFS included.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from bcfl.core.errors import CodecError, ProtocolError

PIECE_BYTES = 1 << 20
_MAX_PIECES = 1 << 14
_MAGIC = b"BCFO"
_VERSION = 1
_HEAD = struct.Struct("<4sB20s16sB")
_SIZE = struct.Struct("<Q")
_DIGEST_BYTES = 32
_KEY_BYTES = 32
MAX_OFFER_BYTES = _HEAD.size + 255 + _SIZE.size + _MAX_PIECES * _DIGEST_BYTES
MAX_GRANT_BYTES = (_DIGEST_BYTES + _KEY_BYTES) * 2**16


def pieces_of(size_bytes: int) -> int:
    """How many pieces a blob of that size is cut into."""
    return -(-size_bytes // PIECE_BYTES)


@dataclass(frozen=True, slots=True)
class Offer:
    """A sealed model, and how its buyer comes to open it.

    Parameters
    ----------
    contributor : bytes
        Address, 20 bytes.
    nonce : bytes
        16 bytes, another one for every offer: what its contributor derives its keys from.
    share : bytes
        In a task for members only, ``shared`` sealed to the initiator; else ``shared`` itself,
        32 bytes.
    size_bytes : int
        Of the sealed model.
    pieces : tuple of bytes
        Digests of its pieces, all of ``PIECE_BYTES`` but the last.

    Raises
    ------
    CodecError
        A field is not of its length, or the pieces do not make up the size.
    """

    contributor: bytes
    nonce: bytes
    share: bytes
    size_bytes: int
    pieces: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.contributor) != 20 or len(self.nonce) != 16 or not 1 <= len(self.share) <= 255:
            raise CodecError(
                "an offer has a contributor of 20 bytes, a nonce of 16, a share of 1 to 255; found "
                f"{len(self.contributor)}, {len(self.nonce)}, {len(self.share)}"
            )
        if not 1 <= len(self.pieces) <= _MAX_PIECES or len(self.pieces) != pieces_of(
            self.size_bytes
        ):
            raise CodecError(
                f"a sealed model of {self.size_bytes} bytes lies in {pieces_of(self.size_bytes)} "
                f"pieces, at most {_MAX_PIECES}; found {len(self.pieces)}"
            )

    def encode(self) -> bytes:
        """The canonical bytes; their SHA-256 names the submission."""
        head = _HEAD.pack(_MAGIC, _VERSION, self.contributor, self.nonce, len(self.share))
        return head + self.share + _SIZE.pack(self.size_bytes) + b"".join(self.pieces)

    @classmethod
    def decode(cls, blob: bytes) -> Offer:
        """Invert :meth:`encode`.

        Raises
        ------
        CodecError
            Bytes that no offer encodes to.
        """
        if len(blob) < _HEAD.size:
            raise CodecError(f"an offer has a head of {_HEAD.size} bytes; found {len(blob)} bytes")
        magic, version, contributor, nonce, length = _HEAD.unpack_from(blob)
        if magic != _MAGIC or version != _VERSION:
            raise CodecError(
                f"an offer starts with {_MAGIC!r} and version {_VERSION}; found {magic!r} and "
                f"{version}"
            )
        at = _HEAD.size + length
        rest = len(blob) - at - _SIZE.size
        if rest < 0 or rest % _DIGEST_BYTES:
            raise CodecError(f"an offer of {len(blob)} bytes is truncated or padded")
        (size_bytes,) = _SIZE.unpack_from(blob, at)
        digests = blob[at + _SIZE.size :]
        pieces = tuple(
            digests[start : start + _DIGEST_BYTES] for start in range(0, rest, _DIGEST_BYTES)
        )
        return cls(contributor, nonce, blob[_HEAD.size : at], size_bytes, pieces)


@dataclass(frozen=True, slots=True)
class ModelKeys:
    """The two parts of a model's key, 32 bytes each. Secret: it has no readable repr."""

    shared: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.shared) != _KEY_BYTES or len(self.secret) != _KEY_BYTES:
            raise ProtocolError("the parts of a model's key are 32 bytes long each")

    def __repr__(self) -> str:
        return "ModelKeys(…)"

    def encode(self) -> bytes:
        """What the contributor seals to the panel: 64 bytes, shared ‖ secret."""
        return self.shared + self.secret

    @classmethod
    def decode(cls, blob: bytes) -> ModelKeys:
        """Invert :meth:`encode`; raises CodecError for bytes of another length."""
        if len(blob) != 2 * _KEY_BYTES:
            raise CodecError(f"a model's keys take 64 bytes; found {len(blob)}")
        return cls(blob[:_KEY_BYTES], blob[_KEY_BYTES:])


def encode_grant(shared: Mapping[bytes, bytes]) -> bytes:
    """What the initiator seals to a panel: digest ‖ key, by ascending digest.

    Of the measuring set, and in a task for members only of each submission bought before, whose
    key is ``shared``.
    """
    return b"".join(submission + shared[submission] for submission in sorted(shared))


def decode_grant(blob: bytes) -> dict[bytes, bytes]:
    """Invert :func:`encode_grant`; raises CodecError for other bytes."""
    step = _DIGEST_BYTES + _KEY_BYTES
    entries = [blob[at : at + step] for at in range(0, len(blob), step)]
    shared = {entry[:_DIGEST_BYTES]: entry[_DIGEST_BYTES:] for entry in entries}
    if len(blob) % step or encode_grant(shared) != blob:
        raise CodecError(
            f"a grant is pairs of 32 + 32 bytes, ascending, each submission once; found "
            f"{len(blob)} other bytes"
        )
    return shared
