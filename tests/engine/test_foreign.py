"""Engines around other transports: what they are given, and how their failures are told."""

from __future__ import annotations

import ssl
from typing import Any

import anyio
import httpcore
import httpx
import pytest

from ambassador_lib.call import Deadline
from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.foreign import AsyncForeignEngine, ForeignEngine
from ambassador_lib.errors import (
    DeadlineExpired,
    PerTryTimeoutError,
    UpstreamConnectError,
    UpstreamOverflowError,
    UpstreamResetError,
)

from .conftest import Mode
from .servers import OK, answering, once, serving


def mock(handler: Any, **changes: Any) -> httpx.Response:
    mode = Mode("sync")
    engine = ForeignEngine(httpx.MockTransport(handler), mode.clock)
    return step(engine.send(mode.exchange(9, **changes)))


def test_a_mock_sees_the_logical_url_and_the_endpoint() -> None:
    """What does not dial gets the application's URL with the rewritten path, and the endpoint beside it."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="ok")

    response = mock(
        handler,
        url=httpx.URL("http://app.test:8080/x?y=1"),
        authority="rewritten.test",
        target="/other?z=1",
        headers=[(b"x-a", b"1")],
        stream=httpx.ByteStream(b"abc"),
        method="POST",
        address="::1",
        extensions={"mine": 1},
    )
    assert (response.status_code, response.read()) == (200, b"ok")
    (request,) = seen
    assert str(request.url) == "http://app.test:8080/other?z=1"
    assert dict(request.headers) == {"host": "rewritten.test", "x-a": "1", "content-length": "3"}
    assert (request.method, request.content) == ("POST", b"abc")
    assert request.extensions["ambassador_endpoint"] == "[::1]:9"
    assert request.extensions["mine"] == 1


def test_a_dialling_transport_gets_the_address() -> None:
    """httpx's own transport is sent to the endpoint, with the Host as it is."""
    seen: list[bytes] = []
    mode = Mode("sync")
    with serving(answering(OK, seen=seen)) as server, httpx.HTTPTransport() as transport:
        engine = ForeignEngine(transport, mode.clock)
        assert engine.dials
        for target in ("/x?y=1", '/odd|"path'):
            assert step(engine.send(mode.exchange(server, target=target))).read() == b"ok"
    assert seen[0] == b"GET /x?y=1 HTTP/1.1\r\nhost: app.test\r\n\r\n"
    assert seen[1].startswith(b'GET /odd|"path HTTP')
    assert server.connections == 1


def test_server_name_of_a_dialling_transport() -> None:
    """Over https the server name is the destination's, else the application's host."""
    seen: list[httpx.Request] = []

    class Dialling(httpx.BaseTransport):
        dials = True

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200)

    mode = Mode("sync")
    engine = ForeignEngine(Dialling(), mode.clock)
    step(engine.send(mode.exchange(9, scheme="https", sni="sni.test")))
    step(engine.send(mode.exchange(9, scheme="https")))
    assert [request.extensions["sni_hostname"] for request in seen] == ["sni.test", "app.test"]
    assert str(seen[0].url) == "https://127.0.0.1:9/x?y=1"


