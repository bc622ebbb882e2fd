"""The usual call of a client, from its arguments to its response, where nobody has a say in it on the way.

What is usual is made of parts that are kept: URLs, and the client's own headers for as long as nobody changes them. All
else is left to httpx.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import logging
import time
from collections.abc import Set as AbstractSet
from http.cookiejar import CookieJar
from typing import Any, Final

import httpx
from httpx._client import USE_CLIENT_DEFAULT, UseClientDefault, logger

from .parts import HeaderLine, has_any, request_of
from .patched import AsWritten
from .requests import NO_BODY, KeptHeaders, assemble
from .responses import REDIRECTS, take_whole
from .settings import Settings, settings_of
from .timeouts import DefaultTimeout, UnsetTimeout
from .urls import seen_places

_WHOLE: Final = (bytes, str)
"""The types of bodies that are at hand."""
_READ_AGAIN: Final = (dict, list, tuple, httpx.Headers)
"""The types of headers that httpx can read after us."""
# Compiled, names of other modules are looked up at each use, and those that are final here are not.
_CookieJar: Final = CookieJar
_Request: Final = httpx.Request
_NOT_GIVEN: Final = USE_CLIENT_DEFAULT
_INFO: Final = logging.INFO
_OF_BODIES: Final = frozenset({"POST", "PUT", "PATCH"})
_COOKIES: Final = frozenset({b"set-cookie", b"set-cookie2"})
_ENCODED: Final = frozenset({b"content-encoding"})
_SPECIAL: Final = _COOKIES | _ENCODED


class Verb:
    """`client.get` or another of its kind: makes its request, where that may be done here."""

    __slots__ = ("_method", "_of_httpx", "_others", "_owner", "_steps", "_takes_body")

    def __init__(self, name: str, owner: Any, steps: AsWritten) -> None:
        """`owner`: httpx's client, which has one of that name; `steps`: what the call would pass in ours."""
        self._method = name.upper()
        self._owner = owner
        self._of_httpx = AsWritten(owner, name)
        self._steps = steps
        self._takes_body = self._method in _OF_BODIES
        self._others = frozenset({"params", "cookies", "data", "files"} if self._takes_body else {"params", "cookies"})

    def request(self, client: Any, url: Any, given: dict[str, Any]) -> httpx.Request | None:
        """Return the request, `None` where httpx's own method is to do it all."""
        settings = settings_of(client)
        if (
            not settings.verbs
            or settings.has_hooks()
            or not self._steps.are_as_written(settings.kind)
            or not self._of_httpx.are_as_written(self._owner)
        ):
            return None
        headers = content = json = extensions = None
        timeout: Any = _NOT_GIVEN
        for name, value in given.items():
            if name == "headers":
                headers = value
            elif name == "timeout":
                timeout = value
            elif name == "extensions":
                extensions = value
            elif name == "json" and self._takes_body:
                json = value
            elif name == "content" and self._takes_body:
                content = value
            elif name == "auth":
                if value is not _NOT_GIVEN:
                    return None
            elif name != "follow_redirects" and (value is not None or name not in self._others):
                return None
        request = build(settings, client, self._method, url, headers, content, json, timeout, extensions)
        return None if request is None or request.url._uri_reference.userinfo else request


def build(
    settings: Settings,
    client: Any,
    method: str,
    url: Any,
    headers: Any,
    content: Any,
    json: Any,
    timeout: Any,
    extensions: Any,
) -> httpx.Request | None:
    """Build a request with the client's own settings merged into it; `None` for what is left to httpx.

    Whether anybody has a say in it has been asked for already.
    """
    jar: Any = settings.cookies.jar
    if (
        type(method) is not str
        or (content is not None and type(content) not in _WHOLE)
        or (headers is not None and type(headers) not in _READ_AGAIN)
        or type(jar) is not _CookieJar
        or jar._cookies  # type: ignore[attr-defined]  # a jar has no other quick way to tell
    ):
        return None
    place = seen_places.get(url) if type(url) is str else None
    target, host = client._place(url) if place is None else place
    kept = settings.kept_headers
    if kept.lines != settings.headers._list:
        kept = settings.kept_headers = KeptHeaders(settings.headers._list)
    lines: list[HeaderLine] = kept.lines
    names: AbstractSet[bytes] = kept.names
    if headers is not None:
        lines, own = kept.merged(headers)
        if own is None:
            return None
        names = own
    made = _extended(settings.timeout, timeout, extensions)
    lines = lines.copy() if host is None or b"host" in names else [host, *lines]
    if method == "GET" and content is None and json is None:
        return request_of(method, target, lines, made, NO_BODY, b"")
    return assemble(method.upper(), target, host, lines, names, content, json, made)


