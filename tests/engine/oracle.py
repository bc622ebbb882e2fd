"""What a response means: as h11 reads it, as our engine reads it, and where the two may differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import h11
import httpx

from ambassador_lib.call import Deadline
from ambassador_lib.engine.base import Destination, Exchange
from ambassador_lib.engine.blocking import step
from ambassador_lib.engine.pooled import AsyncPooledEngine, PooledEngine
from ambassador_lib.errors import DeadlineExpired, UpstreamConnectError, UpstreamResetError
from ambassador_lib.runtime.clock import SystemClock

from .replay import BlockingReplay, LoopReplay, ReplayWire
from .responses import Script

URL = httpx.URL("http://app.test/")
BROKEN, WAITING, WHOLE = "broken", "waiting", "whole"


@dataclass(frozen=True)
class Reading:
    """How a reader took a response.

    `status` and `headers` (names in lower case) are `None` where it did not get as far. `end` is `whole`, `broken`
    where the reader gave up, `waiting` where more was to come. `kept`: the connection may serve another exchange.
    """

    status: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] | None = None
    body: bytes = b""
    end: str = BROKEN
    kept: bool = False

    @property
    def outcome(self) -> Outcome:
        """What can be compared with Envoy, which changes headers."""
        return self.status, self.end, self.kept

    def agrees(self, other: Reading) -> bool:
        """Whether both mean the same to an application; of a body that is broken off, more or less may be seen."""
        if (self.status, self.headers, self.end, self.kept) != (other.status, other.headers, other.end, other.kept):
            return False
        if self.end == WHOLE:
            return self.body == other.body
        return self.body.startswith(other.body) or other.body.startswith(self.body)


def by_h11(script: Script) -> Reading:
    """Read as h11 does, a connection of HTTP/1.1 that offers no upgrade."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=80 * 1024)
    connection.send(h11.Request(method=script.method, target="/", headers=[(b"host", b"app.test")]))
    connection.send(h11.EndOfMessage())
    pieces = list(filter(None, script.pieces))
    has_ended = False
    status, headers, body = None, None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return Reading(status, headers, body, BROKEN)
        if event is h11.NEED_DATA:
            if pieces:
                connection.receive_data(pieces.pop(0))
            elif script.ends and not has_ended:
                has_ended = True
                connection.receive_data(b"")
            else:
                return Reading(status, headers, body, WAITING)
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, tuple((name.lower(), value) for name, value in event.headers)
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            is_over = script.ends or pieces or connection.trailing_data[0]
            kept = connection.their_state is h11.DONE and not is_over
            return Reading(status, headers, body, WHOLE, kept)
        elif not isinstance(event, h11.InformationalResponse):  # the end before a head; 101
            return Reading(status, headers, body, BROKEN)


def by_engine(script: Script) -> Reading:
    """Read by the blocking engine."""
    wire = ReplayWire(script.pieces, ends=script.ends)
    engine = PooledEngine(SystemClock(), network=BlockingReplay(wire))
    try:
        return step(_read(engine, script, _blocking_body))
    finally:
        step(engine.close())
        assert not wire.is_open, "the engine is closed, and a connection of its own is not"


async def by_loop_engine(script: Script) -> Reading:
    """Read by the engine of event loops."""
    wire = ReplayWire(script.pieces, ends=script.ends)
    engine = AsyncPooledEngine(SystemClock(), network=LoopReplay(wire))
    try:
        return await _read(engine, script, _loop_body)
    finally:
        await engine.close()
        assert not wire.is_open, "the engine is closed, and a connection of its own is not"


Body = tuple[bytes, str]


async def _blocking_body(response: httpx.Response) -> Body:
    body, end = b"", WHOLE
    try:
        for chunk in response.iter_raw():
            body += chunk
    except (UpstreamResetError, DeadlineExpired) as error:
        end = WAITING if isinstance(error, DeadlineExpired) else BROKEN
    response.close()
    return body, end