def test_patched_transports_do_not_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport whose handling somebody has replaced is a mock, as long as it is."""
    mode = Mode("sync")
    with httpx.HTTPTransport() as transport:
        engine = ForeignEngine(transport, mode.clock)
        dials = [engine.dials]
        with monkeypatch.context() as patch:
            patch.setattr(httpx.HTTPTransport, "handle_request", lambda self, request: httpx.Response(204))
            dials.append(engine.dials)
            assert step(engine.send(mode.exchange(9))).status_code == 204
        with monkeypatch.context() as patch:
            patch.setattr(httpcore.ConnectionPool, "handle_request", lambda self, request: None)
            dials.append(engine.dials)
        dials.append(engine.dials)
    assert dials == [True, False, False, True]
    assert not ForeignEngine(httpx.MockTransport(lambda request: httpx.Response(200)), mode.clock).dials


@pytest.mark.parametrize(
    ("error", "expected", "details"),
    [
        (httpx.ConnectError("refused"), UpstreamConnectError, "remote_connection_failure|refused"),
        (httpx.ConnectTimeout(""), UpstreamConnectError, "connection_timeout"),
        (httpx.ReadError(""), UpstreamResetError, "connection_termination"),
        (httpx.WriteError(""), UpstreamResetError, "connection_termination"),
        (
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            UpstreamResetError,
            "connection_termination",
        ),
        (httpx.RemoteProtocolError("illegal status line"), UpstreamResetError, "protocol_error"),
        (httpx.RemoteProtocolError("<StreamReset stream_id:1>"), UpstreamResetError, "remote_reset"),
        (httpx.PoolTimeout(""), UpstreamOverflowError, "overflow"),
    ],
)
def test_failures_before_the_head(error: httpx.TransportError, expected: type[Exception], details: str) -> None:
    """httpx's errors become the contract's; what may have been sent is never told as unsent."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(expected) as failure:
        mock(handler)
    assert failure.value.reply.details == f"upstream_reset_before_response_started{{{details}}}"  # type: ignore[attr-defined]
    assert failure.value.__cause__ is error


def test_timeouts() -> None:
    """A timeout is the deadline's if that has passed, else one of the upstream."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(PerTryTimeoutError):
        mock(handler)

    mode = Mode("sync")
    deadline = mode.after(60)

    def late(request: httpx.Request) -> httpx.Response:
        deadline.at = 0.0
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(DeadlineExpired):
        mock(late, deadline=deadline)
    with pytest.raises(DeadlineExpired):
        mock(handler, deadline=Deadline(0.0))


def test_time_left_is_told() -> None:
    """The blocking transport is told how long it may take, connecting bounded by connect_timeout."""
    seen: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200)

    mock(handler, deadline=Mode("sync").after(20), connect_timeout=3.0)
    mock(handler)
    assert seen[0]["connect"] == 3.0
    assert 19 < seen[0]["read"] <= 20
    assert seen[1]["read"] == 300


@pytest.mark.parametrize("error", [ZeroDivisionError(), httpx.LocalProtocolError("x"), httpx.UnsupportedProtocol("x")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    """What an application behind the transport raises is its own."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(type(error)) as failure:
        mock(handler)
    assert failure.value is error


def test_connected_comes_first() -> None:
    """`on_connected` is called before the transport, and may refuse."""
    order: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        order.append("sent")
        return httpx.Response(200)

    mock(handler, on_connected=lambda: order.append("connected"))
    assert order == ["connected", "sent"]


@pytest.mark.parametrize("mode_name", ["sync", "asyncio", "trio"])
def test_body_failures(mode_name: str) -> None:
    """A body that breaks off is told as after the head."""
    mode = Mode(mode_name)
    with serving(once(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")) as server:

        async def main() -> None:
            engine: Any = (
                ForeignEngine(httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), mode.clock)
                if mode_name == "sync"
                else AsyncForeignEngine(
                    httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), mode.clock
                )
            )
            response = await engine.send(mode.exchange(server))
            with pytest.raises(UpstreamResetError) as failure:
                await mode.read(response)
            assert failure.value.reply.details == "upstream_reset_after_response_started{protocol_error}"
            await mode.close(response)
            await engine.close()

        if mode_name == "sync":
            step(main())
        else:
            anyio.run(main, backend=mode_name)


def test_streamed_bodies_are_announced() -> None:
    """A body of unknown length travels in chunks."""
    seen: list[bytes] = []
    mode = Mode("sync")
    with serving(answering(OK, seen=seen)) as server, httpx.HTTPTransport() as transport:
        engine = ForeignEngine(transport, mode.clock)
        step(engine.send(mode.exchange(server, method="POST", stream=mode.body(b"ab", b"c")))).read()
    assert seen[0].endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
