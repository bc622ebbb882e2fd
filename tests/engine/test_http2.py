"""HTTP/2: many exchanges on one connection, and the ways in which one of them ends without the others."""

from __future__ import annotations

import threading
import time
from array import array
from typing import Any

import anyio
import h2.errors
import h2.events
import h2.settings
import httpx
import pytest

from ambassador_lib.engine.blocking import step
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError

from .conftest import Mode
from .servers import H2Peer, serving, until_closed


def path_of(event: h2.events.RequestReceived) -> str:
    headers: Any = event.headers  # text: the server decodes them
    return str(dict(headers)[":path"])


def respond_when_complete(peer: H2Peer, event: Any) -> None:
    if isinstance(event, h2.events.StreamEnded):
        peer.respond(event.stream_id)


async def together(mode: Mode, engine: Any, exchanges: list[Any]) -> list[Any]:
    """Send all at once and return the bodies, or the failures, in order."""
    results: list[Any] = [None] * len(exchanges)

    async def one(index: int) -> None:
        try:
            results[index] = await mode.read(await mode.send(engine, exchanges[index]))
        except Exception as error:  # noqa: BLE001 - failures are results here
            results[index] = error

    if mode.name == "sync":
        threads = [threading.Thread(target=lambda i=i: step(one(i))) for i in range(len(exchanges))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    else:
        async with anyio.create_task_group() as group:
            for index in range(len(exchanges)):
                group.start_soon(one, index)
    return results


def test_request_on_the_wire(mode: Mode) -> None:
    """The scheme is the application's, the host travels as :authority, hop-by-hop headers stay behind."""
    seen: list[Any] = []

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            seen.append(event.headers)
        if isinstance(event, h2.events.DataReceived):
            seen.append(event.data)
        respond_when_complete(peer, event)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(
                mode.exchange(
                    server,
                    protocol="http2",
                    scheme="https",
                    stream=mode.body([b"d", array("H", b"at"), bytearray(b"a")]),
                    headers=[(b"x-a", b"1")],
                )
            )
            assert (response.status_code, await mode.read(response)) == (200, b"ok")
            assert response.extensions["http_version"] == b"HTTP/2"

        mode.run(main)
    assert [tuple(header) for header in seen[0]] == [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "app.test"),
        (":path", "/x?y=1"),
        ("x-a", "1"),
    ]
    assert b"".join(seen[1:]) == b"data"


def test_many_at_once_share_one_connection_also_when_cold(mode: Mode) -> None:
    """30 exchanges at once wait for one dial and share its connection."""
    waiting: list[int] = []

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            waiting.append(event.stream_id)
            if len(waiting) == 30:
                for stream_id in waiting:
                    peer.respond(stream_id, b"%d" % stream_id)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            bodies = await together(
                mode, engine, [mode.exchange(server, protocol="http2", deadline=mode.after(10)) for _ in range(30)]
            )
            assert len(set(bodies)) == 30
            assert all(isinstance(body, bytes) for body in bodies)
            assert mode.gauge.now == 1

        mode.run(main)
    assert server.connections == 1


def test_failed_dial_fails_all_who_wait_for_it(mode: Mode) -> None:
    """A connection that fails takes its waiting exchanges along; they do not dial one after the other."""
    with serving(until_closed) as server:
        port = server.port

    async def main(engine: Any) -> None:
        failures = await together(mode, engine, [mode.exchange(port, protocol="http2") for _ in range(5)])
        assert [type(failure) for failure in failures] == [UpstreamConnectError] * 5
        assert len(set(map(id, failures))) == 5

    mode.run(main)


