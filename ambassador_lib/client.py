"""`Client` and `AsyncClient`: httpx's clients, with a policy between them and the network."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack

import httpx

from ._httpx import (
    AsyncClientOptions,
    AsyncPolicyClient,
    AsyncWatchedTransport,
    ClientOptions,
    SyncPolicyClient,
    WatchedTransport,
    adapted,
    pristine,
)
from .options import check_transport
from .policy import Policy
from .runtime.afresh import after_fork
from .transport import READY_TIMEOUT, AmbassadorTransport, AsyncAmbassadorTransport, PolicySource, load

if TYPE_CHECKING:
    import pybreaker
    import tenacity

    from .errors import PolicyError
    from .policy.model import Listener
    from .runtime.base import Clock, Random

Ambassador = TypeVar("Ambassador", bound=AmbassadorTransport | AsyncAmbassadorTransport)

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a listener says, not what is bound


class Client(SyncPolicyClient):
    """`httpx.Client` under a policy: the URLs that a sidecar listened on are served from within the process.

        with Client("envoy.yaml") as client:
            client.get("http://127.0.0.1:15001/charges")

    A URL is the policy's where its host and port are a listener's address, or where its host is a domain of a virtual
    host (other than a bare `*`) or a cluster's name. All other URLs go their way as with httpx. An entry of `mounts=`
    or `proxy=` comes before domains and cluster names, never before a listener's address; a proxy of the environment
    concerns the other URLs only. Where the policy has exactly
    one listener, relative URLs go to it (unless `base_url` says otherwise). May be shared between threads.

    Parameters:
    - `policy`: what to enforce: the path of an Envoy v3 bootstrap file, a parsed document (`dict`), a `Policy`, or
      `None` (default) for safe defaults on every host: bounded retries of idempotent requests on connection trouble,
      and a breaker per host.
    - `local_replies`: what a failure looks like that the ambassador itself decides on: `"raise"` (default), an
      exception that is also the httpx exception one expects; `"response"`, the very response that the sidecar would
      have sent, with replies of upstreams dressed as the sidecar would, too.
    - `retry_safety`: `"idempotent"` (default) retries a request that is not idempotent and has no `Idempotency-Key`
      only where the upstream cannot have started on it; `"policy"` retries every method as the policy says.
    - `retry`: a `tenacity.Retrying`, or `None` (default). Both it and the policy must want a retry; the longer wait
      and the earlier stop win.
    - `breaker_listeners`: pybreaker listeners, told of every breaker's changes of state, calls and failures.
    - `breaker_storage`: makes a `pybreaker.CircuitBreakerStorage` for a breaker's name; by default in memory.
    - `unmatched`: what becomes of a URL that nothing in the policy claims: `"passthrough"` (default) as httpx,
      `"reject"` raises `NoRouteError`, whatever `mounts=` and proxies say. Without a policy it has no effect.
    - `clock`, `random`: the only sources of time and randomness; by default the system's.
    - `timeout`: in seconds or an `httpx.Timeout`. For the policy's URLs its default is the policy's timeouts, not
      httpx's 5 s; one that is set, here or for a call, bounds the wait between bytes (`read`, `write`) over all tries
      together and raises httpx's plain timeouts. `connect` and `pool` concern other URLs only.
    - `transport`: the connection engine underneath, any transport of httpx or httpx2, for the policy's URLs and all
      others. It is closed with the client. By default the library's own engine serves the policy's URLs, and httpx's
      the others.
    - everything else that `httpx.Client` takes, with its meaning.

    Raises `PolicyError` for a policy that cannot be used, `ValueError` for an unknown value of a parameter, and
    `TypeError` for one of a wrong type.
    """

    def __init__(
        self,
        policy: PolicySource | None = None,
        *,
        local_replies: Literal["raise", "response"] = "raise",
        retry_safety: Literal["idempotent", "policy"] = "idempotent",
        retry: tenacity.BaseRetrying | None = None,
        breaker_listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None = None,
        unmatched: Literal["passthrough", "reject"] = "passthrough",
        clock: Clock | None = None,
        random: Random | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        options = {**options, "transport": adapted(options.get("transport"))}
        check_transport("transport", options.get("transport"), "handle_request")
        self._policy = load(policy)
        super().__init__(**options)
        self._tell_given(options)
        self._constructed: httpx.BaseTransport = self._transport
        self._given = options.get("transport")
        make = partial(
            AmbassadorTransport,
            self._policy,
            local_replies=local_replies,
            retry_safety=retry_safety,
            retry=retry,
            breaker_listeners=breaker_listeners,
            breaker_storage=breaker_storage,
            unmatched=unmatched,
            clock=clock,
            random=random,
        )
        self._ambassadors = _Ambassadors(
            lambda: make(inner=self._given),
            lambda passes_on: make(inner=WatchedTransport(self._rewired_transport, passes_on=passes_on)),
        )
        self._ambassador()

    @property
    def policy(self) -> Policy | None:
        """What is enforced; `None` for the safe defaults."""
        return self._policy

    @property
    def current_policy(self) -> Policy | None:
        """What is in force at this moment: `policy`, and what was discovered; `None` for the safe defaults."""
        return self._ambassador().current_policy

    @property
    def discovery_errors(self) -> Mapping[str, PolicyError]:
        """Why the latest content of a followed file could not be used, or not all of it, by the file's path.

        While a path is in here, what that file said before is still in force.
        """
        return self._ambassador().discovery_errors

    def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait, as Envoy's start-up does, for first resolutions and first health checks.

        `timeout` is in seconds, 60 by default. Raises `NotReadyError` when it is over. Calls need not wait for this:
        a call that is made earlier waits within its own timeout.
        """
        self._ambassador().ready(timeout)

    def close(self) -> None:
        """End everything that the client started, and close its transports."""
        try:
            super().close()
        finally:
            self._close_ambassadors()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        finally:
            self._close_ambassadors()

    def _close_ambassadors(self) -> None:
        for ambassador in self._ambassadors.drain():
            ambassador.close()

    def _ambassador(self) -> AmbassadorTransport:
        if self._is_watched():
            return self._ambassadors.get_watched(passes_on=self._passes_on(self._constructed))
        return self._ambassadors.get()

    def _relative_base(self) -> httpx.URL | None:
        policy = self._policy
        if policy is None:
            return None
        return _only_listener(policy.listeners if policy.dynamic_resources is None else self._ambassador().listeners)

    def _is_watched(self) -> bool:
        return self._policy is not None and (
            self._is_rewired(self._constructed, self._given) or (self._given is None and not pristine())
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        ambassador = self._ambassador()
        otherwise, is_mounted = self._route_past(request.url)
        if is_mounted and self._policy is not None and ambassador.claims(request.url) == 2:
            response: httpx.Response = otherwise.handle_request(request)
            return response
        return ambassador.handle_over(request, otherwise)

    def _explain(self, error: httpx.UnsupportedProtocol, url: httpx.URL) -> None:
        _explain_relative(error, url, self.current_policy)


class AsyncClient(AsyncPolicyClient):
    """`httpx.AsyncClient` under a policy: `Client` for asyncio and trio.

        async with AsyncClient("envoy.yaml") as client:
            await client.get("http://127.0.0.1:15001/charges")

    The parameters are those of `Client`; `ready` is awaited, and `aclose` ends everything. May be shared between tasks.
    """

    def __init__(
        self,
        policy: PolicySource | None = None,
        *,
        local_replies: Literal["raise", "response"] = "raise",
        retry_safety: Literal["idempotent", "policy"] = "idempotent",
        retry: tenacity.BaseRetrying | None = None,
        breaker_listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None = None,
        unmatched: Literal["passthrough", "reject"] = "passthrough",
        clock: Clock | None = None,
        random: Random | None = None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        options = {**options, "transport": adapted(options.get("transport"))}
        check_transport("transport", options.get("transport"), "handle_async_request")
        self._policy = load(policy)
        super().__init__(**options)
        self._tell_given(options)
        self._constructed: httpx.AsyncBaseTransport = self._transport
        self._given = options.get("transport")
        make = partial(
            AsyncAmbassadorTransport,
            self._policy,
            local_replies=local_replies,
            retry_safety=retry_safety,
            retry=retry,
            breaker_listeners=breaker_listeners,
            breaker_storage=breaker_storage,
            unmatched=unmatched,
            clock=clock,
            random=random,
        )
        self._ambassadors = _Ambassadors(
            lambda: make(inner=self._given),
            lambda passes_on: make(inner=AsyncWatchedTransport(self._rewired_transport, passes_on=passes_on)),
        )
        self._ambassador()

    @property
    def policy(self) -> Policy | None:
        """What is enforced; `None` for the safe defaults."""
        return self._policy

    @property
    def current_policy(self) -> Policy | None:
        """What is in force at this moment: `policy`, and what was discovered; `None` for the safe defaults."""
        return self._ambassador().current_policy

    @property
    def discovery_errors(self) -> Mapping[str, PolicyError]:
        """Why the latest content of a followed file could not be used, or not all of it, by the file's path.

        While a path is in here, what that file said before is still in force.
        """
        return self._ambassador().discovery_errors

    async def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait, as Envoy's start-up does, for first resolutions and first health checks.

        `timeout` is in seconds, 60 by default. Raises `NotReadyError` when it is over. Calls need not wait for this:
        a call that is made earlier waits within its own timeout.
        """
        await self._ambassador().ready(timeout)

    async def aclose(self) -> None:
        """End everything that the client started, and close its transports."""
        try:
            await super().aclose()
        finally:
            await self._close_ambassadors()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc_value, traceback)
        finally:
            await self._close_ambassadors()

    async def _close_ambassadors(self) -> None:
        for ambassador in self._ambassadors.drain():
            await ambassador.aclose()

    def _ambassador(self) -> AsyncAmbassadorTransport:
        if self._is_watched():
            return self._ambassadors.get_watched(passes_on=self._passes_on(self._constructed))
        return self._ambassadors.get()

    def _relative_base(self) -> httpx.URL | None:
        policy = self._policy
        if policy is None:
            return None
        return _only_listener(policy.listeners if policy.dynamic_resources is None else self._ambassador().listeners)

    def _is_watched(self) -> bool:
        return self._policy is not None and (
            self._is_rewired(self._constructed, self._given) or (self._given is None and not pristine())
        )

    def _handle(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        ambassador = self._ambassador()
        otherwise, is_mounted = self._route_past(request.url)
        if is_mounted and self._policy is not None and ambassador.claims(request.url) == 2:
            past: Coroutine[Any, Any, httpx.Response] = otherwise.handle_async_request(request)
            return past
        return ambassador.handle_over(request, otherwise)

    def _explain(self, error: httpx.UnsupportedProtocol, url: httpx.URL) -> None:
        _explain_relative(error, url, self.current_policy)


class _Ambassadors(Generic[Ambassador]):
    """A client's ambassadors: the usual one, and those for as long as somebody watches httpx's transports.

    Each is made when it is first needed, so that a client made under a mock resolves no name and dials nobody.
    """

    def __init__(self, make: Callable[[], Ambassador], make_watched: Callable[[bool], Ambassador]) -> None:
        self._make = make
        self._make_watched = make_watched
        self._lock = Lock()
        self.usual: Ambassador | None = None
        """The usual one, once it has been made."""
        self._watched: dict[bool, Ambassador] = {}
        self._is_drained = False
        after_fork(self)

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here."""
        self._lock = Lock()

    def get(self) -> Ambassador:
        """Return the usual one."""
        if self.usual is not None:
            return self.usual
        with self._lock:
            if self.usual is None:
                self.usual = self._prepared(self._make)
            return self.usual

    def get_watched(self, *, passes_on: bool) -> Ambassador:
        """Return the one for mocks, or the one for those who pass on what they see."""
        with self._lock:
            if passes_on not in self._watched:
                self._watched[passes_on] = self._prepared(partial(self._make_watched, passes_on))
            return self._watched[passes_on]

    def _prepared(self, make: Callable[[], Ambassador]) -> Ambassador:
        if self._is_drained:
            raise RuntimeError("The client has been closed.")
        ambassador = make()
        ambassador.serve_client()
        return ambassador

    def drain(self) -> list[Ambassador]:
        """Return, once, all that must be closed."""
        with self._lock:
            self._is_drained = True
            made = [*self._watched.values(), *([] if self.usual is None else [self.usual])]
            self.usual, self._watched = None, {}
            return made


def _explain_relative(error: httpx.UnsupportedProtocol, url: httpx.URL, policy: Policy | None) -> None:
    """Say of a relative URL that is nowhere's what would help: httpx asks for an `http://`."""
    if policy is not None and not url.scheme and not url.host:
        count = len(policy.listeners)
        error.args = (f"the relative URL {str(url)!r} needs a policy with exactly one listener; this one has {count}",)


def _only_listener(listeners: Sequence[Listener]) -> httpx.URL | None:
    """Return where a policy's listener is called, if it has exactly one."""
    if len(listeners) != 1:
        return None
    address = listeners[0].address.socket_address
    if address is None:
        return None
    return _listening_at(_ANY_ADDRESS.get(address.address, address.address), address.port_value)


@lru_cache(maxsize=64)
def _listening_at(host: str, port: int | None) -> httpx.URL:
    """Return the URL of an address: one object, by which it is known that relative URLs still go there."""
    return httpx.URL(scheme="http", host=host, port=port, path="/")
