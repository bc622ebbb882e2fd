"""TLS below the protocols: its end, its size, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
import trustme

from ambassador_lib.engine import readiness
from ambassador_lib.engine.asyncio_tls import PIECE
from ambassador_lib.engine.wire import PeerReset
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError

from .servers import serving, until_closed
from .test_tls import server_context, settings
from .wires import OURS, Wires, echo, pause


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "none"])
def test_the_end_of_a_tls_connection(wires: Wires, authority: trustme.CA, farewell: bool) -> None:
    """With a farewell or without one: HTTP has its own framing."""

    def handler(sock: Any) -> None:
        sock.sendall(b"last words")
        if farewell:
            sock.unwrap()
        else:
            socket.socket.shutdown(sock, socket.SHUT_WR)
        until_closed(sock)

    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            assert await wires.read(wire, wires.in_(5)) == b"last words"
            assert await wires.read(wire, wires.in_(5)) == b""
            await wire.close()

        wires.run(main)


def test_tls_carries_large_messages_both_ways(wires: Wires, authority: trustme.CA) -> None:
    """Many records, written in pieces, and what is known of the connection."""
    with serving(echo, server_context(authority.issue_cert("upstream.test"), "http/1.1")) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            assert wire.alpn == "http/1.1"
            assert wire.get_extra_info("ssl_object").version() == "TLSv1.3"
            for size in (1, 200, 250_000):
                sent = bytes(range(256)) * (size // 256 + 1)
                await wires.write(wire, sent, wires.in_(5))
                got = b""
                while len(got) < len(sent):
                    got += await wires.read(wire, wires.in_(5))
                assert got == sent
            assert not wire.has_input() and not wire.has_hung_up()
            assert wire.tls_session() is not None
            await wire.close()

        wires.run(main)


def test_what_openssl_holds_back_is_not_waited_for(authority: trustme.CA) -> None:
    """The rest of a record that was read in part comes though the socket has nothing more to say."""

    def handler(sock: Any) -> None:
        sock.sendall(b"news")
        until_closed(sock)

    wires = Wires("sync")
    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            assert readiness.is_ready(wire.get_extra_info("socket"), readiness.READABLE, 5.0)
            tls, got = wire.get_extra_info("ssl_object"), b""
            deadline = time.monotonic() + 20
            while not got and time.monotonic() < deadline:
                try:
                    got = tls.recv(1)
                except ssl.SSLWantReadError:  # session tickets
                    readiness.is_ready(tls, readiness.READABLE, 5.0)
            assert got == b"n"
            assert wire.get(wires.in_(5)) == b"ews"
            with pytest.raises(DeadlineExpired):
                wire.get(wires.in_(0.05))
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("name", ["sync", *OURS])
def test_what_came_in_time_is_read_later_as_well(name: str, authority: trustme.CA) -> None:
    """A deadline bounds the peer, and not a reader that was slow; nothing more is waited for."""

    def handler(sock: Any) -> None:
        sock.sendall(b"news")
        until_closed(sock)

    wires = Wires(name)
    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            got, passed, until = b"", wires.in_(-1), time.monotonic() + 20
            while not got and time.monotonic() < until:
                await pause(wires)
                with suppress(DeadlineExpired):  # it is still under way
                    got = await wire.read(passed)
            assert got == b"news"
            with pytest.raises(DeadlineExpired):
                await wire.read(passed)
            await wire.close()

        wires.run(main)


def test_what_is_no_tls_breaks_the_connection(wires: Wires, authority: trustme.CA) -> None:
    """Bytes that cannot be decrypted are no bytes of the peer's."""

    def handler(sock: Any) -> None:
        sock.sendall(b"fine")
        socket.socket.send(sock, b"this is not encrypted at all")
        socket.socket.recv(sock, 1000)

    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            assert await wires.read(wire, wires.in_(5)) == b"fine"
            with pytest.raises(PeerReset):
                await wires.read(wire, wires.in_(5))
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("loop", OURS)
def test_a_large_tls_write_returns_when_it_is_sent(loop: str, authority: trustme.CA) -> None:
    """Not before: its deadline bounds all of it."""
    wires = Wires(loop)
    gone = threading.Event()
    with serving(lambda sock: gone.wait(10), server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            with pytest.raises(DeadlineExpired):
                await wire.write(bytes(64 * 2**20), wires.in_(0.2))
            await wire.close()

        try:
            wires.run(main)
        finally:
            gone.set()


@pytest.mark.parametrize("loop", OURS)
def test_a_peer_is_told_why_its_certificate_is_refused(loop: str, authority: trustme.CA, authority_file: Any) -> None:
    """By the alert that OpenSSL has for it."""
    told: list[str] = []

    class Listening(ssl.SSLSocket):
        def do_handshake(self, *given: Any) -> None:
            try:
                super().do_handshake(*given)
            except ssl.SSLError as error:
                told.append(str(error))
                raise

    context = server_context(trustme.CA().issue_cert("upstream.test"))
    context.sslsocket_class = Listening
    wires = Wires(loop)
    with serving(until_closed, context) as server:

        async def main() -> None:
            with pytest.raises(UpstreamConnectError):
                await wires.dial(server, tls=settings(authority_file))

        wires.run(main)
    assert "unknown ca" in told[0]


@pytest.mark.parametrize("who", ["nobody", "reader", "listener"])
def test_a_peer_that_renegotiates_while_something_is_sent(who: str, authority: trustme.CA) -> None:
    """OpenSSL hears it first; where another task reads, the exchange fails, and nobody waits for ever."""
    wires = Wires("asyncio")

    class Renegotiating:
        """An SSL object that wants to hear from its peer before it sends."""

        heard = False

        def __init__(self, tls: Any) -> None:
            self._tls = tls

        def write(self, data: Any) -> int:
            if not self.heard:
                self.heard = True
                raise ssl.SSLWantReadError
            sent: int = self._tls.write(data)
            return sent

        def __getattr__(self, name: str) -> Any:
            return getattr(self._tls, name)

    def handler(sock: Any) -> None:
        time.sleep(0.03)
        sock.sendall(b"news")
        echo(sock)

    with serving(handler, server_context(authority.issue_cert("upstream.test"))) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings())
            wire.object = Renegotiating(wire.object)
            if who == "reader":
                assert await wire.read(wires.in_(5)) == b"news"
                reader = asyncio.ensure_future(wire.read(wires.in_(20)))
                await asyncio.sleep(0)
                with pytest.raises(PeerReset, match="renegotiation"):
                    await wire.write(b"x", wires.in_(5))
                reader.cancel()
            elif who == "listener":
                heard = bytearray()
                assert await wire.listening(wire.write(b"x", wires.in_(5)), heard.extend)
                while len(heard) < 5:
                    heard += await wire.read(wires.in_(5))
                assert heard == b"newsx"
            else:
                await wire.write(b"x", wires.in_(5))
                assert await wire.read(wires.in_(5)) == b"news"
                assert await wire.read(wires.in_(5)) == b"x"
            await wire.close()

        wires.run(main)


@pytest.mark.parametrize("piece", [1, 2])
def test_a_write_that_fails_knows_whether_any_of_it_has_left(
    authority: trustme.CA, authority_file: Any, piece: int
) -> None:
    """The piece that fails may be known not to have been sent: those before it were."""
    wires = Wires("asyncio")
    context = server_context(authority.issue_cert("upstream.test"))

    class Failing:
        """A socket that takes all, and nothing from some piece on."""

        def send(self, data: Any) -> int:
            nonlocal piece
            piece -= 1
            if not piece:
                raise OSError("gone")
            return len(data)

    with serving(until_closed, context) as server:

        async def main() -> None:
            wire = await wires.dial(server, tls=settings(authority_file), sni="upstream.test")
            is_first = piece == 1
            sock, wire._wire._sock = wire._wire._sock, Failing()
            with pytest.raises(PeerReset) as failure:
                await wire.write(bytes(3 * PIECE), wires.in_(5))
            wire._wire._sock = sock
            assert failure.value.sent is not is_first
            await wire.close()

        wires.run(main)
