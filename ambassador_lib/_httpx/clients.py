"""The clients' last step (`_send_single_request`), where auth, redirects and event hooks lie behind and a transport is
chosen. Wrapping the transport itself (`_init_transport`) would hide it from those who look for it.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine
from http.cookiejar import CookieJar
from typing import Any, ClassVar

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport
from httpx._client import USE_CLIENT_DEFAULT, ClientState, UseClientDefault, logger
from httpx._types import AsyncByteStream, AuthTypes, SyncByteStream
from httpx._utils import URLPattern

from .late import LATE_OPTIONS, AsyncLateTransport, LateTransport, can_wait
from .mounts import Mounts
from .options import AsyncClientOptions, ClientOptions
from .parts import has_any
from .patched import AsWritten, connects, genuine, passes_on, pristine
from .requests import RequestBuilder
from .responses import REDIRECTS, AsyncBoundStream, BoundStream, take_whole
from .timeouts import UnsetTimeout
from .watched import stand_before_pool

_OPENED = ClientState.OPENED
"""An enum's members are slow to look up."""
_STEPS = (
    "cookies", "_set_timeout", "_build_request_auth", "_send_handling_auth", "_send_handling_redirects",
    "_send_single_request", "_httpx_client.send", "_response.read", "_response.aread",
)  # fmt: skip
"""What a call of httpx's client passes from `send` on."""
_COOKIES = frozenset({b"set-cookie", b"set-cookie2"})
_ENCODED = frozenset({b"content-encoding"})
_SPECIAL = _COOKIES | _ENCODED


class PolicyClient(RequestBuilder):
    """What the two clients change in httpx's `BaseClient`."""

    _transport: Any
    _mounts: Any
    _transport_for_url: Any
    _choice: ClassVar[object]
    _own_transport: ClassVar[tuple[type, str]]
    _late_transport: ClassVar[type]
    _response: ClassVar[type] = httpx.Response
    _body: ClassVar[type]
    """What httpx's client asks of a request's body."""
    _bound: ClassVar[Any]
    """What a transport's stream is wrapped in."""
    _steps: ClassVar[AsWritten]

    def _init_transport(self, *args: Any, **options: Any) -> Any:
        if args or not can_wait(options):
            return super()._init_transport(*args, **options)  # type: ignore[misc]  # it is httpx's clients that have it
        # What the environment says of certificates has been asked for, and counts as of now.
        return self._late_transport(**{name: options[name] for name in LATE_OPTIONS}, trust_env=False)

    def _tell_given(self, options: ClientOptions | AsyncClientOptions) -> None:
        """Tell what the application asked for from what httpx has filled in; once, at the end of construction."""
        if "timeout" not in options:
            self._timeout = UnsetTimeout(self._timeout)  # assigning `client.timeout` ends that
        given = {URLPattern(pattern) for pattern in options.get("mounts") or ()}
        has_proxy = options.get("proxy") is not None  # in place of the environment's
        self._known_mounts = Mounts(frozenset() if has_proxy else self._mounts.keys() - given)

    def _set_timeout(self, request: httpx.Request) -> None:
        # httpx copies the client's timeout here, for a request that the client has not built, and loses the mark.
        if "timeout" not in request.extensions:
            request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}

    def _sends_as_usual(self, request: httpx.Request) -> bool:
        """Tell whether a request goes out once, unless it is redirected: no authentication, no hooks, all in order."""
        hooks = self._event_hooks
        return (
            self._state is _OPENED
            and self._auth is None
            and not hooks["request"]
            and not hooks["response"]
            and self.max_redirects >= 0
            and type(request) is httpx.Request
            and not request.url._uri_reference.userinfo
            and "timeout" in request.extensions
            and isinstance(request.stream, self._body)
            and "_send_single_request" not in self.__dict__
            and self._steps.are_as_written(type(self))
        )

    def _route_past(self, url: httpx.URL) -> tuple[Any, bool]:
        """Return httpx's transport for `url`, and whether `mounts=` or `proxy=` has one of its own for it."""
        if not self._mounts:
            return self._transport_for_url(url), False
        transport, is_mounted = self._known_mounts.find(self._mounts, url)
        if getattr(self._transport_for_url, "__func__", None) is not type(self)._choice:  # somebody else chooses
            return self._transport_for_url(url), is_mounted
        return (self._transport if transport is None else transport), is_mounted

    def _is_rewired(self, constructed: object, given: object) -> bool:
        """Tell whether the transport, or how it is chosen, is no longer what the constructor made it.

        respx replaces the choice, instrumentations of one client a method of its transport, tests the transport. One
        that was given by the application is asked anyway, with whatever passes calls on to it.
        """
        owner, method = self._own_transport
        transport = self._transport
        return (
            transport is not constructed
            or type(self)._transport_for_url is not type(self)._choice
            or (
                type(transport) in (owner, self._late_transport)
                and method in transport.__dict__
                and not (transport is given and connects(transport))
            )
        )

    def _is_wired_plainly(self, constructed: object) -> bool:
        """Tell whether there is one transport only, httpx's, as the constructor made it, and nobody watches it."""
        kind, transport = type(self), self._transport
        owner, method = self._own_transport
        return (
            transport is constructed
            and not self._mounts
            and isinstance(transport, owner)
            and method not in transport.__dict__
            and kind._transport_for_url is kind._choice
            and "_transport_for_url" not in self.__dict__
            and pristine()
        )

    def _passes_on(self, constructed: object) -> bool:
        """Tell whether all who watch pass on what they see."""
        transport = self._transport
        return (
            transport is constructed
            and type(self)._transport_for_url is type(self)._choice
            and passes_on()
            and connects(transport)
        )

    def _rewired_transport(self, url: httpx.URL) -> Any:
        """Return the transport that whoever patched httpx watches; what that passes on goes to the client's own."""
        stand_before_pool(self._transport)
        return self._transport if type(self)._transport_for_url is type(self)._choice else self._transport_for_url(url)

    def _tell(self, error: httpx.RequestError, request: httpx.Request) -> None:
        """Tell an error whose it is, as httpx does, and what would help where that is known."""
        error.request = request
        if isinstance(error, httpx.UnsupportedProtocol):
            self._explain(error, request.url)

    def _explain(self, error: httpx.UnsupportedProtocol, url: httpx.URL) -> None:
        raise NotImplementedError

    def _receive(self, request: httpx.Request, response: httpx.Response, start: float, *, at_once: bool) -> bool:
        """Make the client's response of a transport's, as the end of httpx's `_send_single_request` does.

        `at_once`: if nothing is left to do but to read a body that is there, have it as if it were read, and say so.
        """
        response._request = request
        response.default_encoding = self._default_encoding
        is_special = has_any(response.headers, _SPECIAL)
        # Extracting cookies where there are none costs a third of httpx's own time, and changes nothing in a plain jar.
        if (is_special and has_any(response.headers, _COOKIES)) or type(self._cookies.jar) is not CookieJar:
            self.cookies.extract_cookies(response)
        if logger.isEnabledFor(logging.INFO):
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
        assert isinstance(response.stream, self._body)
        if not response.is_closed:  # mocks return what has been read already: nobody closes it any more
            response.stream = self._bound(response.stream, response, start)
        return False