def test_large_bodies_both_ways(mode: Mode) -> None:
    """2 MB up and down, under flow control."""
    received: dict[int, bytearray] = {}
    pending: dict[int, bytes] = {}

    def push(peer: H2Peer) -> None:
        for stream_id, data in list(pending.items()):
            rest = data
            while rest:
                size = min(len(rest), peer.h2.local_flow_control_window(stream_id), peer.h2.max_outbound_frame_size)
                if not size:
                    break
                peer.h2.send_data(stream_id, rest[:size], end_stream=size == len(rest))
                rest = rest[size:]
                peer.flush()
            pending[stream_id] = rest
            if not rest:
                del pending[stream_id]

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            received.setdefault(event.stream_id, bytearray()).extend(event.data)
        if isinstance(event, h2.events.StreamEnded):
            peer.h2.send_headers(event.stream_id, [(":status", "200")])
            pending[event.stream_id] = bytes(received[event.stream_id][::-1])
        push(peer)

    body = bytes(range(256)) * 8000
    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            exchanges = [
                mode.exchange(server, protocol="http2", stream=httpx.ByteStream(body), deadline=mode.after(20))
                for _ in range(2)
            ]
            assert await together(mode, engine, exchanges) == [body[::-1]] * 2

        mode.run(main)
    assert server.connections == 1


def test_deadline_resets_the_stream_only(mode: Mode) -> None:
    """A deadline sends RST_STREAM(CANCEL); the connection serves the next exchange."""
    resets: list[Any] = []
    reset_seen = threading.Event()

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived) and path_of(event) == "/quick":
            peer.respond(event.stream_id)
        if isinstance(event, h2.events.StreamReset):
            resets.append(event.error_code)
            reset_seen.set()

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(DeadlineExpired):
                await mode.send(
                    engine, mode.exchange(server, protocol="http2", target="/slow", deadline=mode.after(0.05))
                )
            response = await mode.send(engine, mode.exchange(server, protocol="http2", target="/quick"))
            assert await mode.read(response) == b"ok"
            assert reset_seen.wait(2)

        mode.run(main)
    assert (server.connections, resets) == (1, [h2.errors.ErrorCodes.CANCEL])


def test_deadline_of_the_reader_leaves_the_others_alone(mode: Mode) -> None:
    """Whoever reads for all hands the role over when its own deadline ends it."""

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.StreamReset):
            for stream_id in (3, 5):
                peer.respond(stream_id)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            def exchange(seconds: float) -> Any:
                return mode.exchange(server, protocol="http2", deadline=mode.after(seconds))

            first, *others = await together(mode, engine, [exchange(0.1), exchange(5), exchange(5)])
            failures = [result for result in (first, *others) if isinstance(result, Exception)]
            assert [type(failure) for failure in failures] == [DeadlineExpired]
            assert sorted(result for result in (first, *others) if isinstance(result, bytes)) == [b"ok", b"ok"]

        def react_to_first(peer: H2Peer, event: Any) -> None:
            if isinstance(event, h2.events.StreamReset):
                for stream_id in {1, 3, 5} - {event.stream_id}:
                    peer.respond(stream_id)

        server._handler = H2Peer(react_to_first)
        mode.run(main)


@pytest.mark.parametrize(
    ("code", "reason", "refused"),
    [
        (h2.errors.ErrorCodes.REFUSED_STREAM, "remote_refused_stream_reset", True),
        (h2.errors.ErrorCodes.CANCEL, "remote_reset", False),
        (h2.errors.ErrorCodes.NO_ERROR, "remote_reset", False),
        (h2.errors.ErrorCodes.INTERNAL_ERROR, "remote_reset", False),
        (h2.errors.ErrorCodes.PROTOCOL_ERROR, "protocol_error", False),
        (h2.errors.ErrorCodes.CONNECT_ERROR, "remote_error_with_CONNECT_request", False),
    ],
)
def test_stream_reset_before_the_head(mode: Mode, code: Any, reason: str, refused: bool) -> None:
    """RST_STREAM is a remote reset, or what its code says; REFUSED_STREAM: nothing was done. The connection stays."""

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if path_of(event) == "/reset":
                peer.h2.reset_stream(event.stream_id, code)
            else:
                peer.respond(event.stream_id)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError) as failure:
                await engine.send(mode.exchange(server, protocol="http2", target="/reset"))
            assert failure.value.reply.details == f"upstream_reset_before_response_started{{{reason}}}"
            assert failure.value.refused == refused
            reply = failure.value.reply
            assert (reply.status, reply.flag) == ((502, "UPE") if reason == "protocol_error" else (503, "UR"))
            await mode.read(await engine.send(mode.exchange(server, protocol="http2")))

        mode.run(main)
    assert server.connections == 1


