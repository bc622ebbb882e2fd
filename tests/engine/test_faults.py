"""What an application sees of each fault on real sockets: by phase, method and `retry_safety`, with every client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import AmbassadorError, AsyncClient, CallReport, Client, UpstreamConnectError, UpstreamResetError
from ambassador_lib.engine.http1 import Http1Connection
from tests.client.documents import BASE, Document, cluster, policy

from .servers import OK, read_request, reset, serving

KINDS = ["sync", "asyncio", "uvloop", "trio"]
LARGE = b"x" * (8 * 2**20)
"""More than the system takes from a sender whose peer does not read."""
NOBODY = 2
"""A port on which nobody listens."""
UNSAFE = "POST without an Idempotency-Key (retry_safety='idempotent')"


@dataclass(frozen=True)
class Seen:
    """What an application sees of a call; by default, an answer to the first try."""

    error: type[Exception] | None = None
    flags: tuple[str, ...] = ()
    details: str = "via_upstream"
    tries: int = 1
    retried_because: str | None = None
    """Of the first try."""
    not_retried_because: str | None = None
    """Of the last try."""


@dataclass(frozen=True)
class Fault:
    """What happens to the first request, or to the second on its connection (`kept`), and what is seen of it.

    `seen` is what follows where nothing is tried again; `is_safe`: whether the upstream cannot have started on it, so
    that every request may be; `is_final`: the application has the response's head already, and nothing may.
    """

    happens: Callable[[socket.socket], None]
    seen: Seen
    kept: bool = False
    is_safe: bool = False
    is_final: bool = False
    body: bytes = b"abc"


def before_the_body(sock: socket.socket) -> None:
    """Take the head, and reset: most of the body is still to be sent."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1024)
    reset(sock)


def when_asked(end: Callable[[socket.socket], None], answer: bytes = b"") -> Callable[[socket.socket], None]:
    """Break off when the request has come, after some of the answer."""

    def happens(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        end(sock)

    return happens


def close(sock: socket.socket) -> None:
    sock.close()


def details(reason: str, when: str = "before") -> str:
    return f"upstream_reset_{when}_response_started{{{reason}}}"


TERMINATED = Seen(UpstreamResetError, ("UC",), details("connection_termination"), not_retried_because=UNSAFE)
GARBLED = Seen(UpstreamResetError, ("UPE",), details("protocol_error"), not_retried_because=UNSAFE)
BROKEN_OFF = Seen(UpstreamResetError, ("UPE",), details("protocol_error", "after"))
FAULTS = {
    "sent nothing": Fault(reset, TERMINATED, kept=True, is_safe=True),
    "sent in part": Fault(before_the_body, TERMINATED, body=LARGE),
    "sent whole, then closed": Fault(when_asked(close), TERMINATED),
    "sent whole, then reset": Fault(when_asked(reset), TERMINATED),
    "sent whole on a kept connection, then closed": Fault(when_asked(close), TERMINATED, kept=True),
    "sent whole on a kept connection, then reset": Fault(when_asked(reset), TERMINATED, kept=True),
    "head begun": Fault(when_asked(close, b"HTTP/1.1 200 OK\r\ncontent-le"), GARBLED),
    "nonsense": Fault(when_asked(close, b"\x16\x03\x01\r\n\r\n"), GARBLED),
    "body begun": Fault(
        when_asked(close, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"), BROKEN_OFF, is_final=True
    ),
}


class Upstream:
    """Breaks one exchange off, and serves all others well."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._is_done = False
        self.has_broken = threading.Event()

    def __call__(self, sock: Any) -> None:
        if not self._is_done:
            self._is_done = True
            if self._fault.kept:
                read_request(sock)
                sock.sendall(OK)
            self._fault.happens(sock)
            self.has_broken.set()
            return
        while True:
            read_request(sock)
            sock.sendall(OK)


def document(port: int) -> Document:
    """One endpoint, one more try; bodies of any length are kept for it."""
    made = policy(clusters=[cluster("up", port)])
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    host["request_body_buffer_limit"] = 2 * len(LARGE)
    host["routes"][0]["route"]["retry_policy"] = {
        "retry_on": "connect-failure,reset",
        "num_retries": 1,
        "retry_back_off": {"base_interval": "0.001s"},
    }
    return made


def call(kind: str, port: int, method: str, safety: Any, body: bytes, between: Callable[[], None] | None) -> Seen:
    """Call once, or, with something to do in between, twice, and tell what was seen of the last."""
    content = body if method == "POST" or body is LARGE else None

    def blocking() -> httpx.Response:
        with Client(document(port), retry_safety=safety, trust_env=False) as client:
            if between is not None:
                client.get(BASE)
                between()
            return client.request(method, BASE, content=content)

    async def suspending() -> httpx.Response:
        async with AsyncClient(document(port), retry_safety=safety, trust_env=False) as client:
            if between is not None:
                await client.get(BASE)
                await anyio.to_thread.run_sync(between)
            return await client.request(method, BASE, content=content)

    try:
        if kind == "sync":
            response = blocking()
        elif kind == "trio":
            response = anyio.run(suspending, backend="trio")
        else:
            response = anyio.run(suspending, backend_options={"use_uvloop": kind == "uvloop"})
    except AmbassadorError as error:
        assert error.call is not None
        return told(error.call, type(error))
    assert response.content == b"ok"
    return told(response.extensions["ambassador"], None)


def told(report: CallReport, error: type[Exception] | None) -> Seen:
    first, last = report.attempts[0], report.attempts[-1]
    return Seen(
        error,
        tuple(report.flags),
        report.details,
        len(report.attempts),
        first.retried_because,
        last.not_retried_because,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen_by_how_far_the_request_had_come(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot have been started on, or may be done twice, is tried again; all else is told for what it is."""
    fault = FAULTS[name]
    if name == "sent nothing":  # the connection breaks in the moment between a look at it and its use
        monkeypatch.setattr(Http1Connection, "is_stale", lambda _: False)
    for method in ("GET", "POST"):
        for safety in ("idempotent", "policy"):
            upstream = Upstream(fault)
            between = partial(wait_for, upstream.has_broken) if name == "sent nothing" else nothing
            with serving(upstream) as server:
                seen = call(kind, server.port, method, safety, fault.body, between if fault.kept else None)
            may_repeat = fault.is_safe or method == "GET" or safety == "policy"
            expected = fault.seen
            if may_repeat and not fault.is_final:
                expected = Seen(tries=2, retried_because="reset")
            assert seen == expected, (method, safety)


def nothing() -> None: ...


def wait_for(event: threading.Event) -> None:
    assert event.wait(5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_sent_is_tried_again_whatever_it_is(kind: str) -> None:
    """Nobody listens: each try fails by itself, of every method, under either safety."""
    for method in ("GET", "POST"):
        for safety in ("idempotent", "policy"):
            seen = call(kind, NOBODY, method, safety, b"abc", None)
            assert seen.details.startswith("upstream_reset_before_response_started{remote_connection_failure|")
            assert replace(seen, details="") == Seen(
                UpstreamConnectError, ("URX", "UF"), "", 2, "connect-failure", "num_retries 1 used up"
            )


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_was_closed_while_it_was_kept_is_no_fault(kind: str) -> None:
    """An orderly end of an idle connection is nobody's failure: the next request goes by a new one, in one try."""
    for method in ("GET", "POST"):
        fault = Fault(close, TERMINATED, kept=True)
        upstream = Upstream(fault)
        with serving(upstream) as server:
            seen = call(kind, server.port, method, "idempotent", b"abc", partial(wait_for, upstream.has_broken))
            assert server.connections == 2
        assert seen == Seen()
