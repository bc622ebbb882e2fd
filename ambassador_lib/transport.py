"""The two httpx transports: they make a `Call` of a request, find its way into the stack and step it.

`AmbassadorTransport` and `AsyncAmbassadorTransport` share everything but how a coroutine is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx

from . import surroundings as world
from ._httpx import (
    AsyncWatchedTransport,
    WatchedTransport,
    adapted,
    passes_on,
    pristine,
)
from .call import Answer, Call
from .entrance import BlockingEntrance, Entrance, Entry, is_closed
from .options import Options, check_transport
from .policy import Policy
from .runtime.blocking import BlockingRuntime
from .runtime.clock import SystemClock
from .runtime.dice import SystemDice
from .runtime.once import Once
from .runtime.stepping import run_sync
from .twins import Twinned

if TYPE_CHECKING:
    import pybreaker
    import tenacity

    from .at_work import PolicyAtWork
    from .engine.base import Engine
    from .engine.wire import Network
    from .errors import PolicyError
    from .plain import PlainStack
    from .policy.model import Listener
    from .runtime.base import Clock, Random, Runtime
    from .surroundings import Surroundings

# A policy at work and what it stands on (tenacity, OpenTelemetry, httpcore) are imported with the first policy.

PolicySource = str | os.PathLike[str] | Mapping[str, Any] | Policy
READY_TIMEOUT = 60.0


class _Ambassador(Twinned):
    """What the two transports share: the policy, its stack, and the choice of a way in."""

    closes_inner = True
    """False where somebody else closes `inner`: a client closes its own transports."""
    entrance: Entrance
    _is_of_client = False

    def __init__(
        self,
        policy: PolicySource | None = None,
        *,
        inner: Any = None,
        local_replies: Literal["raise", "response"] = "raise",
        retry_safety: Literal["idempotent", "policy"] = "idempotent",
        retry: tenacity.BaseRetrying | None = None,
        breaker_listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        breaker_storage: Callable[[str], pybreaker.CircuitBreakerStorage] | None = None,
        unmatched: Literal["passthrough", "reject"] = "passthrough",
        timeout: Any = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        _one_of("local_replies", local_replies, ("raise", "response"))
        _one_of("retry_safety", retry_safety, ("idempotent", "policy"))
        _one_of("unmatched", unmatched, ("passthrough", "reject"))
        inner = adapted(inner)
        check_transport("inner", inner, self._method)
        self.policy = load(policy)
        self._inner = inner
        self._unmatched = unmatched
        self._timeout = None if timeout is None else httpx.Timeout(timeout).as_dict()
        self._has_own_clock, self._has_own_random = clock is not None, random is not None
        self._options = Options(
            as_response=local_replies == "response",
            idempotent_only=retry_safety == "idempotent",
            retry=retry,
            breaker_listeners=breaker_listeners,
            breaker_storage=breaker_storage,
            clock=SystemClock() if clock is None else clock,
            random=SystemDice() if random is None else random,
        )
        self._prepare(self._options)
        if (around := world.installed) is not None:
            self._twin(around)  # what is wrong with the policy comes out here, as ever
        elif self.policy is not None and not world.begins_late:
            self._begin()

    def _prepare(self, options: Options) -> None:
        """Have all of a transport's own that is no parameter."""
        self._options = options
        self._clock: Clock = options.clock
        self._runtime = self._make_runtime()
        self.entrance = self._entrance_kind(self._clock.monotonic, self._timeout, is_of_client=self._is_of_client)
        self._begun = Once(partial(self._put_to_work, self._inner), drop=_drop)
        self._plain = Once(self._make_plain)
        # While httpx is patched calls go where the patch sees them, at their logical URL: mocks (respx, pytest-httpx),
        # which answer, and instrumentations (OpenTelemetry's), which pass them on.
        self._watched = {
            passing: Once(partial(self._put_to_work_watched, passes_on=passing), drop=_drop)
            for passing in (False, True)
        }
        self._own_passthrough = Once(self._make_passthrough)
        self._kept_twin: tuple[Surroundings, Self] | None = None

    def _begin(self) -> PolicyAtWork:
        """Put the policy to work: at once, unless the transport was made while it was to leave that to its twin."""
        self.entrance.at_work = at_work = self._begun.get()[0]
        return at_work

    @property
    def _at_work(self) -> PolicyAtWork | None:
        at_work: PolicyAtWork | None = self.entrance.at_work
        return at_work

    @property
    def _closed(self) -> bool:
        return self.entrance.is_closed

    def serve_client(self) -> None:
        """Be the transport of a client of ours.

        It has seen to whoever patches httpx, closes `inner`, and marks a timeout that nobody set; elsewhere httpx's
        default is known by its value alone.
        """
        self.closes_inner = False
        self._is_of_client = self.entrance.is_of_client = True

    # What differs between the two transports.

    _method: str
    """Which method `inner` must have."""
    _entrance_kind: type[Entrance]

    def _make_runtime(self) -> Runtime:
        raise NotImplementedError

    def _make_engine(self, inner: Any) -> Engine:
        raise NotImplementedError

    def _make_passthrough(self) -> Any:
        raise NotImplementedError

    def _make_watched(self, *, passes_on: bool) -> Any:
        raise NotImplementedError

    # What does not.

    def _put_to_work_watched(self, *, passes_on: bool) -> tuple[PolicyAtWork, Engine]:
        return self._put_to_work(self._make_watched(passes_on=passes_on))

    def _put_to_work(self, inner: Any) -> tuple[PolicyAtWork, Engine]:
        from .at_work import PolicyAtWork

        assert self.policy is not None, "without a policy nothing claims a URL"
        engine = self._make_engine(inner)
        return PolicyAtWork(self.policy, self._runtime, engine, self._options), engine

    def _network(self) -> Network | None:
        """Return what connections are made with in the surroundings, `None` for sockets."""
        around = self._options.surroundings
        return None if around is None else around.network(blocking=self._method == "handle_request")

    @property
    def current_policy(self) -> Policy | None:
        """What is in force at this moment: the policy with the listeners, routes, clusters and endpoints that were
        discovered; `None` for the safe defaults."""
        at_work = self._acting._policy_at_work()
        return None if at_work is None else at_work.policy

    @property
    def listeners(self) -> Sequence[Listener]:
        """The listeners of `current_policy`, at less cost; what they say of routes is what is written down."""
        at_work = self._acting._policy_at_work()
        return () if at_work is None else at_work.listeners

    @property
    def discovery_errors(self) -> Mapping[str, PolicyError]:
        """Why the latest content of a followed file could not be used, or not all of it, by the file's path.

        While a path is in here, what that file said before is still in force. Each of these is also logged to
        `ambassador_lib.discovery`.
        """
        at_work = self._acting._policy_at_work()
        return {} if at_work is None else at_work.discovery_errors

    def _policy_at_work(self) -> PolicyAtWork | None:
        return self._begin() if self._at_work is None and self.policy is not None else self._at_work

    def claims(self, url: httpx.URL) -> int:
        """Return the contract's rule by which the policy claims `url`: 1, 2, or 0 for not at all.

        Without a policy every HTTP URL is claimed, by rule 2.
        """
        at_work = self._acting._policy_at_work()
        if at_work is None:
            return 2 if url.scheme in ("http", "https") else 0
        entry = at_work.find(url)
        return 0 if entry is None else entry.rule

    def _entry(self, url: httpx.URL) -> Entry | None:
        at_work = self._at_work
        if at_work is None:
            if self.policy is None:
                return None
            at_work = self._begin()
        entry = at_work.find(url)
        if entry is None or self._inner is not None or self._is_of_client or pristine():
            return entry
        return self._watched[passes_on()].get()[0].find(url)

    def _passthrough(self) -> Any:
        return self._inner if self._inner is not None else self._own_passthrough.get()

    def _way_past(self, request: httpx.Request, transport: Any) -> Any:
        """Return the transport for what the policy does not claim; `transport` is what the client would use."""
        if transport is None:
            transport = self._passthrough()
        around = self._options.surroundings
        return transport if around is None else around.passthrough(request, transport)

    def _call(self, request: httpx.Request, entry: Entry | None = None) -> Call:
        return self.entrance.call(request, entry)

    def _refusal(self) -> Entry | None:
        """The way of a URL that nothing claims, where the policy's word is final (`unmatched="reject"`)."""
        if self._closed:
            raise is_closed()
        if self._unmatched == "reject" and self._at_work is not None:
            return self._at_work.nobody
        return None

    def _make_plain(self) -> PlainStack:
        from .plain import PlainStack

        return PlainStack(self._runtime, self._options)

    def _close_stacks(self) -> list[Engine]:
        """Stop discovery and return the engines still to be closed."""
        self.entrance.is_closed = True
        if (plain := self._plain.made) is not None:
            plain.close()
        engines: list[Engine] = []
        if (begun := self._begun.made) is not None:
            begun[0].close()
            is_inner = self._inner is not None and getattr(begun[1], "transport", None) is self._inner
            if self.closes_inner or not is_inner:
                engines.append(begun[1])
        for watched in filter(None, (once.made for once in self._watched.values())):
            watched[0].close()
            engines.append(watched[1])
        return engines

    def __repr__(self) -> str:
        return f"<{type(self).__name__} policy={self.policy!r}>"