async def _loop_body(response: httpx.Response) -> Body:
    body, end = b"", WHOLE
    try:
        async for chunk in response.aiter_raw():
            body += chunk
    except (UpstreamResetError, DeadlineExpired) as error:
        end = WAITING if isinstance(error, DeadlineExpired) else BROKEN
    await response.aclose()
    return body, end


async def _read(
    engine: Any, script: Script, read_body: Callable[[httpx.Response], Coroutine[Any, Any, Body]]
) -> Reading:
    try:
        response = await engine.send(_exchange(script.method))
    except UpstreamResetError:
        return Reading()
    except DeadlineExpired:
        return Reading(end=WAITING)
    headers = tuple((name.lower(), value) for name, value in response.headers.raw)
    body, end = await read_body(response)
    return Reading(response.status_code, headers, body, end, await _is_kept(engine, read_body))


async def _is_kept(engine: Any, read_body: Callable[[httpx.Response], Coroutine[Any, Any, Body]]) -> bool:
    """Send once more: on the same connection, where nobody answers any more, or on a new one, which is refused."""
    try:
        forged = await engine.send(_exchange("GET"))
    except UpstreamConnectError:
        return False
    except DeadlineExpired:
        return True
    raise AssertionError(f"the next exchange was answered by what was left: {await read_body(forged)}")


def _exchange(method: str) -> Exchange:
    return Exchange(
        method, "http", "app.test", "/", [], None, Destination("c", "127.0.0.1", 1), Deadline(), _nothing, URL, {}
    )


def _nothing() -> None: ...


# --- where they may differ -------------------------------------------------------------------------------------------

Fields = list[tuple[bytes, bytes]]
Outcome = tuple[int | None, str, bool]


@dataclass(frozen=True)
class Difference:
    """A response that we take otherwise than h11, because Envoy does: `python -m tests.engine.fuzz --envoy` asks it.

    `applies` is given the heads, interim ones included, as status and fields in lower case, and both readings;
    `example` shows the difference, and `ours` is what we make of it: status, end, and whether the connection is kept.
    `envoy` is given where Envoy makes something else of it.
    """

    reason: str
    example: Script
    ours: Outcome
    applies: Callable[[list[tuple[int, Fields]], Reading, Reading], bool]
    envoy: Outcome | None = None


def explained(script: Script, ours: Reading, theirs: Reading) -> Difference | None:
    """Return why the two may differ here; `None` where nothing on the list explains it."""
    heads = _heads(script.data)
    if _is_refused(ours) and theirs == Reading(end=WAITING):
        finished = by_h11(replace(script, pieces=(*script.pieces, b"\r\n\r\n")))
        if finished == Reading():
            return EARLY
    return next((one for one in DIFFERENCES if one.applies(heads, ours, theirs)), None)


_HEAD = re.compile(rb"HTTP/\d\.\d (\d{3})[^\n]*\n((?:[^\r\n][^\n]*\n)*)\r?\n")


def _heads(data: bytes) -> list[tuple[int, Fields]]:
    """Find the heads up to the final one, by a reader that understands next to nothing."""
    found: list[tuple[int, Fields]] = []
    data = data.lstrip(b"\r\n")
    while (head := _HEAD.match(data)) is not None:
        lines = [line.partition(b":") for line in re.split(rb"\r?\n(?![ \t])", head[2])[:-1]]
        found.append((int(head[1]), [(name.lower(), value.strip(b" \t")) for name, _, value in lines]))
        if found[-1][0] >= 200:
            break
        data = data[head.end() :]
    return found


def _is_refused(ours: Reading) -> bool:
    return ours.status is None and ours.end == BROKEN


def _names(fields: Fields) -> list[bytes]:
    return [name for name, _ in fields]


def _has_no_body(status: int) -> bool:
    return status < 200 or status == 204


