"""A small HTTP server on loopback: a request's body in, the answer's body out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        application.router.add_post("/", self._serve)
        self._runner = web.AppRunner(application, access_log=None)
        try:
            self._wait(self._runner.setup())
            self._wait(web.TCPSite(self._runner, "127.0.0.1", port).start())
        except BaseException:
            self.close()
            raise
        #: the one that was chosen
        self.port = int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop answering, hang up on everybody, and wait for the thread to end."""
        self._wait(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, request: web.Request) -> web.Response:
        if (size := request.content_length or 0) > _MAX_REQUEST_BYTES:
            raise web.HTTPRequestEntityTooLarge(_MAX_REQUEST_BYTES, size)
        reply = self._answer(await request.read())
        return web.Response(body=reply, content_type="application/json")

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
