"""A server's side of one connection without I/O: what comes when, over both protocols, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from ambassador_lib.testing import Reaction
from ambassador_lib.testing.peer import PREFACE, Action, End, Peer, Reset, Send, peer
from ambassador_lib.testing.script import Scripted

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Driver:
    """One connection under a clock that tests move."""

    def __init__(self, protocol: Any = "http1") -> None:
        self.now = 100.0
        self.payment = Scripted("payment", clock=lambda: self.now)
        self.peer: Peer = peer(self.payment, 0, 1, protocol=protocol, client="app", server_name="a.test")

    def acted(self) -> list[Action]:
        """Do all that is due now."""
        actions: list[Action] = []
        while (due := self.peer.due()) is not None and due <= self.now:
            actions += self.peer.act(self.now)
        return actions

    def hear(self, data: bytes) -> list[Action]:
        """Let bytes come."""
        self.peer.received(data, self.now)
        return self.acted()

    def until_due(self) -> list[Action]:
        """Let time pass until something is due."""
        due = self.peer.due()
        assert due is not None
        assert due > self.now
        self.now = due
        return self.acted()


def sent(actions: list[Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Send))


# --- HTTP/1.1 ---------------------------------------------------------------------------------------------------------


def test_a_request_may_come_in_any_pieces() -> None:
    """Byte by byte, it is answered when its last byte is there, and kept whole."""
    driver = Driver()
    request = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    for at in range(len(request) - 1):
        assert driver.hear(request[at : at + 1]) == []
    assert sent(driver.hear(request[-1:])).startswith(b"HTTP/1.1 200 OK\r\n")
    (seen,) = driver.payment.requests
    assert (seen.method, seen.target, seen.body, seen.header("host")) == ("POST", "/a?b", b"abc", "x")
    assert (seen.client, seen.server_name, seen.protocol, seen.connection) == ("app", "a.test", "HTTP/1.1", 1)
    assert (seen.arrived, seen.finished, seen.gone) == (100.0, 100.0, None)


def test_chunks_are_put_together() -> None:
    """Extensions and trailers of a chunked body are passed over."""
    driver = Driver()
    driver.hear(b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n")
    assert driver.payment.requests[0].body == b"abcde"


def test_requests_wait_for_the_answer_before_them() -> None:
    """Two that come at once are answered one after the other."""
    driver = Driver()
    driver.payment.is_slow(2.0)
    assert driver.hear(GET + GET) == []
    assert len(driver.payment.requests) == 1
    assert sent(driver.until_due()).count(b"HTTP/1.1 200") == 1
    assert driver.now == 102.0
    assert sent(driver.until_due()).count(b"HTTP/1.1 200") == 1
    assert (driver.now, driver.peer.due()) == (104.0, None)


def test_who_asks_before_sending_is_told_to_go_on() -> None:
    """`Expect: 100-continue` gets its interim answer before the body is there."""
    driver = Driver()
    heard = driver.hear(b"PUT / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
    assert sent(heard) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert sent(driver.hear(b"x")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("nonsense", [b"nonsense\r\n\r\n", PREFACE, b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"])
def test_what_is_no_http_is_turned_away(nonsense: bytes) -> None:
    """With a 400, and an end; nothing is kept."""
    driver = Driver()
    actions = driver.hear(nonsense)
    assert sent(actions).startswith(b"HTTP/1.1 400 ")
    assert actions[-1] == End()
    assert (driver.payment.requests, driver.peer.is_over, driver.peer.due()) == ([], True, None)


@pytest.mark.parametrize("last", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"])
def test_a_client_that_wants_no_more_is_left(last: bytes) -> None:
    """The connection ends after the answer."""
    assert Driver().hear(last)[-1] == End()


def test_pieces_come_one_by_one() -> None:
    """Each at its time, in chunks, and the trailers with the end."""
    driver = Driver()
    driver.payment.replies(Reaction(body=(b"ab", b"c"), delay=1.0, pause=0.5, trailers=(("t", "v"),)))
    assert driver.hear(GET) == []
    assert sent(driver.until_due()).endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
    assert driver.payment.requests[0].finished is None
    assert sent(driver.until_due()) == b"1\r\nc\r\n0\r\nt: v\r\n\r\n"
    assert (driver.now, driver.payment.requests[0].finished) == (101.5, 101.5)


Say = Callable[[Scripted], object]
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n01234567"


@pytest.mark.parametrize(
    ("say", "expected", "end"),
    [
        (lambda up: up.closes(), b"", End()),
        (lambda up: up.closes(at="mid-headers"), WHOLE[:19], End()),
        (lambda up: up.closes(at="before body"), WHOLE[:-8], End()),
        (lambda up: up.closes(at="mid-body"), WHOLE[:-4], End()),
        (lambda up: up.resets(), b"", Reset()),
        (lambda up: up.resets(at="mid-headers"), WHOLE[:19], Reset()),
        (lambda up: up.resets(at="mid-body"), WHOLE[:-4], Reset()),
        (lambda up: up.truncates(), WHOLE[:-4], End()),
        (lambda up: up.sends_garbage(b"\0"), b"\0", End()),
        (lambda up: up.lies_about_length(by=2), WHOLE.replace(b"length: 8", b"length: 10"), End()),
        (lambda up: up.lies_about_length(by=-2), WHOLE.replace(b"length: 8", b"length: 6"), None),
        (lambda up: up.hangs(), b"", None),
        (lambda up: up.hangs(at="mid-headers"), WHOLE[:19], None),
        (lambda up: up.hangs(at="mid-body"), WHOLE[:-4], None),
    ],
)
def test_an_answer_breaks_where_it_is_said(say: Say, expected: bytes, end: Action | None) -> None:
    """At the very byte, and with the end that was said; the record tells that it failed."""
    driver = Driver()
    driver.payment.replies(content=b"01234567", headers={})
    say(driver.payment)
    actions = driver.hear(GET)
    assert sent(actions) == expected
    assert [action for action in actions if not isinstance(action, Send)] == ([] if end is None else [end])
    assert driver.payment.requests[0].failed
    assert driver.peer.due() is None


def test_a_client_that_leaves_is_noticed() -> None:
    """In the orderly way or not, its request is marked, and the load is less by one."""
    for leave in (lambda driver: driver.hear(b""), lambda driver: driver.peer.lost(driver.now)):
        driver = Driver()
        driver.payment.browns_out(base=1.0, per_request=1.0)
        driver.hear(GET)
        driver.now = 100.5
        actions = leave(driver)
        assert actions in ([End()], None)
        assert (driver.payment.requests[0].gone, driver.peer.due()) == (100.5, None)
        assert driver.peer.is_over
        other = Driver()
        other.payment = driver.payment
        other.peer = peer(driver.payment, 0, 2)
        other.hear(GET)
        assert other.peer.due() == 101.0


def test_an_open_connection_is_cut_when_the_upstream_goes_down() -> None:
    """At the very second, though a request is under way; the request never had an answer."""
    driver = Driver()
    driver.payment.hangs(for_=3).then.is_down(for_=1)
    driver.hear(GET)
    assert driver.until_due() == [Reset()]
    (seen,) = driver.payment.requests
    assert (driver.now, seen.gone, seen.answered, seen.failed) == (103.0, 103.0, None, True)


def test_an_idle_connection_ends_where_new_ones_fail() -> None:
    """What is under way is answered first."""
    driver = Driver()
    driver.payment.is_slow(2.0, times=1).then.refuses(1)
    assert driver.hear(GET) == []
    actions = driver.until_due()
    assert sent(actions).startswith(b"HTTP/1.1 200")
    assert actions[-1] == End()
    idle = Driver()
    idle.hear(GET)
    idle.payment.black_holes()
    assert idle.acted() == [End()]


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


class Caller:
    """A client that speaks HTTP/2 to a driver's peer."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.ends: list[Action] = []

    def take(self, actions: list[Action]) -> list[h2.events.Event]:
        self.ends += [action for action in actions if not isinstance(action, Send)]
        return list(self.h2.receive_data(sent(actions)))

    def exchange(self) -> list[h2.events.Event]:
        """Send what is to be sent, and return what comes of it."""
        return self.take(self.driver.hear(self.h2.data_to_send()))

    def ask(self, method: str = "GET", path: str = "/", body: bytes | None = None) -> int:
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a.test")]
        self.h2.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=True)
        return stream


