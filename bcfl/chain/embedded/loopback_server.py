"""A small HTTP server on loopback: a request's body in, the answer's body out.

Built for many small requests on kept-alive connections: headers and body leave in one packet
and at once, so that a read takes a millisecond or two instead of the 40 of a delayed
acknowledgement.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

__all__ = ["LoopbackServer"]

#: 128 ballots of 127 ratings are 82 kB of call data; this leaves room for 30 times as many.
_MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


class LoopbackServer:
    """Serves ``answer`` over HTTP POST on 127.0.0.1.

    Parameters
    ----------
    answer : callable
        Gets a request's body and returns the reply's. Called from many threads.
    port : int
        0: the system chooses a free one.
    """

    def __init__(self, answer: Callable[[bytes], bytes], port: int = 0) -> None:
        self._server = _Server(answer, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was chosen."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop answering, hang up on everybody, and wait for the threads to end."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, answer: Callable[[bytes], bytes], port: int) -> None:
        self.answer = answer
        self._open: dict[threading.Thread, socket.socket] = {}
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        # the base class either waits for its threads at exit, which would hang on kept-alive
        # connections, or not even when the server is closed; these end with either
        assert isinstance(request, socket.socket)
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        with self._open_lock:
            self._open[thread] = request
        thread.start()

    def hang_up(self) -> None:
        """End kept-alive connections, whose threads wait for a next request, and the threads."""
        with self._open_lock:
            connections = dict(self._open)
        for connection in connections.values():
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was quicker
        for thread in connections:
            thread.join()

    def _serve(self, request: socket.socket, client_address: object) -> None:
        self.process_request_thread(request, client_address)
        with self._open_lock:
            del self._open[threading.current_thread()]

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """A client that goes away in the middle is no event for a server."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # connections are kept alive
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MAX_REQUEST_BYTES:
            self.close_connection = True
            self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"")
            return
        self._reply(HTTPStatus.OK, self.server.answer(self.rfile.read(int(length))))

    def _reply(self, status: HTTPStatus, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing: a line for each of thousands of reads helps nobody."""
