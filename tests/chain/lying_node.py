"""Servers that behave badly on purpose: raw HTTP, and a node whose words are changed."""

from __future__ import annotations

import copy
import json
import random
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

Script = Callable[[bytes], bytes | Iterable[bytes] | None]


class RawServer:
    """Answers each request with the bytes of ``script``; None: hangs up without a word."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                while (body := self.read_body()) is not None:
                    outer.requests.append(body)
                    answer = script(body)
                    if answer is None:
                        return
                    try:
                        for part in [answer] if isinstance(answer, bytes) else answer:
                            self.wfile.write(part)
                    except OSError:
                        return

            def read_body(self) -> bytes | None:
                length = 0
                while (line := self.rfile.readline()) not in (b"", b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                return self.rfile.read(length) if line else None

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up first is expected here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def result(request: bytes, value: Any) -> bytes:
    """A whole HTTP response with the JSON-RPC result of this request."""
    reply = {"jsonrpc": "2.0", "id": json.loads(request)["id"], "result": value}
    return http(json.dumps(reply).encode())


JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**70, 1.5, 1e308, "", "0x", "0x0", "0x1", "0xzz", "0x-1", "0x1_0",
    "latest", "0x" + "f" * 64, "0x" + "f" * 65, "0x" + "0" * 40, "0x" + "00" * 32, "é", "\x00",
    "x" * 100_000, [], [[]], [None], {}, {"a": []}, ["0x" + "11" * 32] * 4, -(2**300),
)  # fmt: skip


def mutate(reply: bytes, chance: random.Random) -> bytes:
    """A reply with one thing wrong: in its meaning, or in its bytes."""
    if chance.random() < 0.25:
        return _mutate_bytes(bytearray(reply), chance)
    root = {"": json.loads(reply)}
    spots = list(_spots(root))
    # most changes go to what the caller reads, not to the envelope
    holder, key = chance.choice(spots[1:] or spots)
    action = chance.random()
    if action < 0.65:
        holder[key] = copy.deepcopy(chance.choice(JUNK))
    elif action < 0.8:
        del holder[key]
    elif action < 0.9 and isinstance(holder[key], str):
        text = holder[key]
        at = chance.randrange(len(text) + 1)
        holder[key] = text[:at] + chance.choice("0fxg \n") + text[at + chance.randint(0, 1) :]
    else:
        other, name = chance.choice(spots[1:] or spots)
        holder[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else other[name])
    return json.dumps(root.get("")).encode()


def _spots(node: Any) -> Iterable[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _spots(node[key])


def _mutate_bytes(reply: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(reply))
    match chance.randrange(6):
        case 0:
            reply[at] ^= 1 << chance.randrange(8)
        case 1:
            del reply[at:]
        case 2:
            reply[at:at] = chance.randbytes(chance.randint(1, 20))
        case 3:
            return b"<html><body>502 Bad Gateway</body></html>"
        case 4:
            return bytes(reply) * 2
        case _:
            reply[at:at] = b"[" * 200_000
    return bytes(reply)
