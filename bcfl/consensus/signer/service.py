"""The signer's socket: one request a connection, bounded in size, time and number."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from bcfl.core.errors import AccountError, BcflError
from bcfl.keys.signer_wire import (
    MAX_LINE_BYTES,
    Answer,
    Endpoint,
    Failure,
    Identify,
    Identity,
    Pay,
    Sign,
    Unseal,
    read_request,
    write_line,
)

_REQUEST_S: Final = 10.0
_AT_ONCE: Final = 16


class Answering(Protocol):
    """Who answers; ``MemberSigner``."""

    def answer(self, request: Identify | Sign | Pay | Unseal) -> Identity | Answer:
        """The reply to one request."""
        ...


class SignerService:
    """Listens until it is closed; a context manager.

    Parameters
    ----------
    signer : MemberSigner
    endpoint : Endpoint
        A socket file, which is made with mode 0600; or a port of 127.0.0.1, where every user of
        this machine may ask. Port 0: a free one.
    group : str, optional
        Of the system: its users may ask at the socket file, too (mode 0660).

    Raises
    ------
    AccountError
        It cannot listen there, or another signer does.
    """

    def __init__(self, signer: Answering, endpoint: Endpoint, group: str | None = None) -> None:
        self._path = endpoint.path
        handler = partial(_Handler, signer)
        try:
            self._server: socketserver.BaseServer
            if endpoint.path is None:
                loopback = _LoopbackServer(("127.0.0.1", endpoint.port), handler)
                self.endpoint = Endpoint(port=int(loopback.server_address[1]))
                self._server = loopback
            else:
                _clear(endpoint.path)
                self._server = _listen(endpoint.path, handler, group)
                self.endpoint = endpoint
        except (OSError, LookupError) as error:
            raise AccountError(f"cannot listen at {endpoint}: {error}") from None

    def serve(self) -> None:
        """Answer until :meth:`close`, from another thread, or an exception ends it."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stop answering and remove the socket file."""
        self._server.server_close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def shut_down(self) -> None:
        """Let :meth:`serve`, which runs in another thread, return."""
        self._server.shutdown()

    def __enter__(self) -> SignerService:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Handler(socketserver.StreamRequestHandler):
    timeout = _REQUEST_S

    def __init__(self, signer: Answering, *connection: Any) -> None:
        self._signer = signer
        super().__init__(*connection)  # which handles it

    def handle(self) -> None:
        # the whole request has so long, and not each of its bytes
        watch = threading.Timer(_REQUEST_S, self._hang_up)
        watch.daemon = True
        watch.start()
        try:
            line = self.rfile.readline(MAX_LINE_BYTES + 1)
        except OSError:
            return
        finally:
            watch.cancel()
        if line:
            self.wfile.write(write_line(self._reply(line)))

    def _hang_up(self) -> None:
        try:
            self.request.shutdown(socket.SHUT_RD)
        except OSError:
            return

    def _reply(self, line: bytes) -> Identity | Answer | Failure:
        try:
            return self._signer.answer(read_request(line))
        except BcflError as error:
            print(f"refused: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return Failure(error=type(error).__name__, message=str(error))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's words do to a library
            print(f"refused: {type(error).__name__}", file=sys.stderr, flush=True)
            return Failure(error="SignerRefused", message=f"unexpected: {type(error).__name__}")


class _Bounded(socketserver.ThreadingMixIn):
    """So many requests at once; further ones wait to be accepted."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a client that went away; its request was answered or was none."""


class _LoopbackServer(_Bounded, socketserver.TCPServer):
    allow_reuse_address = True


class _SocketFileServer(_Bounded, socketserver.UnixStreamServer):
    pass


def _listen(path: Path, handler: Any, group: str | None) -> _SocketFileServer:
    before = os.umask(0o177)  # from its first moment on nobody else may connect
    try:
        server = _SocketFileServer(str(path), handler)
    finally:
        os.umask(before)
    if group is not None:
        try:
            shutil.chown(path, group=group)
            path.chmod(0o660)
        except BaseException:
            server.server_close()
            path.unlink(missing_ok=True)
            raise
    return server


def _clear(path: Path) -> None:
    """Remove the socket file of a signer that was killed; no other file."""
    if not path.is_socket():
        return  # bind says what is wrong with any other file
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise AccountError(f"another signer listens at {path}")