def caller(protocol: str = "http2") -> Caller:
    return Caller(Driver(protocol))


def kinds(events: list[h2.events.Event], stream: int) -> list[type[h2.events.Event]]:
    return [type(event) for event in events if getattr(event, "stream_id", None) == stream]


@pytest.mark.parametrize("protocol", ["http2", "auto"])
def test_http2_is_spoken_and_recognised(protocol: str) -> None:
    """By its preface, where the protocol was not agreed on before."""
    client = caller(protocol)
    client.driver.payment.replies(201, text="made", headers={"X-A": "b", "Connection": "close"})
    stream = client.ask("POST", "/charges", b"body")
    events = client.exchange()
    head = next(event for event in events if isinstance(event, h2.events.ResponseReceived))
    told = dict(head.headers or ())
    assert (told[":status"], told["x-a"], told["content-length"]) == ("201", "b", "4")
    assert "connection" not in told
    assert kinds(events, stream)[-1] is h2.events.StreamEnded
    (seen,) = client.driver.payment.requests
    assert (seen.method, seen.target, seen.body, seen.protocol) == ("POST", "/charges", b"body", "HTTP/2")
    assert seen.header("host") == "a.test"


def test_a_preface_may_come_in_pieces() -> None:
    """What could still become either protocol is waited for."""
    driver = Driver("auto")
    assert driver.hear(PREFACE[:10]) == []
    assert sent(driver.hear(PREFACE[10:])) != b""
    assert Driver("auto").hear(b"P") == []
    assert Driver("auto").hear(b"PO") == []
    plain = Driver("auto")
    assert plain.hear(b"P") == []
    assert sent(plain.hear(b"UT / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


def test_streams_are_answered_beside_one_another() -> None:
    """A slow answer holds up no other."""
    client = caller()
    client.driver.payment.on("/slow").is_slow(5.0)
    slow, quick = client.ask(path="/slow"), client.ask(path="/quick")
    events = client.exchange()
    assert (kinds(events, slow), kinds(events, quick)[-1]) == ([], h2.events.StreamEnded)
    assert kinds(client.take(client.driver.until_due()), slow)[-1] is h2.events.StreamEnded
    assert client.driver.now == 105.0


def test_a_large_body_waits_for_the_window() -> None:
    """Only what the client has room for is sent; what it acknowledges lets more come."""
    client = caller()
    client.driver.payment.replies(content=b"x" * 200_000)
    stream = client.ask()
    received = 0
    events = client.exchange()
    while True:
        data = [event for event in events if isinstance(event, h2.events.DataReceived)]
        received += sum(len(event.data or b"") for event in data)
        if any(isinstance(event, h2.events.StreamEnded) for event in events):
            break
        assert data
        assert client.driver.peer.due() is None
        client.h2.acknowledge_received_data(sum(event.flow_controlled_length or 0 for event in data), stream)
        events = client.exchange()
    assert received == 200_000


def test_a_reset_ends_the_stream_alone() -> None:
    """RST_STREAM with INTERNAL_ERROR; the next request is answered on the same connection."""
    client = caller()
    client.driver.payment.replies(200)
    client.driver.payment.resets(at="mid-body", times=1)
    stream = client.ask()
    events = client.exchange()
    reset = next(event for event in events if isinstance(event, h2.events.StreamReset))
    assert (reset.stream_id, reset.error_code) == (stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
    again = client.ask()
    assert kinds(client.exchange(), again)[-1] is h2.events.StreamEnded
    assert client.ends == []


@pytest.mark.parametrize("at", ["before headers", "mid-headers", "mid-body"])
def test_a_close_ends_the_whole_connection(at: Any) -> None:
    """And with it the streams beside it."""
    client = caller()
    client.driver.payment.on("/slow").is_slow(10.0)
    client.driver.payment.closes(at=at)
    client.ask(path="/slow")
    client.ask()
    client.exchange()
    assert client.ends == [End()]
    assert client.driver.peer.is_over
    assert [seen.failed for seen in client.driver.payment.requests] == [True, True]


def test_half_a_head_ends_with_the_connection() -> None:
    """A frame that was cut in two cannot be followed by another, so a reset is one of the connection."""
    client = caller()
    client.driver.payment.resets(at="mid-headers")
    stream = client.ask()
    assert kinds(client.exchange(), stream) == []
    assert client.ends == [Reset()]


def test_a_stream_that_the_client_resets_is_over() -> None:
    """Its request is marked as left."""
    client = caller()
    client.driver.payment.hangs()
    stream = client.ask()
    client.exchange()
    client.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    client.exchange()
    assert client.driver.payment.requests[0].gone == 100.0
    assert client.driver.peer.exchanges == []


def test_trailers_and_health_over_grpc() -> None:
    """A gRPC health check is answered in its protocol, as the upstream is said to be."""
    answers = []
    client = caller()
    for is_so in (True, False):
        client.driver.payment.is_healthy(is_so)
        stream = client.h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":path", "/grpc.health.v1.Health/Check"), (":scheme", "http")]
        headers += [("user-agent", "Envoy/HC"), ("content-type", "application/grpc"), (":authority", "a")][::-1]
        headers.sort(key=lambda header: not header[0].startswith(":"))
        client.h2.send_headers(stream, headers)
        client.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        events = client.exchange()
        answers.append(b"".join(event.data or b"" for event in events if isinstance(event, h2.events.DataReceived)))
        trailers = next(event for event in events if isinstance(event, h2.events.TrailersReceived))
        assert ("grpc-status", "0") in (trailers.headers or ())
    assert answers == [b"\0\0\0\0\2\x08\1", b"\0\0\0\0\2\x08\2"]


def test_what_is_no_http2_is_told_so() -> None:
    """Data that belong to no stream: a GOAWAY, and the end."""
    client = caller()
    client.exchange()
    events = client.take(client.driver.hear(b"\0\0\1\0\0\0\0\0\0x"))
    assert any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
    assert client.ends == [End()]


def test_a_connection_that_is_no_longer_wanted_is_left_in_the_orderly_way() -> None:
    """GOAWAY, then the end."""
    client = caller()
    client.ask()
    client.exchange()
    client.driver.payment.refuses()
    events = client.take(client.driver.acted())
    assert any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
    assert client.ends == [End()]
