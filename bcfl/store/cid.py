"""CIDs: the names that IPFS gives to bytes, computed here instead of believed.

A blob is cut into chunks; chunks are the leaves of a balanced tree whose inner nodes are
dag-pb blocks with UnixFS data; the CID names the root by its SHA-256. So the CID depends on
how the blob was cut, and a :class:`Layout` says how.

The chain holds SHA-256(blob). For a blob of one chunk with raw leaves that *is* the CID's
multihash, and either leads to the other (``Cid.of_digest``, ``Cid.blob_digest``). For a blob
of many chunks the CID hashes the root block instead, and only somebody who has the bytes, or
was told the CID, can connect the two; see ``bcfl.store.ipfs``.

Sources: CIDv1 and multihash (github.com/multiformats/cid), dag-pb (ipld.io/specs/codecs/dag-pb),
UnixFS (specs.ipfs.tech/unixfs), the named profiles of IPIP-499.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum

from bcfl.core.errors import CodecError, expect

_VERSION = 1
_SHA2_256 = b"\x12\x20"  # multihash: sha2-256, 32 bytes
_CID_BYTES = 2 + len(_SHA2_256) + 32
_TEXT_LENGTH = 1 + 58  # multibase prefix and 36 bytes in base32
_UNIXFS_FILE = 2


class Codec(IntEnum):
    """What a block is: bytes as they are, or a node of a tree."""

    RAW = 0x55
    DAG_PB = 0x70


@dataclass(frozen=True, slots=True)
class Layout:
    """How a blob is cut into blocks; the CID depends on all three.

    Parameters
    ----------
    chunk_bytes : int
        Size of every leaf but the last. Kubo refuses more than 1 MiB (newer ones: 2 MiB).
    max_links : int
        Children of an inner node, at least 2.
    raw_leaves : bool
        True: leaves are the chunks themselves, and links are CIDv1 (``--cid-version=1``).
        False: leaves are wrapped in UnixFS nodes, and links are bare multihashes, as in
        CIDv0; the root is named by the CIDv1 of the same multihash (``ipfs cid base32 Qm…``).

    Raises
    ------
    ConfigurationError
        If a number is out of range.
    """

    chunk_bytes: int
    max_links: int
    raw_leaves: bool = True

    def __post_init__(self) -> None:
        expect(self.chunk_bytes >= 1, "chunk_bytes", "at least 1", self.chunk_bytes)
        expect(self.max_links >= 2, "max_links", "at least 2", self.max_links)


#: ``ipfs add --cid-version=1``: what Kubo does unless told otherwise.
KUBO_CIDV1 = Layout(chunk_bytes=256 * 1024, max_links=174)
#: Profile ``unixfs-v1-2025`` of IPIP-499, recommended where tools must agree on CIDs.
UNIXFS_V1_2025 = Layout(chunk_bytes=1024 * 1024, max_links=1024)
#: Profile ``unixfs-v0-2015``: plain ``ipfs add``, whose CIDs begin with Qm.
UNIXFS_V0_2015 = Layout(chunk_bytes=256 * 1024, max_links=174, raw_leaves=False)


@dataclass(frozen=True, slots=True)
class Cid:
    """A CIDv1 with a SHA-256 multihash; ``str`` gives its base32 text.

    Parameters
    ----------
    codec : Codec
        What the named block is.
    digest : bytes
        SHA-256 of the named block, 32 bytes.

    Raises
    ------
    CodecError
        If the digest is not 32 bytes long.
    """

    codec: Codec
    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise CodecError(f"a CID's digest is 32 bytes long; found {len(self.digest)}")

    @classmethod
    def of_digest(cls, digest: bytes) -> Cid:
        """The CID of the one-block blob whose SHA-256 is ``digest``."""
        return cls(Codec.RAW, digest)

    @property
    def blob_digest(self) -> bytes | None:
        """SHA-256 of the blob where the CID tells it (one raw block), else None."""
        return self.digest if self.codec is Codec.RAW else None

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read the canonical text of a CIDv1: base32, lower case, no padding.

        Raises
        ------
        CodecError
            If it is another kind of CID, or none.
        """
        expected = f"expected a CIDv1 in base32 with SHA-256, 'baf…' of {_TEXT_LENGTH} letters"
        if len(text) != _TEXT_LENGTH or not text.startswith("b") or not text.isascii():
            raise CodecError(f"{expected}; found {text[:80]!r}")
        try:
            binary = base64.b32decode(text[1:].upper() + "======")
        except binascii.Error:
            raise CodecError(f"{expected}; found {text!r}") from None
        codecs = {codec.value: codec for codec in Codec}
        if (
            len(binary) != _CID_BYTES
            or binary[0] != _VERSION
            or binary[1] not in codecs
            or binary[2:4] != _SHA2_256
        ):
            raise CodecError(f"{expected}, raw or dag-pb; found {text!r}")
        cid = cls(codecs[binary[1]], binary[4:])
        if str(cid) != text:  # upper case, or bits set past the end
            raise CodecError(f"{expected}; found {text!r}, which is not its canonical spelling")
        return cid

    def __bytes__(self) -> bytes:
        return bytes((_VERSION, self.codec)) + _SHA2_256 + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode("ascii").rstrip("=").lower()


