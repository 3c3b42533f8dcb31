"""The IPFS store against a small server that answers as Kubo does, or that does its worst.

With BCFL_TEST_IPFS=http://127.0.0.1:5001 the same conversation is held with a real node.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import pickle
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bcfl.core.errors import (
    BlobError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    StoreUnreachable,
)
from bcfl.store import kubo as kubo_rpc
from bcfl.store.blob_store import BlobStore, LocatingStore
from bcfl.store.cid import KUBO_CIDV1, UNIXFS_V0_2015, UNIXFS_V1_2025, Cid, Layout, cid_of
from bcfl.store.ipfs import IpfsStore

MIB = 1024 * 1024
SHORT = b"a delta of one block"
SHORT_DIGEST = hashlib.sha256(SHORT).digest()
LONG = random.Random(7).randbytes(3 * MIB + 5)
LONG_DIGEST = hashlib.sha256(LONG).digest()
LONG_CID = str(cid_of(LONG, UNIXFS_V1_2025))

# --- a node ---------------------------------------------------------------------------------
# It builds its trees as boxo's balanced.Layout does, by filling nodes depth first, so that it
# shares no idea with bcfl.store.cid, which goes level by level.


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            value, shift, more, at = value | (data[at] & 127) << shift, shift + 7, data[at], at + 1
            if more < 128:
                return value

    while at < len(data):
        key = number()
        value: int | bytes = number()
        if key & 7 == 2:
            value, at = data[at : at + int(value)], at + int(value)
        yield key >> 3, value


class Blocks:
    """Blocks by CID, and the trees between them."""

    def __init__(self) -> None:
        self.by_cid: dict[str, bytes] = {}
        self.pins: set[str] = set()

    def add(self, blob: bytes, chunk_bytes: int, max_links: int) -> str:
        chunks = deque(blob[at : at + chunk_bytes] for at in range(0, len(blob), chunk_bytes))
        root, depth = self.leaf(chunks.popleft() if chunks else b""), 1
        while chunks:
            root, depth = self.fill(chunks, [root], depth, max_links), depth + 1
        return self.text(root[0])

    def fill(
        self, chunks: deque[bytes], children: list[tuple[bytes, int, int]], depth: int, links: int
    ) -> tuple[bytes, int, int]:
        while chunks and len(children) < links:
            deeper = depth > 1
            children.append(
                self.fill(chunks, [], depth - 1, links) if deeper else self.leaf(chunks.popleft())
            )
        size = sum(file_bytes for _, file_bytes, _ in children)
        data = field(1, 2) + field(3, size) + b"".join(field(4, child[1]) for child in children)
        block = b"".join(
            field(2, field(1, cid) + field(2, b"") + field(3, total)) for cid, _, total in children
        ) + field(1, data)
        cid = self.keep(0x70, block)
        return cid, size, len(block) + sum(total for *_, total in children)

    def leaf(self, chunk: bytes) -> tuple[bytes, int, int]:
        return self.keep(0x55, chunk), len(chunk), len(chunk)

    def keep(self, codec: int, block: bytes) -> bytes:
        cid = bytes([1, codec, 0x12, 32]) + hashlib.sha256(block).digest()
        self.by_cid[self.text(cid)] = block
        return cid

    def cat(self, cid: str) -> bytes:
        block = self.by_cid[cid]
        if cid.startswith("bafk"):
            return block
        links = [dict(read_fields(bytes(v))) for n, v in read_fields(block) if n == 2]
        return b"".join(self.cat(self.text(bytes(link[1]))) for link in links)

    @staticmethod
    def text(cid: bytes) -> str:
        return "b" + base64.b32encode(cid).decode().rstrip("=").lower()


class Node(ThreadingHTTPServer):
    """Kubo's RPC: ``add``, ``cat``, ``pin/add``; answers as go-ipfs-cmds writes them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.blocks = Blocks()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.faults: deque[Callable[[Conversation], None]] = deque()
        self.every_time: Callable[[Conversation], None] | None = None
        self.knows_max_file_links = True
        self.authorization: str | None = None
        self.sent_bytes = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_args: object) -> None:
        """Say nothing: clients of these tests hang up on purpose."""


class Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Node
    params: dict[str, str]

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self.text(405, "405 - Method Not Allowed")

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        self.params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        command = parts.path.removeprefix("/api/v0/")
        self.server.asked.append((command, self.params))
        fault = self.server.faults.popleft() if self.server.faults else self.server.every_time
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.text(403, "Kubo RPC Access Denied")
        elif fault is not None:
            fault(self)
        else:
            self.behave()

    def behave(self) -> None:
        command = urlsplit(self.path).path.removeprefix("/api/v0/")
        if command in ("add", "cat", "pin/add"):
            getattr(self, command.replace("/", "_"))()
        else:
            self.text(404, "404 page not found")

    def add(self) -> None:
        kind, _, boundary = self.headers.get("Content-Type", "").partition("; boundary=")
        if kind != "multipart/form-data":
            self.text(400, "file argument 'path' is required")
            return
        _, part, end = self.body.split(b"--" + boundary.encode())
        head, _, content = part.partition(b"\r\n\r\n")
        assert b'name="file"' in head
        assert end.strip() == b"--"
        blob = content.removesuffix(b"\r\n")
        kind, _, size = self.params["chunker"].partition("-")
        if kind != "size" or int(size) > 2 * MIB - 256:
            self.error("chunker parameters may not exceed the maximum chunk size of 2096896")
            return
        assert self.params["cid-version"] == "1"
        links = int(self.params["max-file-links"]) if self.server.knows_max_file_links else 174
        cid = self.server.blocks.add(blob, int(size), links)
        if self.params["pin"] == "true":
            self.server.blocks.pins.add(cid)
        self.json({"Name": "blob", "Hash": cid, "Size": str(len(blob))})

    def cat(self) -> None:
        cid = self.params["arg"]
        try:
            blob = self.server.blocks.cat(cid)
        except KeyError:
            self.error(f"block was not found locally (offline): ipld: could not find {cid}")
            return
        if "length" in self.params:
            blob = blob[: int(self.params["length"])]
        self.stream(blob, len(blob))

    def pin_add(self) -> None:
        cid = self.params["arg"]
        if cid not in self.server.blocks.by_cid:
            self.error(f"pin: block was not found locally (offline): ipld: could not find {cid}")
            return
        self.server.blocks.pins.add(cid)
        self.json({"Pins": [cid]})

    def begin(self, status: int, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Stream-Error")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.server.sent_bytes += len(data)

    def end(self, stream_error: str = "") -> None:
        trailer = f"X-Stream-Error: {stream_error}\r\n" if stream_error else ""
        self.wfile.write(f"0\r\n{trailer}\r\n".encode())

    def stream(self, blob: bytes, announced: int | None, stream_error: str = "") -> None:
        length = {} if announced is None else {"X_Content_Length": str(announced)}
        self.begin(200, "text/plain", X_Stream_Output="1", **length)
        for at in range(0, len(blob), 100_000):
            self.chunk(blob[at : at + 100_000])
        self.end(stream_error)

    def json(self, value: dict[str, Any], status: int = 200) -> None:
        self.begin(status, "application/json", X_Chunked_Output="1")
        self.chunk(json.dumps(value).encode() + b"\n")
        self.end()

    def error(self, message: str, status: int = 500) -> None:
        self.json({"Message": message, "Code": 0, "Type": "error"}, status)

    def text(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join(10)


class Waits(list[float]):
    """Stands in for ``time.sleep``: notes what was asked for, and returns."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def store(node: Node, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> IpfsStore:
    monkeypatch.setattr(kubo_rpc, "_GRACE_S", 0.05)
    return IpfsStore(node.url, sleep=waits, budget_s=5.0)


# --- what a user does, with our server and with a real node ------------------------------------


@pytest.fixture(params=["server", "real node"])
def url(request: pytest.FixtureRequest, node: Node) -> str:
    if request.param == "server":
        return node.url
    if not (real := os.environ.get("BCFL_TEST_IPFS")):
        pytest.skip("set BCFL_TEST_IPFS to the RPC of a Kubo node, as in http://127.0.0.1:5001")
    return real


@pytest.mark.parametrize("size", [0, 1, 1000, MIB // 4 + 1, MIB, MIB + 1, 3 * MIB + 5])
@pytest.mark.parametrize("layout", [UNIXFS_V1_2025, KUBO_CIDV1])
def test_blobs_of_one_block_and_of_many_come_back(url: str, size: int, layout: Layout) -> None:
    blob = LONG[:size]
    store = IpfsStore(url, layout=layout)
    digest = store.put(blob)  # compares the node's CID with ours
    assert digest == hashlib.sha256(blob).digest()
    assert store.cid(digest) == str(cid_of(blob, layout))
    assert store.has(digest)
    assert store.get(digest, max_bytes=size) == blob


@pytest.mark.parametrize("chunks", [3, 4, 9, 10, 28])
def test_blobs_whose_tree_is_deep_come_back(node: Node, chunks: int) -> None:
    store = IpfsStore(node.url, layout=Layout(100_000, 3))
    blob = LONG[: chunks * 100_000]
    assert store.get(store.put(blob), len(blob)) == blob


def test_another_member_finds_a_short_blob_by_its_digest_alone(url: str) -> None:
    digest = IpfsStore(url).put(LONG[:MIB])
    assert IpfsStore(url).locator(digest) == ""
    assert IpfsStore(url).get(digest, MIB) == LONG[:MIB]


def test_another_member_finds_a_long_blob_by_the_locator_sent_along(url: str) -> None:
    sender, receiver = IpfsStore(url), IpfsStore(url, budget_s=5)
    digest = sender.put(LONG)
    receiver.learn(digest, sender.locator(digest))
    assert receiver.get(digest, len(LONG)) == LONG
    assert receiver.locator(digest) == LONG_CID


def test_a_blob_that_nobody_has_is_missing(url: str) -> None:
    store = IpfsStore(url, budget_s=3)
    digest = os.urandom(32)
    assert not store.has(digest)
    with pytest.raises(BlobMissing, match=f"{digest.hex()}.*{Cid.of_digest(digest)}"):
        store.get(digest, max_bytes=10)


# --- what it says to the node -------------------------------------------------------------------


def test_it_is_a_locating_store(store: IpfsStore) -> None:
    port: BlobStore = store
    assert isinstance(port, LocatingStore)


def test_add_names_all_that_the_cid_depends_on(node: Node, store: IpfsStore) -> None:
    store.put(SHORT)
    command, params = node.asked[0]
    assert command == "add"
    assert 4000 < int(params.pop("timeout").removesuffix("ms")) <= 5001
    assert params == {
        "cid-version": "1",
        "cid-base": "base32",
        "hash": "sha2-256",
        "raw-leaves": "true",
        "chunker": "size-1048576",
        "max-file-links": "1024",
        "trickle": "false",
        "inline": "false",
        "wrap-with-directory": "false",
        "pin": "true",
        "progress": "false",
    }


def test_what_is_put_and_what_was_fetched_is_pinned(node: Node, store: IpfsStore) -> None:
    cid = node.blocks.add(LONG, 1000, 7)  # somebody else's way to cut it
    store.learn(LONG_DIGEST, cid)
    assert store.get(LONG_DIGEST, len(LONG)) == LONG
    store.put(SHORT)
    assert node.blocks.pins == {cid, str(Cid.of_digest(SHORT_DIGEST))}
    node.blocks.pins.clear()
    unpinned = IpfsStore(node.url, pin=False)
    unpinned.get(unpinned.put(SHORT), 100)
    assert node.blocks.pins == set()


def test_a_pin_that_fails_is_reported_and_costs_nothing(
    node: Node, store: IpfsStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(SHORT)
    node.faults.append(lambda talk: talk.cat())
    node.every_time = lambda talk: talk.error("pinner is busy")
    with caplog.at_level(logging.WARNING):
        assert store.get(SHORT_DIGEST, 100) == SHORT
    assert "is not pinned" in caplog.text
    assert "pinner is busy" in caplog.text


def test_proven_cids_outlive_the_process(node: Node, tmp_path: Path) -> None:
    IpfsStore(node.url, index=tmp_path / "cids").put(LONG)
    resumed = IpfsStore(node.url, index=tmp_path / "cids")
    assert resumed.locator(LONG_DIGEST) == LONG_CID
    assert resumed.get(LONG_DIGEST, len(LONG)) == LONG
    [entry] = (tmp_path / "cids").glob("*/*")
    entry.write_bytes(b"")
    with pytest.raises(CodecError, match="remove that file"):
        IpfsStore(node.url, index=tmp_path / "cids").get(LONG_DIGEST, len(LONG))


# --- hints: taken, never believed -----------------------------------------------------------------


@pytest.mark.parametrize("locator", ["nonsense", "Qm" + "a" * 44, "b" * 300])
def test_what_is_no_cid_is_no_hint(store: IpfsStore, locator: str) -> None:
    with pytest.raises(CodecError, match="expected a CIDv1"):
        store.learn(LONG_DIGEST, locator)


def test_the_cid_of_another_block_is_no_hint(store: IpfsStore) -> None:
    with pytest.raises(CodecError, match="which is another's"):
        store.learn(LONG_DIGEST, str(Cid.of_digest(SHORT_DIGEST)))


def test_wrong_hints_do_not_hide_the_right_one(node: Node, store: IpfsStore) -> None:
    right = node.blocks.add(LONG, MIB, 1024)
    present = node.blocks.add(LONG[:-1], MIB, 1024)
    absent = [str(cid_of(LONG + bytes([n]))) for n in range(3)]
    for hint in [right, present, *absent]:
        store.learn(LONG_DIGEST, hint)
    assert store.get(LONG_DIGEST, len(LONG)) == LONG
    assert store.cid(LONG_DIGEST) == right


def test_a_hint_to_a_folder_costs_its_share_of_the_time_only(node: Node, waits: Waits) -> None:
    store = IpfsStore(node.url, sleep=waits, budget_s=4)
    store.put(SHORT)
    store.learn(SHORT_DIGEST, LONG_CID)
    node.every_time = lambda talk: (
        talk.error("this dag node is a directory")
        if talk.params["arg"] == LONG_CID
        else talk.behave()
    )
    assert store.has(SHORT_DIGEST)
    assert store.get(SHORT_DIGEST, 100) == SHORT
    assert 2 <= len(waits) <= 20


def test_only_wrong_hints_end_in_a_codec_error_and_are_forgotten(
    node: Node, store: IpfsStore
) -> None:
    store.learn(LONG_DIGEST, node.blocks.add(LONG[:-1], MIB, 1024))
    with pytest.raises(CodecError, match="whoever named that CID, or served it, is wrong"):
        store.get(LONG_DIGEST, len(LONG))
    with pytest.raises(BlobMissing, match="needs the CID from the message"):
        store.get(LONG_DIGEST, len(LONG))


def test_a_flood_of_hints_is_forgotten_but_for_the_newest(store: IpfsStore) -> None:
    for n in range(50):
        store.learn(LONG_DIGEST, str(cid_of(bytes([n]) * (MIB // 4 + 1))))
    newest = str(cid_of(bytes([49]) * (MIB // 4 + 1)))
    assert store.cid(LONG_DIGEST) == newest
    assert len(store._candidates(LONG_DIGEST)) == 9
    for n in range(5000):
        store.learn(n.to_bytes(32, "big"), newest)
    assert len(store._index._hints) == 4096


# --- a node that errs, breaks down, or lies -------------------------------------------------------


def answer(status: int, text: str = "trouble") -> Callable[[Conversation], None]:
    return lambda talk: talk.error(text, status)


def hang_up(talk: Conversation) -> None:
    talk.close_connection = True


def hang_up_halfway(talk: Conversation) -> None:
    talk.begin(200, "text/plain", X_Stream_Output="1")
    talk.chunk(SHORT[:5])
    talk.close_connection = True


def end_early(talk: Conversation) -> None:
    # what go-ipfs-cmds does when a block goes missing after the first byte: a clean end
    talk.stream(SHORT[:5], len(SHORT), stream_error="ipld: could not find a block")


def hang_up_before_the_announced_length(talk: Conversation) -> None:
    talk.send_response(200)
    talk.send_header("Content-Length", str(len(SHORT)))
    talk.end_headers()
    talk.wfile.write(SHORT[:5])
    talk.close_connection = True


PASSING = [
    answer(500),
    answer(503),
    answer(429),
    lambda talk: talk.text(502, "<html>Bad Gateway</html>"),
    hang_up,
    hang_up_halfway,
    end_early,
    hang_up_before_the_announced_length,
]


@pytest.mark.parametrize("fault", PASSING)
def test_get_tries_again_after_what_may_pass(
    node: Node, store: IpfsStore, waits: Waits, fault: Callable[[Conversation], None]
) -> None:
    store.put(SHORT)
    node.faults.extend([fault] * 3)
    assert store.get(SHORT_DIGEST, 100) == SHORT
    assert len(waits) == 3
    assert 0.1 <= waits[0] < waits[1] < waits[2] < 1  # 0.1 s, 0.2 s, 0.4 s, and up to 0.1 s more
    assert waits != [0.1, 0.2, 0.4]  # jitter: clients that failed together do not come together


@pytest.mark.parametrize(
    "fault", [answer(500), hang_up, lambda talk: talk.stream(b"", 0), hang_up_halfway]
)
def test_put_tries_again_after_what_may_pass(
    node: Node, store: IpfsStore, waits: Waits, fault: Callable[[Conversation], None]
) -> None:
    node.faults.extend([fault] * 2)
    assert store.put(LONG) == LONG_DIGEST
    assert len(waits) == 2
    assert node.blocks.cat(LONG_CID) == LONG


@pytest.mark.parametrize("fault", [*PASSING, lambda talk: talk.json({"Pins": 5})])
def test_trouble_that_does_not_pass_ends_with_the_time_budget(
    node: Node, waits: Waits, fault: Callable[[Conversation], None]
) -> None:
    store = IpfsStore(node.url, sleep=waits, budget_s=2)
    node.every_time = fault
    with pytest.raises(StoreUnreachable, match=r"did not do 'add' within 2 s \(\d tries\)"):
        store.put(SHORT)
    assert 1 <= len(waits) <= 5
    assert max(waits) < 2


def test_nobody_at_the_url_is_said(waits: Waits) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    store = IpfsStore(f"http://127.0.0.1:{port}", sleep=waits, budget_s=2)
    calls: list[Callable[[], object]] = [
        lambda: store.put(SHORT),
        lambda: store.get(SHORT_DIGEST, 100),
        lambda: store.has(SHORT_DIGEST),
    ]
    for call in calls:
        with pytest.raises(StoreUnreachable, match=rf"http://127.0.0.1:{port} .*'ipfs daemon'"):
            call()


@pytest.mark.parametrize(("status", "said"), [(404, "HTTP 404"), (301, "HTTP 301"), (403, "403")])
def test_what_will_not_pass_is_said_at_once(
    node: Node, store: IpfsStore, waits: Waits, status: int, said: str
) -> None:
    node.every_time = lambda talk: talk.text(status, "no such thing")
    with pytest.raises(StoreUnreachable, match=rf"{said}.*no such thing.*not its gateway"):
        store.put(SHORT)
    assert waits == []
    assert len(node.asked) == 1


def test_wrong_bytes_are_refused(node: Node, store: IpfsStore) -> None:
    store.put(SHORT)
    for lie in (SHORT.upper(), SHORT[:-1], SHORT + b"!", b""):
        node.faults.append(lambda talk, lie=lie: talk.stream(lie, None))  # type: ignore[misc]
        with pytest.raises(CodecError, match=f"expected bytes that hash to {SHORT_DIGEST.hex()}"):
            store.get(SHORT_DIGEST, 100)
    assert [command for command, _ in node.asked].count("pin/add") == 0


def test_a_wrong_cid_is_refused(node: Node, store: IpfsStore) -> None:
    wrong = str(Cid.of_digest(LONG_DIGEST))
    for lie in (wrong, "Qm" + "a" * 44, "x" * 1000, None, 7):
        node.faults.append(lambda talk, lie=lie: talk.json({"Hash": lie}))  # type: ignore[misc]
        with pytest.raises(BlobError, match=f"store 20 bytes as {Cid.of_digest(SHORT_DIGEST)}"):
            store.put(SHORT)


def test_a_node_that_cuts_in_another_way_is_explained(node: Node) -> None:
    node.knows_max_file_links = False
    store = IpfsStore(node.url, layout=Layout(1000, 1024))
    with pytest.raises(BlobError, match=r"Kubo before 0\.35"):
        store.put(LONG)


@pytest.mark.parametrize(
    ("announced", "said"), [(True, "has 999999999999999"), (False, "the node sends more")]
)
def test_a_blob_too_long_is_refused_and_not_read_to_its_end(
    node: Node, store: IpfsStore, announced: bool, said: str
) -> None:
    def endless(talk: Conversation) -> None:
        talk.begin(200, "text/plain", **({"X_Content_Length": "9" * 15} if announced else {}))
        for _ in range(1000):
            talk.chunk(bytes(100_000))

    node.faults.append(endless)
    with pytest.raises(CodecError, match=rf"expected at most 1000000 bytes.*{said}"):
        store.get(SHORT_DIGEST, max_bytes=1_000_000)
    assert node.sent_bytes < 20_000_000  # what sockets buffer, not the hundred that it had


def test_an_endless_answer_to_add_is_cut_off(node: Node, store: IpfsStore) -> None:
    def endless(talk: Conversation) -> None:
        talk.begin(200, "application/json")
        for _ in range(1000):
            talk.chunk(b'{"Name":"blob","Bytes":1}\n' * 4000)

    node.faults.append(endless)
    with pytest.raises(CodecError, match="the node sends more"):
        store.put(SHORT)


def silence(talk: Conversation) -> None:
    talk.server.released.wait(20)


def trickle(talk: Conversation) -> None:
    talk.begin(200, "text/plain", X_Content_Length="20")
    talk.wfile.write(b"14\r\n")
    while not talk.server.released.wait(0.02):
        talk.wfile.write(b"x")
        talk.wfile.flush()


@pytest.mark.parametrize("fault", [silence, trickle])
def test_a_node_that_stalls_does_not_hold_us(
    node: Node, waits: Waits, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
) -> None:
    monkeypatch.setattr(kubo_rpc, "_GRACE_S", 0.05)
    store = IpfsStore(node.url, sleep=waits, budget_s=0.3)
    node.every_time = fault
    started = time.monotonic()
    with pytest.raises(StoreUnreachable, match=r"within 0\.3 s"):
        store.get(SHORT_DIGEST, 1000)
    assert time.monotonic() - started < 5


def test_a_blob_not_found_in_time_is_missing(node: Node, store: IpfsStore) -> None:
    # an online node searches the network until the timeout that we sent it
    node.every_time = answer(500, "context deadline exceeded")
    with pytest.raises(BlobMissing, match=r"within 5 s it found none of baf"):
        store.get(SHORT_DIGEST, 100)


@pytest.mark.parametrize("reply", [b"[" * 100_000, b'{"Hash": ' + b"9" * 9000 + b"}", b"\xff\n{}"])
def test_answers_that_are_no_json_do_no_harm(node: Node, waits: Waits, reply: bytes) -> None:
    node.every_time = lambda talk: talk.stream(reply, None)
    store = IpfsStore(node.url, sleep=waits, budget_s=2)
    with pytest.raises(StoreUnreachable, match="names no CID"):
        store.put(SHORT)


# --- how it is set up -----------------------------------------------------------------------------


def test_credentials_in_the_url_are_used_and_never_shown(node: Node, waits: Waits) -> None:
    node.authorization = "Basic " + base64.b64encode(b"ana:s:cret").decode()
    store = IpfsStore(f"http://ana:s%3Acret@127.0.0.1:{node.server_port}/api/v0/", sleep=waits)
    store.put(SHORT)
    node.authorization = "Bearer of another"
    with pytest.raises(StoreUnreachable, match=r"API\.Authorizations") as caught:
        store.put(SHORT)
    for shown in (str(caught.value), repr(store), repr(store._rpc)):
        assert "cret" not in shown
        assert node.url in shown


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001", "ftp://x", "http://", "http://h:port"]
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"such as http://127\.0\.0\.1:5001"):
        IpfsStore(url)


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 0 seconds; found 0"):
        IpfsStore(budget_s=0)
    with pytest.raises(ConfigurationError, match="raw leaves"):
        IpfsStore(layout=UNIXFS_V0_2015)
    with pytest.raises(CodecError, match="32 bytes"):
        IpfsStore().get(b"short", 10)


def test_it_can_be_sent_to_another_process(node: Node) -> None:
    store = pickle.loads(pickle.dumps(IpfsStore(node.url)))
    assert store.get(store.put(SHORT), 100) == SHORT
