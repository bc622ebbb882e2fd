"""The one file that knows private names of httpx and httpcore (0.28 and 1.0; httpx's own test suite guards it).

It holds what lets a policy into httpx's clients: the marker of a timeout that nobody set, the check that nobody has
patched httpx, and the clients' last step (`_send_single_request`), where auth, redirects and event hooks lie behind
and a transport is chosen. Wrapping the transport itself (`_init_transport`) would hide it from those who look for it.
"""

# ruff: noqa: SLF001 - private names are what this file is for

from __future__ import annotations

import logging
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar
from types import FunctionType
from typing import Any, ClassVar, TypedDict

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport
from httpx._client import BaseClient, BoundAsyncStream, BoundSyncStream, EventHook, logger
from httpx._exceptions import request_context
from httpx._types import (
    AsyncByteStream,
    AuthTypes,
    CertTypes,
    CookieTypes,
    HeaderTypes,
    ProxyTypes,
    QueryParamTypes,
    SyncByteStream,
    TimeoutTypes,
)
from httpx._utils import URLPattern


class _CommonOptions(TypedDict, total=False):
    auth: AuthTypes | None
    params: QueryParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    verify: ssl.SSLContext | str | bool
    cert: CertTypes | None
    trust_env: bool
    http1: bool
    http2: bool
    proxy: ProxyTypes | None
    timeout: TimeoutTypes
    follow_redirects: bool
    limits: httpx.Limits
    max_redirects: int
    event_hooks: Mapping[str, list[EventHook]] | None
    base_url: httpx.URL | str
    default_encoding: str | Callable[[bytes], str]


class ClientOptions(_CommonOptions, total=False):
    """Everything that `httpx.Client` takes; each is documented there."""

    mounts: Mapping[str, httpx.BaseTransport | None] | None
    transport: httpx.BaseTransport | None


class AsyncClientOptions(_CommonOptions, total=False):
    """Everything that `httpx.AsyncClient` takes; each is documented there."""

    mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None
    transport: httpx.AsyncBaseTransport | None


# --- a timeout that nobody set ---------------------------------------------------------------------------------------


class DefaultTimeout(dict[str, float | None]):
    """`request.extensions["timeout"]` where neither the client nor the call set one; equal to httpx's own value.

    A URL that the policy claims gets its timeouts from the policy then; any other transport reads the numbers.
    """


class UnsetTimeout(httpx.Timeout):
    """`client.timeout` as long as nobody sets it: httpx's default, recognisable in every request built from it."""

    __hash__ = None  # type: ignore[assignment]  # as httpx.Timeout

    def __init__(self, timeout: httpx.Timeout) -> None:
        super().__init__(timeout)

    def as_dict(self) -> dict[str, float | None]:
        """Return the timeouts by phase, in seconds."""
        return DefaultTimeout(super().as_dict())

    def __eq__(self, other: object) -> bool:
        return httpx.Timeout(self) == (httpx.Timeout(other) if isinstance(other, UnsetTimeout) else other)

    def __repr__(self) -> str:
        return repr(httpx.Timeout(self))


# --- has anybody patched httpx? --------------------------------------------------------------------------------------


def _genuine(owner: type, name: str) -> object:
    """Return the method that `owner`'s own module defines, or `None` while something stands in its place."""
    method = vars(owner).get(name)
    genuine = (
        type(method) is FunctionType and method.__code__.co_filename == vars(owner)["__init__"].__code__.co_filename
    )
    return method if genuine else None


class _NotImported:
    """Stands for httpcore's pools until somebody has imported httpcore, which takes as long as httpx itself."""

    handle_request = handle_async_request = None


