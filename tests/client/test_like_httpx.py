"""Our clients beside httpx's: whatever they are told, what they send and what they return is the same, field by field.

Where the URLs are not the policy's, it changes nothing, and all that can differ is the client.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import warnings
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambassador_lib import AsyncClient, Client

from .documents import BASE, policy

# --- what is answered -------------------------------------------------------------------------------------------------


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces, and may break off."""

    def __init__(self, pieces: list[bytes], failure: Exception | None = None) -> None:
        self.pieces, self.failure, self.closed = pieces, failure, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.failure is not None:
            raise self.failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


@dataclass(frozen=True)
class Answer:
    """One answer of the transport; `kind` is how the body is given to `httpx.Response`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    kind: str
    extensions: dict[str, Any]

    def make(self) -> httpx.Response:
        if self.kind == "fails":
            raise httpx.ReadError("broken")
        if self.kind == "content":
            return httpx.Response(self.status, headers=self.headers, content=self.body, extensions=self.extensions)
        streams: dict[str, Any] = {
            "whole": httpx.ByteStream(self.body),
            "chunks": Chunks([self.body[:3], self.body[3:]]),
            "breaks": Chunks([self.body], httpx.ReadError("broken off")),
        }
        stream = streams[self.kind]
        return httpx.Response(self.status, headers=self.headers, stream=stream, extensions=self.extensions)


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers one after the other, and keeps what it was asked."""

    def __init__(self, answers: list[Answer]) -> None:
        self._answers = answers
        self.asked: list[Any] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(shown_request(request))
        return self._answers[(len(self.asked) - 1) % len(self._answers)].make()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


TEXT = st.text("ab é=;,€", max_size=6)
TOKENS = st.sampled_from(
    ["x-a", "X-A", "Accept", "user-agent", "Host", "Content-Type", "content-length", "Transfer-Encoding", "Cookie",
     "Authorization", "connection"]
)  # fmt: skip
VALUES = st.sampled_from(["", "1", "a, b", "application/x", "keep-alive", "multipart/form-data; boundary=b", "5"])
LOCATIONS = st.sampled_from(
    [
        "/next",
        "next?q=1",
        "http://other.test/x",
        "https://one.test/",
        "//two.test",
        "#f",
        "",
        "http://[",
        "http:///p",
        "é",
    ]
)
COOKIES = st.sampled_from(["a=1", "b=2; Path=/p", "c=3; Domain=.test", "d=4; Max-Age=0", "e"])
RESPONSE_HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Location"), LOCATIONS),
        st.tuples(st.sampled_from(["Set-Cookie", "set-cookie", "Set-Cookie2"]), COOKIES),
        st.tuples(st.just("Content-Encoding"), st.sampled_from(["gzip", "deflate", "identity", "gzip, deflate", "x"])),
        st.tuples(
            st.just("Content-Type"),
            st.sampled_from(["text/plain; charset=latin-1", "application/json", "a;charset=no"]),
        ),
        st.tuples(st.just("Link"), st.just("<http://l/>; rel=next")),
    ),
    max_size=3,
)
BODIES = st.one_of(
    st.sampled_from([b"", b'{"a": 1}', gzip.compress(b"zipped", mtime=0), zlib.compress(b"deflated")]),
    st.binary(max_size=6),
)
ANSWERS = st.builds(
    Answer,
    status=st.sampled_from([200, 200, 204, 299, 300, 301, 302, 303, 304, 307, 308, 404, 500, 600, 42]),
    headers=RESPONSE_HEADERS,
    body=BODIES,
    kind=st.sampled_from(["whole", "whole", "content", "chunks", "breaks", "fails"]),
    extensions=st.fixed_dictionaries(
        {}, optional={"http_version": st.sampled_from([b"HTTP/1.0", b"HTTP/2"]), "reason_phrase": st.just(b"Fine \xff")}
    ),
)

# --- what is asked ----------------------------------------------------------------------------------------------------