class AmbassadorTransport(_Ambassador, httpx.BaseTransport):
    """The sidecar's work as a transport for any `httpx.Client`.

    `policy`: a path, a parsed document, a `Policy`, or `None` for safe defaults on every host (bounded retries of
    idempotent requests on connection trouble, a breaker per host). `inner`: the connection engine underneath, any
    transport of httpx or httpx2; default the library's own. The other parameters are those of `Client`.

    Raises `PolicyError` when the policy cannot be used, `ValueError` for an unknown value of a parameter.
    """

    _method = "handle_request"
    _entrance_kind = BlockingEntrance

    def _make_runtime(self) -> BlockingRuntime:
        return BlockingRuntime(self._clock)

    def _make_engine(self, inner: Any) -> Engine:
        from .engine.foreign import ForeignEngine
        from .engine.pooled import PooledEngine

        network = self._network()
        if isinstance(inner, WatchedTransport):
            from .engine.watched import WatchedEngine

            own = PooledEngine(clock=self._clock, network=network)
            return WatchedEngine(inner, own, self._clock, dials=inner.passes_on)
        foreign = None if inner is None else ForeignEngine(inner, clock=self._clock)
        if foreign is None or (network is not None and foreign.dials):
            return PooledEngine(clock=self._clock, network=network)
        return foreign

    def _end_engine(self, engine: Engine) -> None:
        run_sync(engine.close())

    def _make_passthrough(self) -> httpx.HTTPTransport:
        return httpx.HTTPTransport()

    def _make_watched(self, *, passes_on: bool) -> WatchedTransport:
        return WatchedTransport(lambda _: self._passthrough(), passes_on=passes_on)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request out. Raises the contract's errors, or httpx's own for what the policy does not claim."""
        return self.handle_over(request, None)

    def handle_over(self, request: httpx.Request, passthrough: httpx.BaseTransport | None) -> httpx.Response:
        """As `handle_request`, with the transport to use for what the policy does not claim."""
        around = world.installed
        if around is not None and self._options.surroundings is None:
            return self._twin(around).handle_over(request, passthrough)
        at_work = self._at_work
        entry = self._entry(request.url) if at_work is None or not self._is_of_client else at_work.find(request.url)
        if entry is not None or (entry := self._refusal()) is not None:
            return run_sync(entry.chain(self._call(request, entry)))
        transport = self._way_past(request, passthrough)
        if self.policy is not None:
            response: httpx.Response = transport.handle_request(request)
            return response
        return run_sync(self._plain.get().handle(self._call(request), transport))

    def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait, as Envoy's start-up does, for first resolutions and first health checks.

        `timeout` is in seconds; raises `NotReadyError` when it is over.
        """
        if (at_work := self._acting._policy_at_work()) is not None:
            run_sync(at_work.ready(timeout))

    def close(self) -> None:
        """End everything that this transport started, and close `inner` as httpx closes what it is given."""
        if self._closed:
            return
        for engine in self._close_stacks():
            run_sync(engine.close())
        if (begun := self._begun.made) is not None:
            run_sync(begun[0].ended())
        if self._kept_twin is not None:
            self._kept_twin[1].close()
        if self._options.surroundings is not None:
            return
        if (passthrough := self._own_passthrough.made) is not None:
            passthrough.close()
        if self._inner is not None and begun is None and self.closes_inner:
            self._inner.close()