class _Originals:
    """What pytest-httpx, respx and instrumentations replace, as its authors wrote it.

    `None` stands for what was patched whenever it was looked at; it is looked for again.
    """

    __slots__ = ("AsyncPool", "SyncPool", "async_pool", "async_transport", "has_pools", "sync_pool", "sync_transport")

    def __init__(self) -> None:
        self.has_pools = False
        """Whether httpcore has been imported: before, nobody can have patched it."""
        self.sync_transport: object = None
        self.async_transport: object = None
        self.SyncPool: Any = _NotImported
        self.AsyncPool: Any = _NotImported
        self.sync_pool: object = None
        self.async_pool: object = None
        self.look_again()

    def look_again(self) -> None:
        """Find what was missed."""
        self.sync_transport = self.sync_transport or _genuine(HTTPTransport, "handle_request")
        self.async_transport = self.async_transport or _genuine(AsyncHTTPTransport, "handle_async_request")
        if not self.has_pools:
            httpcore = sys.modules.get("httpcore")
            # The module may be half imported, on another thread.
            pools = getattr(httpcore, "ConnectionPool", None), getattr(httpcore, "AsyncConnectionPool", None)
            if None in pools:
                return
            self.SyncPool, self.AsyncPool = pools
            self.has_pools = True
        self.sync_pool = self.sync_pool or _genuine(self.SyncPool, "handle_request")
        self.async_pool = self.async_pool or _genuine(self.AsyncPool, "handle_async_request")


_originals = _Originals()


def pristine() -> bool:
    """Tell whether httpx's transports and httpcore's pools are as their authors wrote them; asked for every request.

    While they are not, somebody wants to see the application's requests, and the library's own engine, which uses
    neither, would hide them.
    """
    known = _originals
    return (
        HTTPTransport.handle_request is known.sync_transport
        and AsyncHTTPTransport.handle_async_request is known.async_transport
        and known.SyncPool.handle_request is known.sync_pool
        and known.AsyncPool.handle_async_request is known.async_pool
        and (known.has_pools or "httpcore" not in sys.modules)
    ) or (_is_original(is_async=False) and _is_original(is_async=True))


def _is_original(*, is_async: bool) -> bool:
    known = _originals
    known.look_again()
    if is_async:
        transport = AsyncHTTPTransport.handle_async_request is known.async_transport
        return transport and known.AsyncPool.handle_async_request is known.async_pool
    transport = HTTPTransport.handle_request is known.sync_transport
    return transport and known.SyncPool.handle_request is known.sync_pool


def is_untouched(transport: HTTPTransport | AsyncHTTPTransport) -> bool:
    """Tell whether a transport of httpx's connects to what it is asked for, as its authors wrote it."""
    is_async = isinstance(transport, AsyncHTTPTransport)
    kind, name = (AsyncHTTPTransport, "handle_async_request") if is_async else (HTTPTransport, "handle_request")
    own = type(transport)
    overridden = own is not kind and getattr(own, name) is not getattr(kind, name)
    return not overridden and name not in vars(transport) and _is_original(is_async=is_async)


# --- parts made ready ------------------------------------------------------------------------------------------------
# httpx's constructors find out what is known here already: they take 5 to 12 µs for what takes 1.


KEPT_URLS = 1024
_urls: dict[tuple[str, str, str, int | None, str], httpx.URL] = {}
"""URLs with another target, most of which come again; they are immutable."""