def _without_length(reading: Reading) -> Reading:
    headers = tuple(one for one in reading.headers or () if one[0] != b"content-length")
    return replace(reading, headers=headers)


def _answer(head: bytes, body: bytes = b"", *, method: str = "GET", ends: bool = False) -> Script:
    return Script(method, (b"HTTP/1.1 " + head + b"\r\n\r\n" + body,), ends)


REFUSED = (None, BROKEN, False)
EARLY = Difference(
    "what can no longer become a head is refused at once, and not waited for until its line or the head is complete",
    Script("GET", (b"HT TP/1.",), ends=False),
    REFUSED,
    lambda *_: False,
    envoy=(None, WAITING, False),
)
DIFFERENCES = [
    EARLY,
    Difference(
        "more than one content-length is refused, even where all are equal: the next reader may see but one",
        _answer(b"200 OK\r\ncontent-length: 2\r\ncontent-length: 2", b"ok"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any(
                _names(fields).count(b"content-length") > 1
                or any(name == b"content-length" and b"," in value for name, value in fields)
                for _, fields in heads
            )
        ),
    ),
    Difference(
        "a content-length that 64 bits cannot hold is refused",
        _answer(b"200 OK\r\ncontent-length: 99999999999999999999", b"ok"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any(
                name == b"content-length" and value.isdigit() and int(value) >= 2**64
                for _, fields in heads
                for name, value in fields
            )
        ),
    ),
    Difference(
        "a content-length beside a transfer-encoding is refused: request smuggling lives there",
        _answer(b"200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked", b"2\r\nok\r\n0\r\n\r\n"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any({b"content-length", b"transfer-encoding"} <= set(_names(fields)) for _, fields in heads)
        ),
    ),
    Difference(
        "a transfer-encoding where there can be no body is refused",
        _answer(b"204 No Content\r\ntransfer-encoding: chunked", b"0\r\n\r\n"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any(_has_no_body(status) and b"transfer-encoding" in _names(fields) for status, fields in heads)
        ),
    ),
    Difference(
        "so is a content-length there, but for 0",
        _answer(b"103 Early Hints\r\ncontent-length: 2\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any(
                _has_no_body(status) and any(name == b"content-length" and int(value or 0) for name, value in fields)
                for status, fields in heads
            )
        ),
    ),
    Difference(
        "a content-length of 0 there is dropped (RFC 9110 8.6)",
        _answer(b"204 No Content\r\ncontent-length: 0"),
        (204, WHOLE, True),
        lambda heads, ours, theirs: ours.status == 204 and ours.agrees(_without_length(theirs)),
    ),
    Difference(
        "control characters in a value are refused",
        _answer(b"200 OK\r\nx: a\x01b\r\ncontent-length: 2", b"ok"),
        REFUSED,
        lambda heads, ours, _: (
            _is_refused(ours)
            and any(
                re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", value) for _, fields in heads for _, value in fields
            )
        ),
    ),
    Difference(
        "more than 100 headers are refused",
        _answer(b"200 OK\r\n" + b"x: 1\r\n" * 101 + b"content-length: 2", b"ok"),
        REFUSED,
        lambda heads, ours, _: _is_refused(ours) and any(len(fields) > 100 for _, fields in heads),
    ),
    Difference(
        "a version that nobody speaks is read, and its connection not kept (Envoy does where it says keep-alive)",
        Script("GET", (b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",), ends=False),
        (200, WHOLE, False),
        lambda heads, ours, theirs: (
            ours.agrees(replace(theirs, kept=False)) or ours.agrees(replace(_without_length(theirs), kept=False))
        ),
    ),
    Difference(
        "HTTP/1.0 keeps a connection where it says so",
        Script("GET", (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",), ends=False),
        (200, WHOLE, True),
        lambda heads, ours, theirs: (
            (b"connection", b"keep-alive") in [(n, v.lower()) for n, v in ours.headers or ()]
            and ours.agrees(replace(theirs, kept=True))
        ),
    ),
]
