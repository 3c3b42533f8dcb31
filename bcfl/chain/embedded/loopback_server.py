"""A small HTTP server on loopback: a request's body in, the answer's body out.

What is in this process asks without it, so aiohttp is imported, which takes half a second, when
somebody else first does.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

#: 128 ballots of 127 ratings are 82 kB of call data; this leaves room for 30 times as many.
_MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


class LoopbackServer:
    """Serves ``answer`` over HTTP POST on 127.0.0.1, one request at a time.

    Parameters
    ----------
    answer : callable
        Gets a request's body and returns the reply's. Called from the server's thread.
    port : int
        0: the system chooses a free one.

    Raises
    ------
    OSError
        The port is taken.
    """

    def __init__(self, answer: Callable[[bytes], bytes], port: int = 0) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", port))
        #: the one that was chosen
        self.port = int(self._socket.getsockname()[1])
        self._opening: asyncio.Task[web.AppRunner] | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._socket, self._called)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop answering, hang up on everybody, and wait for the thread to end."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _called(self) -> None:
        """Somebody connects for the first time."""
        self._loop.remove_reader(self._socket)
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> web.AppRunner:
        from aiohttp import web  # noqa: PLC0415 - see the module

        application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        application.router.add_post("/", self._serve)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        return runner

    async def _hang_up(self) -> None:
        if self._opening is not None:
            await (await self._opening).cleanup()
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()

    async def _serve(self, request: web.Request) -> web.Response:
        from aiohttp import web  # noqa: PLC0415

        if (size := request.content_length or 0) > _MAX_REQUEST_BYTES:
            raise web.HTTPRequestEntityTooLarge(_MAX_REQUEST_BYTES, size)
        reply = self._answer(await request.read())
        return web.Response(body=reply, content_type="application/json")
