"""Hosts with several addresses: the first that answers is taken (RFC 8305), and nothing is left of the others."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import pytest

from ambassador_lib.engine import blocking_race, loop_race
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError

from .conftest import Mode, loop_of
from .servers import once, serving
from .wires import LOOPS

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def refused_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that does not answer: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as fillers:
        port: int = full.getsockname()[1]
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


def test_a_refused_address_is_followed_by_the_next(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with no delay between them: one that is an hour long is not waited for."""
    for race in (loop_race, blocking_race):
        monkeypatch.setattr(race, "ATTEMPT_DELAY", 3600.0)
    with serving(once(OK)) as server:

        async def main(engine: Any) -> None:
            alternates = (("127.0.0.1", refused_port()), ("127.0.0.1", server.port))
            response = await engine.send(mode.exchange(refused_port(), alternates=alternates, connect_timeout=30.0))
            assert await mode.read(response) == b"ok"

        mode.run(main)
    assert mode.gauge.opens == 1


def test_a_silent_address_is_joined_by_the_next(mode: Mode) -> None:
    """After a moment the next one is tried beside it, and wins."""
    with serving(once(OK)) as server, silent_port() as silent:

        async def main(engine: Any) -> None:
            alternates = (("127.0.0.1", server.port),)
            response = await engine.send(mode.exchange(silent, alternates=alternates))
            assert await mode.read(response) == b"ok"

        mode.run(main)
    assert mode.gauge.opens == 1


def test_the_first_address_is_preferred(mode: Mode) -> None:
    """Where it answers, no other is tried."""
    with serving(once(OK)) as server, serving(once(OK.replace(b"ok", b"no"))) as other:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, alternates=(("127.0.0.1", other.port),)))
            assert await mode.read(response) == b"ok"

        mode.run(main)


def test_all_refused_is_a_connect_failure(mode: Mode) -> None:
    """It tells what the last one said."""

    async def main(engine: Any) -> None:
        with pytest.raises(UpstreamConnectError) as failure:
            await engine.send(mode.exchange(refused_port(), alternates=(("127.0.0.1", refused_port()),)))
        assert failure.value.reply.details.endswith(
            "{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        )

    mode.run(main)
    assert mode.gauge.opens == 0


@pytest.mark.parametrize("alternates", [(), (("127.0.0.1", 1),)], ids=["one", "several"])
def test_where_no_socket_is_to_be_had_nothing_is_connected(
    mode: Mode, alternates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without descriptors fails to connect, as one whose peers refuse it."""

    def none(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def main(engine: Any) -> None:
        exchange = mode.exchange(1, alternates=alternates)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", none)
            with pytest.raises(UpstreamConnectError) as failure:
                await mode.send(engine, exchange)
        assert failure.value.reply.details.endswith("_connect_error:_Too_many_open_files}")

    mode.run(main)
    assert mode.gauge.opens == 0


def test_an_address_of_a_kind_that_is_not_there_is_followed_by_the_next(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without IPv6 still connects to hosts that have both."""
    create = socket.socket.__init__

    def without_ipv6(self: socket.socket, family: int = -1, *arguments: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        create(self, family, *arguments, **options)

    with serving(once(OK)) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(1, address="::1", alternates=(("127.0.0.1", server.port),))
            with monkeypatch.context() as patch:
                patch.setattr(socket.socket, "__init__", without_ipv6)
                response = await engine.send(exchange)
            assert await mode.read(response) == b"ok"

        mode.run(main)


def test_silence_everywhere_is_a_connect_timeout(mode: Mode) -> None:
    """One timeout spans all addresses; a deadline that strikes first is a deadline."""
    with silent_port() as silent, silent_port() as other:

        async def main(engine: Any) -> None:
            parts: dict[str, Any] = {"alternates": (("127.0.0.1", other),)}
            with pytest.raises(UpstreamConnectError) as failure:
                await mode.send(engine, mode.exchange(silent, connect_timeout=0.4, deadline=mode.after(5), **parts))
            assert failure.value.reply.details == "upstream_reset_before_response_started{connection_timeout}"
            with pytest.raises(DeadlineExpired):
                await mode.send(engine, mode.exchange(silent, connect_timeout=5, deadline=mode.after(0.1), **parts))

        mode.run(main)
    assert mode.gauge.opens == 0


def on_loop(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    backend, options = loop_of(name)
    anyio.run(main, backend=backend, backend_options=options)


ADDRESSES = [("a", 1), ("b", 2)]


@pytest.mark.parametrize("loop", LOOPS)
def test_of_two_that_answer_at_once_the_second_is_closed(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was connected before he could be called off leaves nothing behind."""
    monkeypatch.setattr(loop_race, "ATTEMPT_DELAY", 0.0)
    discarded: list[str] = []

    async def main() -> None:
        answered = anyio.Event()

        async def connect(host: str, _: int) -> str:
            if host == "a":
                await answered.wait()
            answered.set()
            return host

        async def discard(connected: str) -> None:
            discarded.append(connected)

        assert await loop_race.first_connected(ADDRESSES, connect, discard) == "b"

    on_loop(loop, main)
    assert discarded == ["a"]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_connected_when_its_caller_is_cancelled_is_closed(loop: str) -> None:
    """A connection that nobody will get is nobody's to close but the race's."""
    discarded: list[str] = []

    async def main() -> None:
        async def connect(host: str, _: int) -> str:
            scope.cancel()
            return host

        async def discard(connected: str) -> None:
            discarded.append(connected)

        with anyio.CancelScope() as scope:
            await loop_race.first_connected(ADDRESSES, connect, discard)
        assert scope.cancelled_caught

    on_loop(loop, main)
    assert discarded == ["a"]