HEADERS = st.one_of(
    st.dictionaries(TOKENS, VALUES, max_size=3),
    st.lists(st.tuples(TOKENS, VALUES), max_size=3),
    st.lists(st.tuples(TOKENS, VALUES), max_size=2).map(httpx.Headers),
    st.lists(st.tuples(TOKENS.map(str.encode), VALUES.map(str.encode)), max_size=2),
    st.sampled_from(
        [{}, {b"x-b": b"\xff"}, {b"x-\xe4": b"1"}, {"x-ä": "1"}, {"x-a": "ä"}, {"x-a": 1}, 7, {"x-a": None}]
    ),
)
PARAMS = st.sampled_from(
    [{}, {"a": "1"}, {"a": [1, None, True]}, "a=b c", [("a", "1"), ("a", "2")], httpx.QueryParams("q=ä")]
)
TIMEOUTS = st.sampled_from([None, 3, (1, 2), httpx.Timeout(5.0), httpx.Timeout(1, read=None)])
CALL_COOKIES = st.sampled_from([None, {}, {"k": "v"}, httpx.Cookies({"k": "v"})])
AUTHS = st.sampled_from(
    [None, ("user", "pass"), httpx.BasicAuth("u", "p"), httpx.DigestAuth("u", "p"), httpx.USE_CLIENT_DEFAULT]
)
EXTENSIONS = st.sampled_from([{}, {"timeout": {"read": 1}}, {"timeout": None, "x": 1}, {"sni_hostname": "h"}])
ADDRESSES = st.sampled_from(
    ["http://one.test/p", "http://one.test", "https://one.test:444/a?b=c", "HTTP://ONE.test/%7e ä", "/relative",
     "relative?a#f", "http://u:p@one.test/", "http://u@one.test/", "http://:@one.test/x", "http://one.test/a/../b#f",
     "", "http://", "http:///x", "http://[bad", httpx.URL("http://one.test/url?q#f"), httpx.URL("/url"), 5, "ftp://one.test/"]
)  # fmt: skip
METHODS = st.sampled_from(["GET", "POST", "post", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ODD"])
CONTENTS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.sampled_from([b"", b"body", "", "bodü", {"no": "dict"}, 5]),
            "json": st.sampled_from([{}, {"a": [1, "ü"]}, "text", 0, None, float("nan"), object, {"\ud800": 1}]),
            "data": st.sampled_from([{}, {"a": "1"}, {"a": ["1", "2"]}, b"raw", None]),
            "files": st.sampled_from([None, {}, {"f": b"file"}]),
        },
    ),
)


@dataclass(frozen=True)
class Step:
    """One thing that an application does with its client: a call, or a change of the client's settings."""

    do: str
    method: str = "GET"
    url: Any = "http://one.test/"
    options: dict[str, Any] = field(default_factory=dict)
    change: tuple[str, Any] = ("", None)