@dataclass(frozen=True, slots=True)
class _Node:
    """A block already named: enough of it to link to it."""

    cid: Cid
    file_bytes: int  #: of the blob, under this node
    total_bytes: int  #: of all blocks from here down; dag-pb calls it Tsize


def cid_of(blob: bytes, layout: Layout = KUBO_CIDV1) -> Cid:
    """Name ``blob`` as an IPFS node does that cuts it by ``layout``.

    Parameters
    ----------
    blob : bytes
        Any bytes, of any length; none at all is a blob, too.
    layout : Layout
        How it is cut.

    Returns
    -------
    Cid
        Of the root: a raw block where ``blob`` fits one chunk and leaves are raw.

    Notes
    -----
    Balanced layout: level by level, each ``max_links`` neighbours get a parent, until one
    node is left. The last parent of a level may have a single child.
    """
    view = memoryview(blob)
    starts = range(0, max(len(view), 1), layout.chunk_bytes)
    level = [_leaf(view[at : at + layout.chunk_bytes], layout) for at in starts]
    while len(level) > 1:
        level = [
            _parent(level[at : at + layout.max_links], layout)
            for at in range(0, len(level), layout.max_links)
        ]
    return level[0].cid


def _leaf(chunk: memoryview, layout: Layout) -> _Node:
    size = len(chunk)
    if layout.raw_leaves:
        return _Node(Cid(Codec.RAW, hashlib.sha256(chunk).digest()), size, size)
    data = _number(1, _UNIXFS_FILE) + (_bytes(2, bytes(chunk)) if size else b"") + _number(3, size)
    return _block(_bytes(1, data), size, below=0)


def _parent(children: list[_Node], layout: Layout) -> _Node:
    file_bytes = sum(child.file_bytes for child in children)
    data = _number(1, _UNIXFS_FILE) + _number(3, file_bytes)
    data += b"".join(_number(4, child.file_bytes) for child in children)
    # dag-pb's canonical order puts the links (field 2) before the data (field 1)
    links = b"".join(_bytes(2, _link(child, layout)) for child in children)
    below = sum(child.total_bytes for child in children)
    return _block(links + _bytes(1, data), file_bytes, below)


def _link(child: _Node, layout: Layout) -> bytes:
    name = bytes(child.cid) if layout.raw_leaves else _SHA2_256 + child.cid.digest
    return _bytes(1, name) + _bytes(2, b"") + _number(3, child.total_bytes)


def _block(block: bytes, file_bytes: int, below: int) -> _Node:
    cid = Cid(Codec.DAG_PB, hashlib.sha256(block).digest())
    return _Node(cid, file_bytes, len(block) + below)


def _number(field: int, value: int) -> bytes:
    """A protobuf field of wire type 0."""
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    """A protobuf field of wire type 2."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