def _extended(own: Any, timeout: Any, extensions: Any) -> dict[str, Any]:
    """Return a request's extensions, with the timeouts of the call or the client's own."""
    if extensions is not None and "timeout" in extensions:
        return dict(extensions)
    chosen = own if timeout is _NOT_GIVEN or isinstance(timeout, UseClientDefault) else httpx.Timeout(timeout)
    made = DefaultTimeout(chosen.__dict__) if type(chosen) is UnsetTimeout else chosen.as_dict()
    return {"timeout": made} if extensions is None else dict(**extensions, timeout=made)


def can_send(client: Any, request: Any) -> bool:
    """Tell whether a request goes out once, unless it is redirected: no authentication, no hooks, all in order."""
    settings = settings_of(client)
    kind = settings.kind
    return (
        settings.sends
        and not settings.has_hooks()
        and type(request) is _Request
        and not request.url._uri_reference.userinfo
        and "timeout" in request.extensions
        and isinstance(request.stream, kind._body)
        and settings.steps.are_as_written(kind)
    )


def carry(client: Any, request: httpx.Request) -> Any:
    """Have a request carried out under the client's policy: the response, or of an async client what is awaited."""
    settings = settings_of(client)
    if settings.wires and settings.is_wired_plainly():
        usual = settings.ambassadors.usual
        if usual is not None:
            answer = usual.entrance.carry(request)
            return usual.handle_over(request, settings.constructed) if answer is None else answer
    return client._handle(request)


def deliver(client: Any, request: httpx.Request, stream: Any, follow_redirects: Any) -> httpx.Response:
    """Send a request as httpx's blocking client does, past what it does not need."""
    start = time.perf_counter()
    try:
        response: httpx.Response = carry(client, request)
    except httpx.RequestError as error:
        client._tell(error, request)
        raise
    response.history = []
    if receive(client, request, response, start, at_once=not stream):
        return response
    finished: httpx.Response = client._finish(request, response, stream=stream, follow=follow_redirects)
    return finished


def receive(client: Any, request: httpx.Request, response: httpx.Response, start: float, *, at_once: bool) -> bool:
    """Make the client's response of a transport's, as the end of httpx's `_send_single_request` does.

    `at_once`: if nothing is left to do but to read a body that is there, have it as if it were read, and say so.
    """
    settings = settings_of(client)
    response._request = request
    response.default_encoding = client._default_encoding
    is_special = has_any(response.headers, _SPECIAL)
    # Extracting cookies where there are none costs a third of httpx's own time, and changes nothing in a plain jar.
    if (is_special and has_any(response.headers, _COOKIES)) or type(client._cookies.jar) is not _CookieJar:
        client.cookies.extract_cookies(response)
    if logger.isEnabledFor(_INFO):
        logger.info(
            'HTTP Request: %s %s "%s %d %s"',
            request.method,
            request.url,
            response.http_version,
            response.status_code,
            response.reason_phrase,
        )
    if (
        at_once
        and response.status_code not in REDIRECTS
        and not (is_special and has_any(response.headers, _ENCODED))
        and take_whole(response, start)
    ):
        return True
    kind = settings.kind
    assert isinstance(response.stream, kind._body)
    if not response.is_closed:  # mocks return what has been read already: nobody closes it any more
        response.stream = kind._bound(response.stream, response, start)
    return False
