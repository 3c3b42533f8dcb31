"""A store for members only: the protocol's digests, and nothing to read for strangers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bcfl.core.errors import BlobMissing, CodecError, SealError, StoreUnreachable
from bcfl.keys.accounts import Account
from bcfl.keys.sealing import public_key_of, seal_for
from bcfl.store.blob_store import BlobStore, LocatingStore
from bcfl.store.local import LocalStore
from bcfl.store.locators import LocatorIndex
from bcfl.store.sealed import SealedStore

ANA, BEN, EVE = (bytes([n]) * 32 for n in (1, 2, 3))
MEMBERS = [public_key_of(ANA), public_key_of(BEN)]
BLOB = b"what only members may read"
DIGEST = hashlib.sha256(BLOB).digest()


@pytest.fixture
def folder(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "blobs")


def store_of(private_key: bytes, folder: BlobStore, index: Path | None = None) -> SealedStore:
    return SealedStore(folder, Account(private_key), lambda: MEMBERS, index=index)


class Shelf:
    """A store in memory that, like IPFS for long blobs, needs more than a digest."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.learnt: dict[bytes, str] = {}

    def put(self, blob: bytes) -> bytes:
        digest = hashlib.sha256(blob).digest()
        self.blobs[digest] = blob
        return digest

    def get(self, digest: bytes, max_bytes: int) -> bytes:
        if self.learnt.get(digest) != "shelf 7":
            raise BlobMissing("which shelf?")
        return self.blobs[digest]

    def has(self, digest: bytes) -> bool:
        return digest in self.blobs

    def locator(self, digest: bytes) -> str:
        return "shelf 7"

    def learn(self, digest: bytes, locator: str) -> None:
        self.learnt[digest] = locator


def test_members_read_it_and_the_digest_is_that_of_the_plain_blob(folder: LocalStore) -> None:
    ana, ben = store_of(ANA, folder), store_of(BEN, folder)
    assert ana.put(BLOB) == DIGEST
    assert ana.get(DIGEST, len(BLOB)) == BLOB
    ben.learn(DIGEST, ana.locator(DIGEST))
    assert ben.has(DIGEST)
    assert ben.get(DIGEST, len(BLOB)) == BLOB
    assert ben.locator(DIGEST) == ana.locator(DIGEST)
    assert isinstance(ben, LocatingStore)


def test_a_stranger_with_folder_and_locator_reads_nothing(folder: LocalStore) -> None:
    ana, eve = store_of(ANA, folder), store_of(EVE, folder)
    ana.put(BLOB)
    eve.learn(DIGEST, ana.locator(DIGEST))
    with pytest.raises(SealError, match="this key is none of them"):
        eve.get(DIGEST, 1000)
    assert not folder.has(DIGEST)
    [path] = folder.folder.glob("*/*")
    assert BLOB[:8] not in path.read_bytes()


def test_ones_own_key_is_among_the_readers(folder: LocalStore) -> None:
    server = SealedStore(folder, Account(EVE), lambda: MEMBERS)
    assert server.get(server.put(BLOB), 100) == BLOB


def test_without_a_locator_it_says_what_is_missing(folder: LocalStore) -> None:
    store_of(ANA, folder).put(BLOB)
    ben = store_of(BEN, folder)
    assert not ben.has(DIGEST)
    with pytest.raises(BlobMissing, match="comes with the message"):
        ben.get(DIGEST, 100)


def test_what_was_put_is_found_after_a_restart(folder: LocalStore, tmp_path: Path) -> None:
    store_of(ANA, folder, tmp_path / "index").put(BLOB)
    assert store_of(ANA, folder, tmp_path / "index").get(DIGEST, 100) == BLOB


def test_a_member_who_came_later_reads_what_is_put_again(folder: LocalStore) -> None:
    members = [public_key_of(ANA)]
    server = SealedStore(folder, Account(ANA), lambda: members)
    server.put(BLOB)
    ben = store_of(BEN, folder)
    ben.learn(DIGEST, server.locator(DIGEST))
    with pytest.raises(SealError):
        ben.get(DIGEST, 100)
    members.append(public_key_of(BEN))
    server.put(BLOB)
    ben.learn(DIGEST, server.locator(DIGEST))
    assert ben.get(DIGEST, 100) == BLOB


def test_wrong_locators_do_not_hide_the_right_one(folder: LocalStore) -> None:
    ana, ben = store_of(ANA, folder), store_of(BEN, folder)
    ana.put(BLOB)
    other = folder.put(seal_for(b"another blob", MEMBERS))
    ben.learn(DIGEST, ana.locator(DIGEST))
    for lie in (other.hex(), folder.put(b"not sealed").hex(), bytes(32).hex()):
        ben.learn(DIGEST, lie)
    assert ben.get(DIGEST, 100) == BLOB
    assert ben.locator(DIGEST) == ana.locator(DIGEST)