def test_stream_reset_within_the_body(mode: Mode) -> None:
    """RST_STREAM after the head breaks the body off."""

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            peer.respond(event.stream_id, b"part", end=False)
            peer.flush()
            peer.h2.reset_stream(event.stream_id, 2)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            response = await engine.send(mode.exchange(server, protocol="http2"))
            with pytest.raises(UpstreamResetError) as failure:
                await mode.read(response)
            await mode.close(response)
            assert failure.value.reply.details == "upstream_reset_after_response_started{remote_reset}"

        mode.run(main)


def test_goaway_refuses_what_is_above_and_lets_the_rest_end(mode: Mode) -> None:
    """Streams above GOAWAY's last one are refused; one below it is still answered; new ones get a new connection."""
    begun: list[int] = []

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if server.connections > 1:
                peer.respond(event.stream_id)
                return
            begun.append(event.stream_id)
            if len(begun) == 2:
                goaway = (8).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + (1).to_bytes(4, "big") + bytes(4)
                peer.sock.sendall(goaway)
                time.sleep(0.02)
                peer.respond(1)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            def exchange() -> Any:
                return mode.exchange(server, protocol="http2", deadline=mode.after(5))

            results = await together(mode, engine, [exchange(), exchange()])
            (failure,) = (result for result in results if isinstance(result, UpstreamResetError))
            assert failure.refused
            assert b"ok" in results
            assert await mode.read(await engine.send(exchange())) == b"ok"
            assert mode.gauge.now == 1

        mode.run(main)
    assert server.connections == 2


@pytest.mark.parametrize("talk", ["nothing", "http1"])
def test_peer_that_speaks_no_http2(mode: Mode, talk: str) -> None:
    """An end is a termination, HTTP/1.1 to an HTTP/2 client a protocol error."""

    def handler(sock: Any) -> None:
        sock.recv(100_000)
        if talk == "http1":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            until_closed(sock)

    with serving(handler) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError) as failure:
                await engine.send(mode.exchange(server, protocol="http2"))
            reason = "protocol_error" if talk == "http1" else "connection_termination"
            assert failure.value.reply.details == f"upstream_reset_before_response_started{{{reason}}}"
            assert mode.gauge.now == 0

        mode.run(main)


def test_more_than_the_peer_allows_goes_to_a_second_connection(mode: Mode) -> None:
    """SETTINGS_MAX_CONCURRENT_STREAMS spills over to another connection (semantics 4)."""
    held: list[tuple[H2Peer, int]] = []

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if path_of(event) == "/first":
                peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
                peer.respond(event.stream_id)
                return
            held.append((peer, event.stream_id))
            if len(held) == 2:
                for other, stream_id in held:
                    other.respond(stream_id)
                    other.flush()

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            await mode.read(await engine.send(mode.exchange(server, protocol="http2", target="/first")))
            exchanges = [mode.exchange(server, protocol="http2", deadline=mode.after(5)) for _ in range(2)]
            assert await together(mode, engine, exchanges) == [b"ok", b"ok"]

        mode.run(main)
    assert server.connections == 2


def test_unread_body_does_not_use_up_the_connection(mode: Mode) -> None:
    """Bodies that are closed unread are reset and their room is given back, again and again."""

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            peer.h2.send_headers(event.stream_id, [(":status", "200")])
            for _ in range(20):
                peer.h2.send_data(event.stream_id, b"x" * 16_000)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            for _ in range(70):  # 22 MB: more than the connection's window
                response = await mode.send(engine, mode.exchange(server, protocol="http2", deadline=mode.after(5)))
                await mode.close(response)

        mode.run(main)
    assert server.connections == 1


