"""The folder as blob store: whole blobs or none, whoever else writes, and whatever dies."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import BlobMissing, CodecError, ConfigurationError, StoreUnreachable
from bcfl.store.blob_store import BlobStore, LocatingStore
from bcfl.store.local import LocalStore

BLOB = b"a delta"
DIGEST = hashlib.sha256(BLOB).digest()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs" / "blobs")


def file_of(store: LocalStore, digest: bytes) -> Path:
    return store.folder / digest.hex()[:2] / digest.hex()


def test_a_blob_comes_back_under_its_sha256(store: LocalStore) -> None:
    assert store.put(BLOB) == DIGEST
    assert store.get(DIGEST, max_bytes=len(BLOB)) == BLOB
    assert store.has(DIGEST)
    assert file_of(store, DIGEST).read_bytes() == BLOB


def test_it_is_a_blob_store_whose_digests_suffice(store: LocalStore) -> None:
    port: BlobStore = store
    assert not isinstance(port, LocatingStore)


@given(st.binary(max_size=500))
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, blob: bytes) -> None:
    store = LocalStore(tmp_path_factory.getbasetemp() / "any")
    assert store.get(store.put(blob), len(blob)) == blob


def test_an_absent_blob_is_missing(store: LocalStore) -> None:
    assert not store.has(DIGEST)
    with pytest.raises(BlobMissing, match=f"{DIGEST.hex()}.*found none"):
        store.get(DIGEST, max_bytes=100)


def test_a_blob_too_long_is_refused_before_it_is_read(store: LocalStore) -> None:
    path = file_of(store, store.put(BLOB))
    with open(path, "r+b") as file:
        file.truncate(2**40)  # sparse: reading it would take a terabyte
    with pytest.raises(CodecError, match=r"at most 1000 bytes.*1099511627776"):
        store.get(DIGEST, max_bytes=1000)


def test_a_damaged_blob_is_refused_and_mended_by_putting_it_again(store: LocalStore) -> None:
    store.put(BLOB)
    file_of(store, DIGEST).write_bytes(b"A delta")
    with pytest.raises(CodecError, match="the file is damaged"):
        store.get(DIGEST, max_bytes=100)
    store.put(BLOB)
    assert store.get(DIGEST, max_bytes=100) == BLOB


def test_putting_again_writes_nothing(store: LocalStore) -> None:
    path = file_of(store, store.put(BLOB))
    before = path.stat()
    store.put(BLOB)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_what_is_no_digest_is_refused(store: LocalStore, length: int) -> None:
    for call in (lambda d: store.get(d, 10), store.has):
        with pytest.raises(CodecError, match=f"32 bytes long; found {length}"):
            call(bytes(length))


def test_another_kind_of_thing_under_a_blobs_name_neither_hangs_nor_passes(
    store: LocalStore,
) -> None:
    path = file_of(store, DIGEST)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(CodecError, match="plain file"):
        store.get(DIGEST, max_bytes=10)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreUnreachable, match="Is a directory"):
        store.get(DIGEST, max_bytes=10)


def test_nothing_is_made_until_a_blob_is_put(store: LocalStore, tmp_path: Path) -> None:
    assert not store.has(DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("not a folder")
    for folder in (tmp_path / "blobs", tmp_path / "blobs" / "deeper"):
        with pytest.raises(ConfigurationError, match="expected a folder"):
            LocalStore(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_says_so(store: LocalStore) -> None:
    store.folder.mkdir(parents=True, mode=0o500)
    with pytest.raises(StoreUnreachable, match="Permission denied"):
        store.put(BLOB)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def no_room(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"bcfl.store.local.os.{step}", no_room)
    with pytest.raises(StoreUnreachable, match=r"No space left on device.*disk has room"):
        store.put(BLOB)
    monkeypatch.undo()
    assert not store.has(DIGEST)
    assert list(store.folder.glob("*/*")) == []


def test_left_overs_of_killed_writers_are_swept_once_they_are_old(store: LocalStore) -> None:
    store.put(BLOB)
    old, young = (file_of(store, DIGEST).with_name(f".tmp-{name}") for name in ("old", "young"))
    for left_over in (old, young):
        left_over.write_bytes(b"half a bl")
    os.utime(old, (0, 0))
    LocalStore(store.folder)
    assert not old.exists()
    assert young.exists()
    assert store.get(DIGEST, 100) == BLOB


def test_many_writers_of_the_same_blobs_agree(store: LocalStore) -> None:
    blobs = [bytes([n]) * 10_000 for n in range(20)]
    digests = {hashlib.sha256(blob).digest(): blob for blob in blobs}

    def write() -> None:
        for blob in blobs:
            LocalStore(store.folder).put(blob)

    def read() -> None:
        for _ in range(20):
            for digest, blob in digests.items():
                if store.has(digest):
                    assert store.get(digest, 10_000) == blob

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(act) for act in [write] * 4 + [read] * 2]:
            done.result(60)
    assert sorted(path.name for path in store.folder.glob("*/*")) == sorted(
        digest.hex() for digest in digests
    )


KILLED_WRITER = """
import sys
from bcfl.store.local import LocalStore
store = LocalStore(sys.argv[1])
for n in range(10_000):
    store.put(n.to_bytes(4, "big") * 50_000)
    print(n, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_blobs_only(tmp_path: Path) -> None:
    for kill_after in (1, 3, 8):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(kill_after):
                written = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
        store = LocalStore(tmp_path)
        names = [path.name for path in tmp_path.glob("*/*") if not path.name.startswith(".tmp-")]
        assert len(names) > written
        for name in names:
            store.get(bytes.fromhex(name), max_bytes=200_000)
        store.put(b"and goes on")


def test_it_can_be_sent_to_another_process(store: LocalStore) -> None:
    digest = store.put(BLOB)
    assert pickle.loads(pickle.dumps(store)).get(digest, 100) == BLOB
    assert repr(store) == f"LocalStore('{store.folder}')"
