"""The clients' last step (`_send_single_request`), where auth, redirects and event hooks lie behind and a transport is
chosen. Wrapping the transport itself (`_init_transport`) would hide it from those who look for it.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, ClassVar

import httpx
from httpx import AsyncHTTPTransport, HTTPTransport
from httpx._client import USE_CLIENT_DEFAULT, UseClientDefault
from httpx._types import AsyncByteStream, AuthTypes, SyncByteStream
from httpx._utils import URLPattern

from .builder import RequestBuilder
from .late import LATE_OPTIONS, AsyncLateTransport, LateTransport, can_wait
from .mounts import Mounts
from .options import AsyncClientOptions, ClientOptions
from .patched import AsWritten, connects, genuine, passes_on
from .responses import REDIRECTS, AsyncBoundStream, BoundStream
from .timeouts import UnsetTimeout
from .usual import Verb, can_send, carry, deliver, receive
from .watched import stand_before_pool

_STEPS = (
    "_merge_url", "_merge_headers", "_merge_cookies", "_merge_queryparams", "headers", "cookies", "params", "timeout",
    "base_url", "_set_timeout", "_build_request_auth", "_send_handling_auth", "_send_handling_redirects",
    "_send_single_request", "__setattr__", "__delattr__", "_httpx_client.build_request", "_httpx_client._merge_url",
    "_httpx_client.send", "_response.read", "_response.aread",
)  # fmt: skip
"""What a call of httpx's client passes from `build_request` on."""
_IN_A_VERB = ("request", "build_request", "send")
"""... and before, in `client.get` and the like."""
_VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


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
    _last: ClassVar[type] = RequestBuilder
    """The last of our classes, behind which httpx's come."""

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


def _look_through(kind: type[PolicyClient], make: Callable[[Verb, str], Callable[..., Any]]) -> None:
    """Have a class of clients know what its calls pass, and its `get` and the like pass no more than they need."""
    kind._steps = AsWritten(kind, *_STEPS)
    steps = AsWritten(kind, *_STEPS, *_IN_A_VERB)
    for name in _VERBS:
        verb = make(Verb(name, kind._httpx_client, steps), name)
        setattr(kind, name, update_wrapper(verb, getattr(kind._httpx_client, name)))


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
        if auth is not USE_CLIENT_DEFAULT or not can_send(self, request):
            return super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        return deliver(self, request, stream, follow_redirects)

    def _finish(
        self, request: httpx.Request, response: httpx.Response, *, stream: bool, follow: bool | UseClientDefault
    ) -> httpx.Response:
        """Follow an answer that sends the request elsewhere, and read it unless it is streamed."""
        if response.status_code in REDIRECTS and response.has_redirect_location:
            response = self._redirected(request, response, follow=follow)
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
            response: httpx.Response = carry(self, request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        receive(self, request, response, start, at_once=False)
        return response


def _blocking(verb: Verb, name: str) -> Callable[..., Any]:
    def call(self: Any, url: httpx.URL | str, **given: Any) -> Any:
        request = verb.request(self, url, given)
        if request is None:
            return getattr(super(SyncPolicyClient, self), name)(url, **given)
        return deliver(self, request, False, given.get("follow_redirects", USE_CLIENT_DEFAULT))

    return call


_look_through(SyncPolicyClient, _blocking)


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
        if auth is not USE_CLIENT_DEFAULT or not can_send(self, request):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        return await self._deliver(request, stream=stream, follow=follow_redirects)

    async def _deliver(
        self, request: httpx.Request, *, stream: bool, follow: bool | UseClientDefault
    ) -> httpx.Response:
        """Send a request as httpx's client does, past what it does not need."""
        start = time.perf_counter()
        try:
            response: httpx.Response = await carry(self, request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        response.history = []
        if receive(self, request, response, start, at_once=not stream):
            return response
        if response.status_code in REDIRECTS and response.has_redirect_location:
            response = await self._redirected(request, response, follow=follow)
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
            response: httpx.Response = await carry(self, request)
        except httpx.RequestError as error:
            self._tell(error, request)
            raise
        receive(self, request, response, start, at_once=False)
        return response


def _awaited(verb: Verb, name: str) -> Callable[..., Any]:
    async def call(self: Any, url: httpx.URL | str, **given: Any) -> Any:
        request = verb.request(self, url, given)
        if request is None:
            return await getattr(super(AsyncPolicyClient, self), name)(url, **given)
        return await self._deliver(request, stream=False, follow=given.get("follow_redirects", USE_CLIENT_DEFAULT))

    return call


_look_through(AsyncPolicyClient, _awaited)