def test_abort_from_another_thread() -> None:
    """A racer that reads for all is brought back by a ping; the connection goes on."""
    mode = Mode("sync")
    with serving(H2Peer(respond_unless_slow)) as server:

        async def main(engine: Any) -> None:
            exchange = mode.exchange(server, protocol="http2", target="/slow", deadline=mode.after(5))
            threading.Timer(0.05, exchange.abort).start()
            with pytest.raises(UpstreamResetError):
                await engine.send(exchange)
            assert await mode.read(await engine.send(mode.exchange(server, protocol="http2"))) == b"ok"

        mode.run(main)
    assert server.connections == 1


def respond_unless_slow(peer: H2Peer, event: Any) -> None:
    if isinstance(event, h2.events.RequestReceived) and path_of(event) != "/slow":
        peer.respond(event.stream_id)


def test_threads_do_not_get_in_each_others_way() -> None:
    """Hundreds of exchanges from 8 threads on one connection each get their own answer."""
    mode = Mode("sync")

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            peer.respond(event.stream_id, path_of(event).encode())

    wrong: list[object] = []
    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            await mode.read(await engine.send(mode.exchange(server, protocol="http2")))

            def work(number: int) -> None:
                for index in range(40):
                    target = f"/{number}/{index}"
                    exchange = mode.exchange(server, protocol="http2", target=target, deadline=mode.after(10))
                    body = step(engine.send(exchange)).read()
                    if body != target.encode():
                        wrong.append((target, body))

            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()

        mode.run(main)
    assert (wrong, server.connections) == ([], 1)


def test_connection_going_away_is_not_chosen_while_it_ends(mode: Mode) -> None:
    """After GOAWAY a new exchange dials, though an old one is still under way on the first connection."""
    first: list[H2Peer] = []

    def react(peer: H2Peer, event: Any) -> None:
        if not isinstance(event, h2.events.RequestReceived):
            return
        if path_of(event) == "/old":
            first.append(peer)
            peer.respond(event.stream_id, b"part", end=False)
            peer.flush()
            peer.sock.sendall((8).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + (1).to_bytes(4, "big") + bytes(4))
        else:
            peer.respond(event.stream_id)
            first[0].h2.send_data(1, b"ial", end_stream=True)
            first[0].flush()

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            def exchange(target: str) -> Any:
                return mode.exchange(server, protocol="http2", target=target, deadline=mode.after(5))

            old = await engine.send(exchange("/old"))
            (pooled,) = engine._pool.connections
            await pooled.connection.until(
                next(iter(pooled.connection.streams.values())), lambda: not pooled.connection.is_usable()
            )
            assert await mode.read(await engine.send(exchange("/new"))) == b"ok"
            assert await mode.read(old) == b"partial"
            assert mode.gauge.now == 1

        mode.run(main)
    assert server.connections == 2


@pytest.mark.parametrize("status", ["abc", "", "99", "-20", "2_0", "2000"])
def test_a_status_that_is_none_is_a_protocol_error(mode: Mode, status: str) -> None:
    """What `h2` lets pass for a status never reaches the application, neither as a number nor as a `ValueError`."""

    def react(peer: H2Peer, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            peer.respond(event.stream_id, status=status)

    with serving(H2Peer(react)) as server:

        async def main(engine: Any) -> None:
            with pytest.raises(UpstreamResetError) as caught:
                await engine.send(mode.exchange(server, protocol="http2", deadline=mode.after(5)))
            assert caught.value.reply.status == 502

        mode.run(main)


def test_each_waiter_for_a_failed_connection_has_a_reply_of_its_own(mode: Mode) -> None:
    """What one call does to its local reply (headers added, say) is not seen by those that waited with it."""
    if mode.name == "sync":
        pytest.skip("threads cannot be lined up behind one another")
    errors: list[UpstreamConnectError] = []

    async def main(engine: Any) -> None:
        async def one() -> None:
            with pytest.raises(UpstreamConnectError) as caught:
                await engine.send(mode.exchange(1, protocol="http2"))
            caught.value.reply.headers.append((b"x", b"own"))
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)

    mode.run(main)
    assert [error.reply.headers for error in errors] == [[(b"x", b"own")]] * 3