def test_another_blob_sealed_to_us_is_refused(folder: LocalStore) -> None:
    ben = store_of(BEN, folder)
    ben.learn(DIGEST, folder.put(seal_for(b"another blob", MEMBERS)).hex())
    with pytest.raises(CodecError, match=f"expected bytes that hash to {DIGEST.hex()}"):
        ben.get(DIGEST, 100)


def test_a_blob_too_long_is_refused(folder: LocalStore) -> None:
    ana = store_of(ANA, folder)
    ana.put(BLOB)
    assert ana.get(DIGEST, len(BLOB)) == BLOB
    with pytest.raises(CodecError, match=f"at most {len(BLOB) - 1} bytes"):
        ana.get(DIGEST, len(BLOB) - 1)
    digest = ana.put(bytes(100_000))
    with pytest.raises(CodecError, match="at most"):
        ana.get(digest, 10)


def test_the_inner_stores_locator_travels_along() -> None:
    shelf = Shelf()
    ana = store_of(ANA, shelf)
    ana.put(BLOB)
    assert ana.locator(DIGEST).endswith("+shelf 7")
    shelf.learnt.clear()
    ben = store_of(BEN, shelf)
    ben.learn(DIGEST, ana.locator(DIGEST))
    assert ben.get(DIGEST, 100) == BLOB
    assert list(shelf.learnt.values()) == ["shelf 7"]


@pytest.mark.parametrize(
    "locator",
    ["x", "ab" * 31, "AB" * 32, "ab" * 32 + "+", "ab" * 33, "zz" * 32, "ab" * 32 + "+" + "c" * 200],
)
def test_what_is_no_locator_is_refused(folder: LocalStore, locator: str) -> None:
    with pytest.raises(CodecError, match="expected the locator of a sealed blob"):
        store_of(ANA, folder).learn(DIGEST, locator)


def test_no_digest_is_refused_and_keys_are_never_shown(folder: LocalStore) -> None:
    ana = store_of(ANA, folder)
    with pytest.raises(CodecError, match="32 bytes"):
        ana.get(b"short", 10)
    assert repr(ana) == f"SealedStore(LocalStore('{folder.folder}'))"


# --- the index that both this store and the one on IPFS keep --------------------------------------


def test_an_index_in_a_folder_outlives_it_and_is_shared(tmp_path: Path) -> None:
    one, other = LocatorIndex(tmp_path / "a" / "b"), LocatorIndex(tmp_path / "a" / "b")
    assert one.get(DIGEST) is None
    one.put(DIGEST, "here")
    assert other.get(DIGEST) == "here"
    one.put(DIGEST, "there")
    assert LocatorIndex(tmp_path / "a" / "b").get(DIGEST) == "there"


def test_an_index_without_a_folder_ends_with_it() -> None:
    index = LocatorIndex(None)
    index.put(DIGEST, "here")
    assert index.get(DIGEST) == "here"
    assert LocatorIndex(None).get(DIGEST) is None


@pytest.mark.parametrize("content", [b"", b"x" * 257, b"\xff"])
def test_a_damaged_index_says_which_file_to_remove(tmp_path: Path, content: bytes) -> None:
    LocatorIndex(tmp_path).put(DIGEST, "here")
    path = tmp_path / DIGEST.hex()[:2] / DIGEST.hex()
    path.write_bytes(content)
    with pytest.raises(CodecError, match=f"in {path}.*remove that file"):
        LocatorIndex(tmp_path).get(DIGEST)


def test_an_index_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / DIGEST.hex()[:2]).write_bytes(b"in the way")
    with pytest.raises(StoreUnreachable, match=r"blob index at .* cannot be"):
        LocatorIndex(tmp_path).put(DIGEST, "here")


def test_hints_stand_newest_first_and_are_dropped_one_by_one_or_all() -> None:
    index = LocatorIndex(None)
    for locator in ("a", "b", "a", "c"):
        index.hint(DIGEST, locator)
    assert index.known(DIGEST) == ["c", "a", "b"]
    assert index.drop(DIGEST, "a") == ("c", "b")
    index.put(DIGEST, "d")
    assert index.known(DIGEST) == ["d"]
    index.hint(DIGEST, "d")
    index.hint(DIGEST, "e")
    assert index.known(DIGEST) == ["d", "e"]