def target_of(url: httpx.URL) -> str:
    """Return path and query as they are sent."""
    parts = url._uri_reference
    path = parts.path or "/"
    return path if parts.query is None else f"{path}?{parts.query}"


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port (`None` where it is the scheme's own)."""
    parts = url._uri_reference
    return parts.scheme, parts.host, parts.port


def with_target(url: httpx.URL, target: str) -> httpx.URL:
    """Return `url` with another path and query, which are taken as they are."""
    parts = url._uri_reference
    key = (parts.scheme, parts.userinfo, parts.host, parts.port, target)
    made = _urls.get(key)
    if made is None:
        path, mark, query = target.partition("?")
        made = httpx.URL.__new__(httpx.URL)
        made._uri_reference = parts._replace(path=path, query=query if mark else None, fragment=None)
        if len(_urls) >= KEPT_URLS:
            _urls.clear()
        _urls[key] = made
    return made


def lower_case(headers: httpx.Headers) -> list[tuple[bytes, bytes, bytes]]:
    """Return each header's name as it was written, its name in lower case, and its value."""
    return headers._list


def make_headers(headers: list[tuple[bytes, bytes]], *, lower: bool = False) -> httpx.Headers:
    """Make httpx's headers of a list; `lower`: all names in it are in lower case."""
    made = httpx.Headers.__new__(httpx.Headers)
    if lower:
        made._list = [(name, name, value) for name, value in headers]
    else:
        made._list = [(name, name.lower(), value) for name, value in headers]
    made._encoding = None
    return made


def content_of(stream: object) -> bytes | None:
    """Return the whole body where it is at hand, `None` where it must be iterated over."""
    return stream._stream if type(stream) is httpx.ByteStream else None


def make_request(
    method: str,
    url: httpx.URL,
    headers: list[tuple[bytes, bytes]],
    stream: SyncByteStream | AsyncByteStream,
    content: bytes | None,
    extensions: dict[str, Any],
) -> httpx.Request:
    """Make a request of its parts; `content` is the whole body where it is at hand, and `stream` yields the same."""
    request = httpx.Request.__new__(httpx.Request)
    request.method = method
    request.url = url
    request.headers = make_headers(headers, lower=True)
    request.stream = stream
    request.extensions = extensions
    if content is not None:  # mocks look at `request.content`
        request._content = content
    return request


def with_headers(request: httpx.Request, headers: list[tuple[bytes, bytes]]) -> httpx.Request:
    """Return the same request with other headers."""
    made = httpx.Request.__new__(httpx.Request)
    made.__dict__.update(request.__dict__)
    made.headers = make_headers(headers)
    return made


def make_response(
    status: int,
    lines: list[tuple[bytes, bytes, bytes]],
    stream: SyncByteStream | AsyncByteStream,
    extensions: dict[str, Any],
) -> httpx.Response:
    """Make the response that `httpx.Response(status, headers=..., stream=stream, extensions=...)` would make.

    `lines`: each header's name as it came, its name in lower case, and its value. The response keeps `lines` and
    `extensions` themselves; its body has still to be read.
    """
    headers = httpx.Headers.__new__(httpx.Headers)
    headers._list = lines
    headers._encoding = None
    response = httpx.Response.__new__(httpx.Response)
    # In the constructor's order, so that CPython lets all responses share their keys.
    response.status_code = status
    response.headers = headers
    response._request = None
    response.next_request = None
    response.extensions = extensions
    response.history = []
    response.is_closed = False
    response.is_stream_consumed = False
    response.default_encoding = "utf-8"
    response.stream = stream
    response._num_bytes_downloaded = 0
    return response


# --- the clients' last step ------------------------------------------------------------------------------------------


class PolicyClient(BaseClient):
    """What the two clients change in httpx's `BaseClient`."""

    _transport: Any
    _mounts: Any
    _transport_for_url: Any
    _choice: ClassVar[object]
    _own_transport: ClassVar[tuple[type, str]]

    _from_environment: frozenset[URLPattern] = frozenset()
    """The patterns that HTTP_PROXY and the like have put into `_mounts`, which the application did not ask for."""

    def _tell_given(self, options: ClientOptions | AsyncClientOptions) -> None:
        """Tell what the application asked for from what httpx has filled in; once, at the end of construction."""
        if "timeout" not in options:
            self._timeout = UnsetTimeout(self._timeout)  # assigning `client.timeout` ends that
        if options.get("proxy") is None:  # a proxy of its own is in place of the environment's
            given = {URLPattern(pattern) for pattern in options.get("mounts") or ()}
            self._from_environment = frozenset(self._mounts.keys() - given)

    def _set_timeout(self, request: httpx.Request) -> None:
        # httpx copies the client's timeout here, for a request that the client has not built, and loses the mark.
        if "timeout" not in request.extensions:
            request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}

    def _merge_url(self, url: httpx.URL | str) -> httpx.URL:
        merged = super()._merge_url(url)
        # "http:///path" has a scheme and no host: that is no relative URL, and left for httpx to refuse.
        if not merged.scheme and not merged.host and not httpx.URL(url).scheme:
            origin = self._relative_base()
            return merged if origin is None else origin.copy_with(raw_path=merged.raw_path)
        return merged

    def _relative_base(self) -> httpx.URL | None:
        """Return the address of the policy's only listener: where relative URLs go that have no other base."""
        return None

    def _is_mounted(self, url: httpx.URL) -> bool:
        """Tell whether `mounts=` or `proxy=` has a transport of its own for `url`."""
        for pattern, transport in self._mounts.items():
            if pattern.matches(url):
                # None: the client's default transport
                return transport is not None and pattern not in self._from_environment
        return False

    def _is_rewired(self, constructed: object) -> bool:
        """Tell whether the transport, or how it is chosen, is no longer what the constructor made it.

        respx replaces the choice, instrumentations of one client a method of its transport, tests the transport.
        """
        owner, method = self._own_transport
        transport = self._transport
        return (
            transport is not constructed
            or type(self)._transport_for_url is not type(self)._choice
            or (type(transport) is owner and method in transport.__dict__)
        )

    def _rewired_transport(self, url: httpx.URL) -> Any:
        """Return the transport that whoever patched httpx watches."""
        return self._transport if type(self)._transport_for_url is type(self)._choice else self._transport_for_url(url)

    def _receive(
        self, request: httpx.Request, response: httpx.Response, stream: SyncByteStream | AsyncByteStream
    ) -> httpx.Response:
        """Make the client's response of a transport's, as the end of httpx's `_send_single_request` does."""
        response.request = request
        response.stream = stream
        if _may_set_cookies(response) or type(self.cookies.jar) is not CookieJar:
            self.cookies.extract_cookies(response)
        response.default_encoding = self._default_encoding
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                'HTTP Request: %s %s "%s %d %s"',
                request.method,
                request.url,
                response.http_version,
                response.status_code,
                response.reason_phrase,
            )
        return response