class SyncPolicyClient(PolicyClient, httpx.Client):
    """`httpx.Client`, but `_handle` carries a request out in place of a transport."""

    _choice = genuine(httpx.Client, "_transport_for_url")
    _own_transport = (HTTPTransport, "handle_request")
    _late_transport = LateTransport
    _httpx_client = httpx.Client
    _body = SyncByteStream
    _bound = BoundStream

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request as `httpx.Client.send` does, past what it does not need."""
        if auth is not USE_CLIENT_DEFAULT or not self._sends_as_usual(request):
            return super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        start = time.perf_counter()
        try:
            response = self._handle(request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        response.history = []
        if self._receive(request, response, start, at_once=not stream):
            return response
        if response.status_code in REDIRECTS and response.has_redirect_location:
            response = self._redirected(request, response, follow=follow_redirects)
        if not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response

    def _redirected(
        self, request: httpx.Request, response: httpx.Response, *, follow: bool | UseClientDefault
    ) -> httpx.Response:
        """Go on from an answer that sends the request elsewhere, as the loop in `_send_handling_redirects` does."""
        try:
            following = self._build_redirect_request(request, response)
            if not (self.follow_redirects if isinstance(follow, UseClientDefault) else follow):
                response.next_request = following
                return response
            response.read()
        except BaseException:
            response.close()
            raise
        return self._send_handling_redirects(following, follow_redirects=True, history=[response])

    def _handle(self, request: httpx.Request) -> httpx.Response:
        raise NotImplementedError

    def _send_single_request(self, request: httpx.Request) -> httpx.Response:
        start = time.perf_counter()
        if not isinstance(request.stream, SyncByteStream):
            raise RuntimeError("Attempted to send an async request with a sync Client instance.")  # noqa: TRY004 - as httpx
        try:
            response = self._handle(request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        self._receive(request, response, start, at_once=False)
        return response


SyncPolicyClient._steps = AsWritten(SyncPolicyClient, *_STEPS)


class AsyncPolicyClient(PolicyClient, httpx.AsyncClient):
    """`httpx.AsyncClient`, but `_handle` carries a request out in place of a transport."""

    _choice = genuine(httpx.AsyncClient, "_transport_for_url")
    _own_transport = (AsyncHTTPTransport, "handle_async_request")
    _late_transport = AsyncLateTransport
    _httpx_client = httpx.AsyncClient
    _body = AsyncByteStream
    _bound = AsyncBoundStream

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request as `httpx.AsyncClient.send` does, past what it does not need."""
        if auth is not USE_CLIENT_DEFAULT or not self._sends_as_usual(request):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        start = time.perf_counter()
        try:
            response = await self._handle(request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        response.history = []
        if self._receive(request, response, start, at_once=not stream):
            return response
        if response.status_code in REDIRECTS and response.has_redirect_location:
            response = await self._redirected(request, response, follow=follow_redirects)
        if not stream:
            try:
                await response.aread()
            except BaseException:
                await response.aclose()
                raise
        return response

    async def _redirected(
        self, request: httpx.Request, response: httpx.Response, *, follow: bool | UseClientDefault
    ) -> httpx.Response:
        """Go on from an answer that sends the request elsewhere, as the loop in `_send_handling_redirects` does."""
        try:
            following = self._build_redirect_request(request, response)
            if not (self.follow_redirects if isinstance(follow, UseClientDefault) else follow):
                response.next_request = following
                return response
            await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return await self._send_handling_redirects(following, follow_redirects=True, history=[response])

    def _handle(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        raise NotImplementedError

    async def _send_single_request(self, request: httpx.Request) -> httpx.Response:
        start = time.perf_counter()
        if not isinstance(request.stream, AsyncByteStream):
            raise RuntimeError("Attempted to send an sync request with an AsyncClient instance.")  # noqa: TRY004 - as httpx
        try:
            response = await self._handle(request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        self._receive(request, response, start, at_once=False)
        return response


AsyncPolicyClient._steps = AsWritten(AsyncPolicyClient, *_STEPS)