def optional(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


CALLS = st.builds(
    lambda do, method, url, options, contents: Step(do, method, url, {**options, **(contents or {})}),
    st.sampled_from(["request", "request", "build", "stream"]),
    METHODS,
    ADDRESSES,
    optional(
        headers=HEADERS,
        params=PARAMS,
        cookies=CALL_COOKIES,
        timeout=TIMEOUTS,
        extensions=EXTENSIONS,
        auth=AUTHS,
        follow_redirects=st.booleans(),
    ),
    CONTENTS,
)
CHANGES = st.builds(
    lambda change: Step("change", change=change),
    st.one_of(
        st.tuples(st.just("header"), st.tuples(TOKENS, VALUES)),
        st.tuples(st.just("drop_header"), TOKENS),
        st.tuples(st.just("headers"), st.dictionaries(TOKENS, VALUES, max_size=2)),
        st.tuples(st.just("base_url"), st.sampled_from(["http://one.test/base", "http://two.test:81"])),
        st.tuples(st.just("timeout"), TIMEOUTS),
        st.tuples(st.just("params"), PARAMS),
        st.tuples(st.just("cookies"), CALL_COOKIES),
        st.tuples(st.just("auth"), st.sampled_from([None, ("a", "b")])),
        st.tuples(st.just("follow_redirects"), st.booleans()),
        st.tuples(st.just("event_hooks"), st.just({"request": [], "response": []})),
    ),
)
SETTINGS = optional(
    headers=st.dictionaries(TOKENS, VALUES, max_size=2),
    params=PARAMS,
    cookies=st.sampled_from([{"k": "v"}, [("a", "b")]]),
    timeout=TIMEOUTS,
    follow_redirects=st.booleans(),
    max_redirects=st.sampled_from([0, 1, 3, -1]),
    base_url=st.sampled_from(["http://one.test/base/", "https://two.test", "http://u:p@one.test/"]),
    default_encoding=st.sampled_from(["latin-1", "utf-8"]),
    auth=st.sampled_from([("a", "b")]),
)

# --- how it is looked at ----------------------------------------------------------------------------------------------


DRAWN = re.compile(rb"multipart/form-data; boundary=[0-9a-f]{32}$")
"""A boundary that is drawn by chance."""


def shown_url(url: httpx.URL) -> Any:
    return type(url), tuple(url._uri_reference)


def shown_request(request: httpx.Request) -> dict[str, Any]:
    """Return all that there is to see of a request."""
    shown = dict(vars(request))
    shown["url"] = shown_url(request.url)
    shown["headers"] = [line for line in vars(request.headers)["_list"] if not DRAWN.match(line[2])]
    stream = shown.pop("stream")
    shown["stream"] = type(stream), vars(stream) if type(stream) is httpx.ByteStream else None
    shown["extensions"] = dict(request.extensions)
    return shown


def shown_response(response: httpx.Response) -> dict[str, Any]:
    """Return all that there is to see of a response, but the stream and how long it took."""
    shown = dict(vars(response))
    del shown["stream"]
    shown.pop("_elapsed", None)
    shown["has_elapsed"] = hasattr(response, "_elapsed")
    shown["_decoder"] = type(shown["_decoder"]) if "_decoder" in shown else httpx._decoders.IdentityDecoder
    shown["headers"] = vars(response.headers)["_list"]
    shown["_request"] = shown_request(response.request)
    shown["next_request"] = response.next_request and shown_request(response.next_request)
    shown["history"] = [shown_response(earlier) for earlier in response.history]
    shown["about"] = response.http_version, response.reason_phrase, response.has_redirect_location, response.links
    if hasattr(response, "_content"):
        shown["text"] = response.encoding, response.text
    return shown


def shown_jar(client: Any) -> list[Any]:
    return sorted((cookie.domain, cookie.path, cookie.name, cookie.value) for cookie in client.cookies.jar)


def shown_error(error: Exception) -> Any:
    request = getattr(error, "_request", None)
    return type(error), str(error), request and shown_request(request)


class Sync:
    """Drives a blocking client."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def request(self, *arguments: Any, **options: Any) -> httpx.Response:
        return self.client.request(*arguments, **options)

    def stream(self, *arguments: Any, **options: Any) -> list[Any]:
        with self.client.stream(*arguments, **options) as response:
            before = shown_response(response)
            chunks = list(response.iter_bytes())
        return [before, chunks, shown_response(response)]

    def close(self) -> None:
        self.client.close()


class Async:
    """Drives an asynchronous client; nothing in it ever waits."""

    def __init__(self, client: httpx.AsyncClient, loop: asyncio.Runner) -> None:
        self.client = client
        self._run = loop.run

    def request(self, *arguments: Any, **options: Any) -> httpx.Response:
        return self._run(self.client.request(*arguments, **options))

    def stream(self, *arguments: Any, **options: Any) -> list[Any]:
        async def stream() -> list[Any]:
            async with self.client.stream(*arguments, **options) as response:
                before = shown_response(response)
                chunks = [chunk async for chunk in response.aiter_bytes()]
            return [before, chunks, shown_response(response)]

        return self._run(stream())

    def close(self) -> None:
        self._run(self.client.aclose())


def change(client: Any, what: str, value: Any) -> None:
    if what == "header":
        client.headers[value[0]] = value[1]
    elif what == "drop_header":
        client.headers.pop(value, None)
    else:
        setattr(client, what, value)


def play(driver: Any, steps: list[Step], log: Log) -> list[Any]:
    """Do the steps, and return all that the application sees of them."""
    seen: list[Any] = []
    for step in steps:
        log.lines = []
        try:
            seen.append(_do(driver, step))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            seen.append(shown_error(error))
        seen.append(log.lines)
        seen.append(shown_jar(driver.client))
        seen.append(driver.client._headers._list)
    return seen


def _do(driver: Any, step: Step) -> Any:
    if step.do == "change":
        change(driver.client, *step.change)
        return None
    if step.do == "build":
        options = {name: value for name, value in step.options.items() if name not in ("auth", "follow_redirects")}
        return shown_request(driver.client.build_request(step.method, step.url, **options))
    if step.do == "stream":
        return driver.stream(step.method, step.url, **step.options)
    return shown_response(driver.request(step.method, step.url, **step.options))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def make_drivers(kind: str, loop: asyncio.Runner, ours: Script, stock: Script, **options: Any) -> tuple[Any, Any]:
    """Make a driver of our client and one of httpx's, with the same options."""
    if kind == "sync":
        return Sync(Client(policy(), transport=ours, **options)), Sync(httpx.Client(transport=stock, **options))
    return (
        Async(AsyncClient(policy(), transport=ours, **options), loop),
        Async(httpx.AsyncClient(transport=stock, **options), loop),
    )


class Log(logging.Handler):
    """Keeps httpx's log lines while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Self:
        logger = logging.getLogger("httpx")
        self._level, logger.propagate = logger.level, False
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("httpx")
        logger.setLevel(self._level)
        logger.propagate = True
        logger.removeHandler(self)


def compare(
    kind: str,
    loop: asyncio.Runner,
    options: dict[str, Any],
    answers: list[Answer],
    steps: list[Step],
) -> None:
    """Do the same with both clients, and see the same."""
    ours_asked, stock_asked = Script(answers), Script(answers)
    # Without a base a relative URL goes to the policy's listener, which httpx does not know.
    ours, stock = make_drivers(kind, loop, ours_asked, stock_asked, **{"base_url": "http://zero.test/", **options})
    with warnings.catch_warnings(), Log() as log:
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            seen, expected = play(ours, steps, log), play(stock, steps, log)
        finally:
            ours.close()
            stock.close()
    assert seen == expected
    assert ours_asked.asked == stock_asked.asked


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "asyncio"])
@settings(max_examples=500, deadline=None)
@given(
    options=SETTINGS,
    answers=st.lists(ANSWERS, min_size=1, max_size=4),
    steps=st.lists(st.one_of(CALLS, CALLS, CHANGES), min_size=1, max_size=5),
)
def test_an_application_cannot_tell_them_apart(
    kind: str,
    loop: asyncio.Runner,
    options: dict[str, Any],
    answers: list[Answer],
    steps: list[Step],
) -> None:
    """Whatever an application sets and calls, requests, responses, errors, cookies and log lines are httpx's."""
    compare(kind, loop, options, answers, steps)


def without_report(seen: Any) -> Any:
    """Leave out what a policy adds to responses."""
    if isinstance(seen, dict):
        return {name: without_report(value) for name, value in seen.items() if name != "ambassador"}
    return [without_report(value) for value in seen] if isinstance(seen, list) else seen


PASSED_ON = ANSWERS.filter(lambda answer: answer.kind in ("whole", "content", "chunks") and 200 <= answer.status < 600)
"""Answers that a policy finds nothing wrong with."""
PLAIN_CALLS = st.builds(
    Step,
    do=st.sampled_from(["request", "stream"]),
    method=METHODS.filter(lambda method: method != "ODD"),
    url=st.just("/p"),
    options=optional(headers=st.just({"x-a": "1"}), params=PARAMS, timeout=TIMEOUTS, follow_redirects=st.booleans()),
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "asyncio"])
@settings(max_examples=200, deadline=None)
@given(
    encoding=st.sampled_from(["utf-8", "latin-1"]),
    answers=st.lists(PASSED_ON, min_size=1, max_size=3),
    calls=st.lists(PLAIN_CALLS, min_size=1, max_size=3),
)
def test_a_policys_answers_are_taken_as_httpx_takes_them(
    kind: str, loop: asyncio.Runner, encoding: str, answers: list[Answer], calls: list[Step]
) -> None:
    """A policy changes what is sent; its answers become responses as any other transport's."""
    scripts = Script(answers), Script(answers)
    ours, stock = make_drivers(kind, loop, *scripts, base_url=BASE, default_encoding=encoding)
    with Log() as log:
        try:
            seen, expected = play(ours, calls, log), play(stock, calls, log)
        finally:
            ours.close()
            stock.close()
    assert without_report(seen) == expected