def _may_set_cookies(response: httpx.Response) -> bool:
    # Extracting cookies where there are none costs a third of httpx's own time, and changes nothing in a plain jar.
    return any(name in (b"set-cookie", b"set-cookie2") for _, name, _ in response.headers._list)


class SyncPolicyClient(PolicyClient, httpx.Client):
    """`httpx.Client`, but `_handle` carries a request out in place of a transport."""

    _choice = _genuine(httpx.Client, "_transport_for_url")
    _own_transport = (HTTPTransport, "handle_request")

    def _handle(self, request: httpx.Request) -> httpx.Response:
        raise NotImplementedError

    def _send_single_request(self, request: httpx.Request) -> httpx.Response:
        start = time.perf_counter()
        if not isinstance(request.stream, SyncByteStream):
            raise RuntimeError("Attempted to send an async request with a sync Client instance.")  # noqa: TRY004 - as httpx
        with request_context(request=request):
            response = self._handle(request)
        assert isinstance(response.stream, SyncByteStream)
        return self._receive(request, response, BoundSyncStream(response.stream, response=response, start=start))


class AsyncPolicyClient(PolicyClient, httpx.AsyncClient):
    """`httpx.AsyncClient`, but `_handle` carries a request out in place of a transport."""

    _choice = _genuine(httpx.AsyncClient, "_transport_for_url")
    _own_transport = (AsyncHTTPTransport, "handle_async_request")

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        raise NotImplementedError

    async def _send_single_request(self, request: httpx.Request) -> httpx.Response:
        start = time.perf_counter()
        if not isinstance(request.stream, AsyncByteStream):
            raise RuntimeError("Attempted to send an sync request with an AsyncClient instance.")  # noqa: TRY004 - as httpx
        with request_context(request=request):
            response = await self._handle(request)
        assert isinstance(response.stream, AsyncByteStream)
        return self._receive(request, response, BoundAsyncStream(response.stream, response=response, start=start))
