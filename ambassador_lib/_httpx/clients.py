"""The clients' last step (`_send_single_request`), where auth, redirects and event hooks lie behind and a transport is
chosen. Wrapping the transport itself (`_init_transport`) would hide it from those who look for it.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import logging
import time
from http.cookiejar import CookieJar
from typing import Any, ClassVar

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport
from httpx._client import BaseClient, BoundAsyncStream, BoundSyncStream, logger
from httpx._exceptions import request_context
from httpx._types import AsyncByteStream, SyncByteStream
from httpx._utils import URLPattern

from .late import LATE_OPTIONS, AsyncLateTransport, LateTransport, can_wait
from .options import AsyncClientOptions, ClientOptions
from .patched import genuine
from .timeouts import UnsetTimeout


class PolicyClient(BaseClient):
    """What the two clients change in httpx's `BaseClient`."""

    _transport: Any
    _mounts: Any
    _transport_for_url: Any
    _choice: ClassVar[object]
    _own_transport: ClassVar[tuple[type, str]]
    _late_transport: ClassVar[type]

    _from_environment: frozenset[URLPattern] = frozenset()
    """The patterns that HTTP_PROXY and the like have put into `_mounts`, which the application did not ask for."""

    def _init_transport(self, *args: Any, **options: Any) -> Any:
        if args or not can_wait(options):
            return super()._init_transport(*args, **options)  # type: ignore[misc]  # it is httpx's clients that have it
        # What the environment says of certificates has been asked for, and counts as of now.
        return self._late_transport(**{name: options[name] for name in LATE_OPTIONS}, trust_env=False)

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
            or (type(transport) in (owner, self._late_transport) and method in transport.__dict__)
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

    _choice = genuine(httpx.Client, "_transport_for_url")
    _own_transport = (HTTPTransport, "handle_request")
    _late_transport = LateTransport

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

    _choice = genuine(httpx.AsyncClient, "_transport_for_url")
    _own_transport = (AsyncHTTPTransport, "handle_async_request")
    _late_transport = AsyncLateTransport

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