class AsyncAmbassadorTransport(_Ambassador, httpx.AsyncBaseTransport):
    """The sidecar's work as a transport for any `httpx.AsyncClient`; see `AmbassadorTransport`."""

    _method = "handle_async_request"
    _entrance_kind = Entrance

    def _make_runtime(self) -> Runtime:
        from .runtime.loop import LoopRuntime

        return LoopRuntime(self._clock)

    def _make_engine(self, inner: Any) -> Engine:
        from .engine.foreign import AsyncForeignEngine
        from .engine.pooled import AsyncPooledEngine

        network = self._network()
        if isinstance(inner, AsyncWatchedTransport):
            from .engine.watched import AsyncWatchedEngine

            own = AsyncPooledEngine(clock=self._clock, network=network)
            return AsyncWatchedEngine(inner, own, self._clock, dials=inner.passes_on)
        foreign = None if inner is None else AsyncForeignEngine(inner, clock=self._clock)
        if foreign is None or (network is not None and foreign.dials):
            return AsyncPooledEngine(clock=self._clock, network=network)
        return foreign

    def _make_passthrough(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport()

    def _make_watched(self, *, passes_on: bool) -> AsyncWatchedTransport:
        return AsyncWatchedTransport(lambda _: self._passthrough(), passes_on=passes_on)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request out. Raises the contract's errors, or httpx's own for what the policy does not claim."""
        return await self.handle_over(request, None)

    def handle_over(self, request: httpx.Request, passthrough: httpx.AsyncBaseTransport | None) -> Answer:
        """As `handle_async_request`, with the transport to use for what the policy does not claim."""
        around = world.installed
        if around is not None and self._options.surroundings is None:
            around.check_loop()
            return self._twin(around).handle_over(request, passthrough)
        at_work = self._at_work
        entry = self._entry(request.url) if at_work is None or not self._is_of_client else at_work.find(request.url)
        if entry is not None or (entry := self._refusal()) is not None:
            return entry.chain(self._call(request, entry))
        transport = self._way_past(request, passthrough)
        if self.policy is not None:
            past: Answer = transport.handle_async_request(request)
            return past
        return self._plain.get().handle(self._call(request), transport)

    async def ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Wait, as Envoy's start-up does, for first resolutions and first health checks.

        `timeout` is in seconds; raises `NotReadyError` when it is over.
        """
        if (around := world.installed) is not None:
            around.check_loop()
        if (at_work := self._acting._policy_at_work()) is not None:
            await at_work.ready(timeout)

    async def aclose(self) -> None:
        """End everything that this transport started, and close `inner` as httpx closes what it is given."""
        if self._closed:
            return
        for engine in self._close_stacks():
            await engine.close()
        if (begun := self._begun.made) is not None:
            await begun[0].ended()
        if self._kept_twin is not None:
            await self._kept_twin[1].aclose()
        if self._options.surroundings is not None:
            return
        if (passthrough := self._own_passthrough.made) is not None:
            await passthrough.aclose()
        if self._inner is not None and begun is None and self.closes_inner:
            await self._inner.aclose()


def load(policy: PolicySource | None) -> Policy | None:
    """Return the policy that a `policy=` argument means."""
    if policy is None or isinstance(policy, Policy):
        return policy
    if isinstance(policy, Mapping):
        return Policy.parse(policy)
    return Policy.load(policy)


def _drop(begun: tuple[PolicyAtWork, Engine]) -> None:
    begun[0].close()


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(repr, allowed))}")
