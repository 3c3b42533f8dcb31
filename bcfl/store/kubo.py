"""The conversation with an IPFS node: Kubo's HTTP RPC, ``add``, ``cat`` and ``pin/add``.

Every call has a time budget. Within it, what may pass (no connection, a connection that
breaks, HTTP 5xx and 429) is tried again, with exponential back-off and jitter; what will not
pass (no such command, not allowed) is said at once. Answers are read piece by piece and
never past a bound, whatever their headers promise.

Source: docs.ipfs.tech/reference/kubo/rpc, and the behaviour of go-ipfs-cmds, its HTTP layer:
an error before the first byte is HTTP 500 with ``{"Message", "Code", "Type": "error"}``; an
error after it ends the body early *and cleanly*, so the length is held against
``X-Content-Length``.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, TypeVar

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from bcfl.core.errors import BlobMissing, CodecError, ConfigurationError, StoreUnreachable, expect
from bcfl.store.cid import Layout

_PIECE_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 256 * 1024  # of add, pin/add and error messages
_MAX_LINE_BYTES = 4096
_GRACE_S = 2.0  # the node is told to give up this much before we do, so that it says why
_PASSING = frozenset({429, 500, 502, 503, 504})
# there is no error code for it; the last one is js-ipfs, which speaks the same RPC
_NOT_THERE = ("not found", "could not find", "deadline exceeded", "timed out")

_T = TypeVar("_T")


class _MayPass(StoreUnreachable):
    """A failure that another try may not meet; the text is the reason alone."""


class KuboRpc:
    """One node's RPC. Holds no connection, so it can be shared by threads and pickled.

    Parameters
    ----------
    url : str
        Of the RPC, such as ``http://127.0.0.1:5001`` (Kubo's ``Addresses.API``); may carry
        ``user:password@`` (``API.Authorizations``), which no message or repr shows.
    budget_s : float
        Seconds for one call with all its tries. A read that is under way is not cut short:
        against a node that stalls on purpose, a call may take twice as long.
    sleep : callable
        Waits that many seconds between tries; tests pass their own.

    Raises
    ------
    ConfigurationError
        If the URL is no HTTP URL, or the budget is not positive.
    """

    def __init__(
        self, url: str, budget_s: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        try:
            parts = parse_url(url)
        except LocationParseError:
            parts = Url()
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ConfigurationError(
                "expected the URL of an IPFS node's RPC, such as http://127.0.0.1:5001; found "
                f"{url.rpartition('@')[2]!r}"
            )
        expect(budget_s > 0, "budget_s", "more than 0 seconds", budget_s)
        path = (parts.path or "").rstrip("/").removesuffix("/api/v0")
        self._url = Url(parts.scheme, parts.auth, parts.host, parts.port, path).url
        self.url = Url(parts.scheme, None, parts.host, parts.port, path).url
        self.budget_s = budget_s
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"KuboRpc({self.url!r})"

    def add(self, blob: bytes, layout: Layout, *, pin: bool) -> str:
        """Store ``blob``, cut by ``layout`` into raw leaves; return the node's CID for it.

        Every parameter that the CID depends on is sent, whatever the node's own defaults.
        """
        params = {
            "cid-version": "1",
            "cid-base": "base32",
            "hash": "sha2-256",
            "raw-leaves": _flag(True),
            "chunker": f"size-{layout.chunk_bytes}",
            "max-file-links": str(layout.max_links),
            "trickle": _flag(False),
            "inline": _flag(False),
            "wrap-with-directory": _flag(False),
            "pin": _flag(pin),
            "progress": _flag(False),
        }

        def attempt(deadline: float) -> str:
            part = {"file": ("blob", blob, "application/octet-stream")}
            with self._post("add", params, deadline, part) as response:
                answer = _read(response, _MAX_ANSWER_BYTES, deadline)
            hashes = [line["Hash"] for line in _json_lines(answer) if "Hash" in line]
            if not hashes:
                raise _MayPass(f"its answer names no CID: {answer[:200]!r}")
            return str(hashes[-1])

        return self._within_budget("add", attempt)

    def cat(self, cid: str, max_bytes: int, budget_s: float | None = None) -> bytes:
        """The bytes of ``cid``, not yet re-hashed.

        Raises
        ------
        BlobMissing
            If the node neither has nor finds it within the budget.
        CodecError
            If it is longer than ``max_bytes``.
        """

        def attempt(deadline: float) -> bytes:
            with self._post("cat", {"arg": cid}, deadline) as response:
                expected = _announced_bytes(response)
                if expected is not None and expected > max_bytes:
                    raise CodecError(f"expected at most {max_bytes} bytes; {cid} has {expected}")
                blob = _read(response, max_bytes, deadline)
            if expected is not None and len(blob) < expected:
                raise _MayPass(f"it stopped after {len(blob)} of {expected} bytes of {cid}")
            return blob

        return self._within_budget("cat", attempt, budget_s)

    def finds(self, cid: str, budget_s: float) -> bool:
        """Whether the node has the root block of ``cid``, or finds it within the budget."""

        def attempt(deadline: float) -> bool:
            with self._post("cat", {"arg": cid, "length": "1"}, deadline):
                return True

        try:
            return self._within_budget("cat", attempt, budget_s)
        except BlobMissing:
            return False

    def pin(self, cid: str, budget_s: float | None = None) -> None:
        """Let the node keep all blocks of ``cid`` for good."""

        def attempt(deadline: float) -> None:
            params = {"arg": cid, "recursive": _flag(True), "cid-base": "base32"}
            with self._post("pin/add", params, deadline) as response:
                answer = _read(response, _MAX_ANSWER_BYTES, deadline)
            pinned = [line.get("Pins") for line in _json_lines(answer)]
            if not any(isinstance(pins, list) and cid in pins for pins in pinned):
                raise _MayPass(f"its answer confirms no pin of {cid}: {answer[:200]!r}")

        self._within_budget("pin/add", attempt, budget_s)

    def _within_budget(
        self, command: str, attempt: Callable[[float], _T], budget_s: float | None = None
    ) -> _T:
        budget_s = self.budget_s if budget_s is None else budget_s
        retrying = Retrying(
            retry=retry_if_exception_type(_MayPass),
            stop=stop_before_delay(budget_s),
            wait=_backoff_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(attempt, time.monotonic() + budget_s)
        except _MayPass as error:
            tries = retrying.statistics["attempt_number"]
            raise StoreUnreachable(
                f"the IPFS node at {self.url} did not do {command!r} within {budget_s:.3g} s "
                f"({tries} tries): {error}; check that it runs ('ipfs daemon') and that this is "
                "the address of its RPC"
            ) from error

    @contextmanager
    def _post(
        self,
        command: str,
        params: Mapping[str, str],
        deadline: float,
        part: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Iterator[requests.Response]:
        """One request; yields its answer if that is HTTP 200, with the body not yet read."""
        left_s = max(deadline - time.monotonic(), 0.001)
        try:
            with requests.post(
                f"{self._url}/api/v0/{command}",
                params={**params, "timeout": f"{int(left_s * 1000) + 1}ms"},
                files=part,
                headers={"Accept-Encoding": "identity"},
                timeout=(left_s, left_s + _GRACE_S),
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code != 200:
                    self._refuse(command, response, deadline + _GRACE_S)
                yield response
        except (OSError, HTTPError, HTTPException) as error:  # requests' own are OSErrors
            raise _MayPass(f"{type(error).__name__} on the way") from error

    def _refuse(self, command: str, response: requests.Response, deadline: float) -> None:
        status = response.status_code
        answer = _read(response, _MAX_ANSWER_BYTES, deadline)
        message = next(
            (str(line["Message"]) for line in _json_lines(answer) if "Message" in line),
            answer.decode("utf-8", "replace").strip(),
        )[:200]
        if status == 500 and command == "cat" and any(s in message for s in _NOT_THERE):
            raise BlobMissing(message)
        if status in _PASSING:
            raise _MayPass(f"HTTP {status}, {message!r}")
        raise StoreUnreachable(
            f"expected Kubo's RPC at {self.url}; {command!r} was refused with HTTP {status}, "
            f"{message!r}; check that this is Addresses.API of the node and not its gateway, "
            "and that API.Authorizations, if set, allows it"
        )


def _backoff_s(state: RetryCallState) -> float:
    """0.1 s, then twice as long each time, up to 5 s; and up to 0.1 s of jitter."""
    # not from ``random``: a try more or less must not change what a seed leads to
    return min(0.1 * 2.0 ** (state.attempt_number - 1), 5.0) + secrets.randbelow(1000) / 10_000


def _read(response: requests.Response, max_bytes: int, deadline: float) -> bytes:
    """The body, if it is no longer than ``max_bytes``; one piece more is all that is read."""
    body = bytearray()
    # read1: whatever has come, so that a trickle cannot hold us past the deadline
    while piece := response.raw.read1(_PIECE_BYTES, decode_content=False):
        body += piece
        if len(body) > max_bytes:
            raise CodecError(f"expected at most {max_bytes} bytes; the node sends more")
        if time.monotonic() > deadline:
            raise _MayPass(f"it had sent {len(body)} bytes when the time was up")
    return bytes(body)


def _announced_bytes(response: requests.Response) -> int | None:
    text = response.headers.get("X-Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _json_lines(answer: bytes) -> list[dict[str, Any]]:
    """The JSON objects among the lines of an answer; Kubo sends one small object a line."""
    found = []
    for line in answer.splitlines():
        # longer lines are none of Kubo's, and deep nesting can overflow the C stack of json
        if len(line) <= _MAX_LINE_BYTES:
            with suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict):
                    found.append(value)
    return found


def _flag(value: bool) -> str:
    return "true" if value else "false"
