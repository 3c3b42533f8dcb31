"""JSON-RPC over HTTP to a node that may be slow, gone, restarting, or lying.

One request in, one result out. Every reply is bounded before it is read and checked before it
is believed; what may be a passing failure is told apart from what is final (see ``provider``).
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
import urllib3
from pydantic import StrictInt, StrictStr, TypeAdapter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from bcfl.chain.provider import FAILED, Call, NodeProvider, PassingError, refused
from bcfl.core.errors import (
    ConfigurationError,
    NodeUnreachable,
    ReplyMalformed,
)
from bcfl.core.strict_json import parse_json

_CHUNK_BYTES: Final = 64 * 1024
#: Too many requests, time-outs and the server's own trouble: the same request may pass later.
_PASSING_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Of these, the answers to what took too long: less may have been answered.
_SLOW_STATUS: Final = frozenset({408, 504})
_MOST_AT_ONCE: Final = 100  # of a batch; nodes limit it, geth to 1,000
#: For how long a node that has refused a batch is sent none.
_SINGLY_S: Final = 60.0


#: By URL: the chains that this process serves. What is asked from here takes no way over HTTP.
SERVED_HERE: Final[dict[str, Callable[[bytes], bytes]]] = {}


class ReplyTooLong(ReplyMalformed):
    """The reply is longer than what is read; asking for less may help."""


@dataclass(frozen=True, slots=True)
class _Error:
    code: StrictInt
    message: StrictStr
    data: Any = None


@dataclass(frozen=True, slots=True)
class _Reply:
    id: Any = None
    result: Any = FAILED
    error: _Error | None = None


_REPLY: Final = TypeAdapter(_Reply)
_REPLIES: Final = TypeAdapter(list[_Reply])


class JsonRpc(NodeProvider):
    """A node's JSON-RPC interface. Safe to share between threads.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``.
    timeout_s : float
        The longest that one attempt may take, from sending to the reply's last byte.
    retry_s : float
        For how long a request is tried again. 0: one attempt only.
    max_reply_bytes : int
        The longest reply that is read; a longer one is refused at the limit.
    sleep, clock : callable
        Seconds to wait, and seconds since some start; exchanged in tests.

    Raises
    ------
    ConfigurationError
        The URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        retry_s: float = 30.0,
        max_reply_bytes: int = 32 * 1024 * 1024,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(retry_s=retry_s, sleep=sleep, clock=clock)
        host = _host(url)
        self.url = url
        self._singly_until = -math.inf  # of the clock
        self._timeout_s = timeout_s
        self._max_reply_bytes = max_reply_bytes
        self._ids = itertools.count(1)
        self._session = requests.Session()
        # a proxy has no business between two processes of one machine
        self._session.trust_env = host not in ("127.0.0.1", "localhost", "[::1]")
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # compressed replies could be bombs, and their length says nothing
        self._session.headers.update(
            {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=32))

    def glance(self, calls: Sequence[Call]) -> list[Any]:
        """As ``NodeProvider.glance``: in batches, where the node takes them."""
        found: list[Any] = []
        while len(found) < len(calls) and len(calls) > 1 and self.clock() >= self._singly_until:
            part = calls[len(found) : len(found) + _MOST_AT_ONCE]
            found += (answers := self._batch(part))
            if all(answer is FAILED for answer in answers):
                self._singly_until = self.clock() + _SINGLY_S
        return found + [FAILED] * (len(calls) - len(found))

    @property
    def patience_s(self) -> float:
        """As ``NodeProvider.patience_s``; none where the chain is in this process: it knows."""
        return 0.0 if self.url in SERVED_HERE else self.retry_s

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._session.close()

    def attempt(self, method: str, params: Any) -> Any:
        """As ``NodeProvider.attempt``."""
        number = next(self._ids)
        status, reply = self._post(_body(number, method, params), method)
        if status in _PASSING_STATUS:
            error = self._unreachable(f"HTTP status {status}")
            raise PassingError(error, heavy=status in _SLOW_STATUS)
        try:
            decoded = _REPLY.validate_python(parse_json(reply))
        except ValueError as failure:
            if status == 200:
                raise _malformed(method, "is none") from failure
            decoded = _Reply()
        if status != 200 and decoded.error is None:  # some nodes send an error with status 400
            raise self._unreachable(f"HTTP status {status}: no JSON-RPC is served there")
        return _result(decoded, number, method)

    def _batch(self, calls: Sequence[Call]) -> list[Any]:
        """The results of one batch; ``FAILED`` where one has none, whyever."""
        numbers = [next(self._ids) for _ in calls]
        body = [_body(number, *call) for number, call in zip(numbers, calls, strict=True)]
        try:
            status, reply = self._post(body, "a batch")
            decoded = _REPLIES.validate_python(parse_json(reply)) if status == 200 else []
        except (PassingError, ReplyTooLong, ValueError):
            return [FAILED] * len(calls)
        found = {each.id: each for each in decoded if type(each.id) is int and each.error is None}
        return [found.get(number, _Reply()).result for number in numbers]

    def _post(self, body: Any, method: str) -> tuple[int, bytes]:
        """One HTTP request; its status and what came back."""
        sent = json.dumps(body).encode()
        if (answer := SERVED_HERE.get(self.url)) is not None:
            return 200, answer(sent)
        deadline = self.clock() + self._timeout_s
        try:
            with self._session.post(
                self.url,
                data=sent,
                timeout=self._timeout_s,
                stream=True,
                allow_redirects=False,
            ) as response:
                return response.status_code, self._read(response, method, deadline)
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise PassingError(self._unreachable(_cause(error)), heavy=_is_slow(error)) from error

    def _read(self, response: requests.Response, method: str, deadline: float) -> bytes:
        reply = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            reply += chunk
            if len(reply) > self._max_reply_bytes:
                # not passing: what is too long now is too long at the next attempt
                raise ReplyTooLong(
                    f"{method}: expected a reply of at most {self._max_reply_bytes} bytes; "
                    f"{self.url} sends more"
                )
            if self.clock() > deadline:
                late = self._unreachable(f"no whole reply within {self._timeout_s} s")
                raise PassingError(late, heavy=True)
        return bytes(reply)

    def _unreachable(self, reason: str) -> NodeUnreachable:
        return NodeUnreachable(
            f"no Ethereum node answers at {self.url} ({reason}); "
            "is the URL right, and the node running?"
        )


def _host(url: str) -> str:
    try:
        parts = parse_url(url)
    except LocationParseError:
        parts = Url()
    if not parts.host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"expected a node's URL such as http://127.0.0.1:8545; found {url!r}"
        )
    return parts.host


def _body(number: int, method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _is_slow(error: BaseException) -> bool:
    return isinstance(error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError)


def _cause(error: BaseException) -> str:
    """The innermost reason, such as ``Connection refused``, without the layers around it."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "timed out"
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _result(decoded: _Reply, number: int, method: str) -> Any:
    if decoded.error is not None:
        raise refused(method, asdict(decoded.error))
    if decoded.id != number:
        raise _malformed(method, f"answers request {decoded.id!r:.40}, not {number}")
    if decoded.result is FAILED:
        raise _malformed(method, "has neither result nor error")
    return decoded.result


def _malformed(method: str, what: str) -> PassingError:
    return PassingError(
        ReplyMalformed(f"{method}: expected a JSON-RPC reply; what the node sent {what}")
    )
