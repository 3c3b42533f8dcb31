"""A node that is slow, gone, restarting or lying: one result, or one error of ours."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterable

import pytest

from bcfl.chain.json_rpc import JsonRpc
from bcfl.core.errors import (
    ConfigurationError,
    LedgerError,
    NodeRefused,
    NodeUnreachable,
    ReplyMalformed,
)
from bcfl.core.strict_json import parse_json
from tests.chain.lying_node import RawServer, Script, http, result
from tests.chain.notes import FakeTime


def test_nobody_at_the_url_is_said_with_the_url():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        time = FakeTime()
        with pytest.raises(NodeUnreachable, match=rf"{url} .*Connection refused"):
            JsonRpc(url, retry_s=20, sleep=time.sleep, clock=time.clock).request("eth_x", [])
    # back-off: each wait twice the one before, up to 5 s, and up to 0.2 s of jitter on top
    assert len(time.naps) > 4
    for attempt, nap in enumerate(time.naps):
        assert min(0.1 * 2**attempt, 5.0) <= nap <= min(0.1 * 2**attempt + 0.2, 5.0)
    assert 10 < sum(time.naps) <= 20


def test_without_a_budget_there_is_one_attempt():
    with RawServer(lambda body: None) as server:
        for rpc, method in (
            (JsonRpc(server.url, retry_s=0), "eth_x"),
            (JsonRpc(server.url), "eth_sendRawTransaction"),
        ):
            server.requests.clear()
            with pytest.raises(NodeUnreachable):
                rpc.request(method, [])
            assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url", ["", "localhost:8545", "ftp://a", "http://", "http://a:b", "ws://a"]
)
def test_what_is_no_url_is_refused_at_once(url: str):
    with pytest.raises(ConfigurationError, match="node's URL"):
        JsonRpc(url)


def _broken_off() -> Iterable[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"
    raise BrokenPipeError


PASSING = [
    lambda body: None,
    lambda body: http(b"", "429 Too Many Requests"),
    lambda body: http(b"<html>", "503 Service Unavailable"),
    lambda body: http(b'{"jsonrpc": "2.0", "id"'),
    lambda body: http(b"<html>hello</html>"),
    lambda body: http(b"[]"),
    lambda body: http(b"[" * 1_000_000),
    lambda body: result(json.dumps({"id": 999}).encode(), "0x1"),
    lambda body: http(json.dumps({"id": json.loads(body)["id"]}).encode()),
    lambda body: http(b'{"id": 1, "error": "no"}'),
    lambda body: http(b'{"id": 1, "error": {"code": true, "message": 3}}'),
    lambda body: http(b'{"id": 1, "error": {"code": -32005, "message": "limit exceeded"}}'),
    lambda body: _broken_off(),
    lambda body: b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    lambda body: http(gzip.compress(b"0" * 10_000_000), headers="Content-Encoding: gzip\r\n"),
]


@pytest.mark.parametrize("trouble", PASSING)
def test_passing_trouble_is_waited_out(trouble: Script):
    calls = iter([trouble, trouble, lambda body: result(body, "0x7")])

    time = FakeTime()
    with RawServer(lambda body: next(calls)(body)) as server:
        rpc = JsonRpc(server.url, sleep=time.sleep, clock=time.clock)
        assert rpc.request("eth_x", []) == "0x7"
        rpc.close()
    assert len(time.naps) == 2


@pytest.mark.parametrize("trouble", PASSING)
def test_lasting_trouble_is_one_of_our_errors(trouble: Script):
    time = FakeTime()
    with RawServer(trouble) as server:
        rpc = JsonRpc(server.url, retry_s=3, sleep=time.sleep, clock=time.clock)
        with pytest.raises((NodeUnreachable, ReplyMalformed, NodeRefused)):
            rpc.request("eth_x", [])
    assert len(server.requests) > 2
    assert sum(time.naps) <= 3


@pytest.mark.parametrize("status", ["301 Moved", "401 Unauthorized", "404 Not Found", "204 No"])
def test_another_kind_of_server_is_said_at_once(status: str):
    with (
        RawServer(lambda body: http(b"<html>", status, "Location: http://127.0.0.1:1/\r\n")) as it,
        pytest.raises(NodeUnreachable, match=f"HTTP status {status[:3]}"),
    ):
        JsonRpc(it.url).request("eth_x", [])
    assert len(it.requests) == 1


def test_a_nodes_own_error_is_passed_on_at_once():
    error = b'{"id": 1, "error": {"code": -32000, "message": "no", "data": {"data": "0xab"}}}'
    for status in ("200 OK", "400 Bad Request"):
        with (
            RawServer(lambda body, status=status: http(error, status)) as server,
            pytest.raises(NodeRefused) as caught,
        ):
            JsonRpc(server.url).request("eth_x", [])
        refused = caught.value
        assert (refused.method, refused.code, refused.data) == ("eth_x", -32000, "0xab")
        assert len(server.requests) == 1


def test_a_reply_without_end_is_cut_off_at_the_limit():
    sent = []

    def flood(body: bytes) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            sent.append(65536)
            yield b"0" * 65536

    with RawServer(flood) as server, pytest.raises(ReplyMalformed, match="at most 1000000 bytes"):
        JsonRpc(server.url, max_reply_bytes=1_000_000).request("eth_x", [])
    assert len(server.requests) == 1
    assert sum(sent) < 20_000_000  # what fits into buffers on the way, and not more


def test_a_late_answer_is_asked_for_again():
    with RawServer(lambda body: late(body)) as server:

        def late(body: bytes) -> bytes:
            if len(server.requests) == 1:
                server.closing.wait(30)
            return result(body, "0x2")

        time = FakeTime()
        rpc = JsonRpc(server.url, timeout_s=0.1, sleep=time.sleep, clock=time.clock)
        assert rpc.request("eth_x", []) == "0x2"
        server.closing.set()


def test_a_reply_that_drips_is_given_up():
    time = FakeTime()

    def drip(body: bytes) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        for _ in range(1000):
            time.now += 0.5
            yield b"0"

    with RawServer(drip) as server, pytest.raises(NodeUnreachable, match="no whole reply"):
        JsonRpc(server.url, retry_s=0, clock=time.clock).request("eth_x", [])


def test_requests_share_a_kept_alive_connection():
    ports = set()
    with RawServer(lambda body: result(body, body.decode())) as server:
        original = server._server.process_request

        def count(request, client_address):
            ports.add(client_address)
            original(request, client_address)

        server._server.process_request = count
        rpc = JsonRpc(server.url)
        for _ in range(10):
            rpc.request("eth_x", [])
        rpc.close()
    assert len(ports) == 1


def test_cookies_are_not_kept():
    reply = result(b'{"id": 1}', "0x1").split(b"\r\n\r\n")[1]
    with RawServer(lambda body: http(reply, headers="Set-Cookie: a=b\r\n")) as server:
        rpc = JsonRpc(server.url)
        assert rpc.request("eth_x", []) == "0x1"
        assert not list(rpc._session.cookies)
        rpc.close()


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"a": "' + b"[" * 100_000, b'"\\' * 100_000, b"[" * 65],
)
def test_deep_json_is_refused_before_it_is_parsed(text: bytes):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_wide_json_and_brackets_in_strings_are_no_depth():
    wide = [{"a": ['[[[[{{{{\\"]]'] * 3}] * 1000
    assert parse_json(json.dumps(wide).encode()) == wide
    assert parse_json(b"[" * 60 + b"]" * 60) is not None


def test_all_errors_are_ledger_errors():
    assert all(issubclass(e, LedgerError) for e in (NodeUnreachable, ReplyMalformed, NodeRefused))


def test_a_node_that_refuses_a_batch_is_sent_one_again_after_a_while() -> None:
    refusing, time = [True], FakeTime()

    def answer(body: bytes) -> bytes:
        asked = json.loads(body)
        if not isinstance(asked, list):
            return result(body, "0x1")
        if refusing[0]:
            return http(b"", "501 Not Implemented")
        # of three, one is refused by itself
        replies = [{"jsonrpc": "2.0", "id": each["id"], "result": "0x2"} for each in asked[:-1]]
        return http(json.dumps(replies).encode())

    with RawServer(answer) as server:
        rpc = JsonRpc(server.url, sleep=time.sleep, clock=time.clock)
        rows = [["0x0"]] * 3
        assert rpc.request_many("eth_getCode", rows) == ["0x1"] * 3
        assert rpc.request_many("eth_getCode", rows) == ["0x1"] * 3
        assert len(server.requests) == 1 + 3 + 3
        refusing[0] = False
        time.now += 61.0
        assert rpc.request_many("eth_getCode", rows) == ["0x2", "0x2", "0x1"]
        assert rpc.request_many("eth_getCode", rows) == ["0x2", "0x2", "0x1"]
        assert len(server.requests) == 1 + 3 + 3 + 2 + 2
        rpc.close()
