"""The local rate limit: token buckets, one for all calls and one for each descriptor that is configured.

Source: `envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`; semantics 9.3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from ..algorithms.token_bucket import TokenBucket
from ..call import Answer, Call, Next
from ..errors import LocalReply, RateLimitedError
from ..policy.model import filters as model
from ..policy.model.core import RuntimeFractionalPercent
from ..routing.descriptors import Describe, Descriptor, compile_descriptors
from ..routing.draws import drawn, share
from ..routing.mutations import compile_request, compile_response
from ..runtime.afresh import after_fork
from .base import NOTHING, STATUS, FilterContext, Layer, Reply, Scope, mutate

TOO_MANY = 429
DYNAMIC = 20
"""Source: `max_dynamic_descriptors`."""
_LEAST_STATUS = 400
_RESOURCE_EXHAUSTED = 8


class LocalRateLimit:
    """The filter of one listener."""

    def __init__(self, config: model.LocalRateLimit, context: FilterContext) -> None:
        self._context = context
        self._own = self.prepare(config)

    def prepare(self, config: model.LocalRateLimit) -> Limit:
        """Make the buckets of one configuration."""
        return Limit(config, self._context)

    def layer(self, scope: Scope, settings: Sequence[Limit]) -> Layer:
        """The most specific level counts; a limit that is never looked at is no layer."""
        limit = settings[-1] if settings else self._own
        if not limit.can_act:
            return NOTHING
        at_work = _Limited(limit, limit.descriptors_of(scope))
        return Layer(handle=at_work.handle, respond=at_work.respond if limit.tells else None)


class Limit:
    """One configuration with its buckets."""

    def __init__(self, config: model.LocalRateLimit, context: FilterContext) -> None:
        self.config = config
        self.now = context.clock.monotonic
        self.random = context.random
        values = context.values
        self.enabled = _share(config.filter_enabled, values)
        self.enforced = _share(config.filter_enforced, values)
        self.tells = config.enable_x_ratelimit_headers == "DRAFT_VERSION_03"
        self.can_act = self.enabled[0] > 0 and (config.token_bucket is not None or bool(config.descriptors))
        self.buckets = Buckets(config)
        self.not_enforced = compile_request(config.request_headers_to_add_when_not_enforced, (), context.clock)
        self.added = compile_response(config.response_headers_to_add, (), context.clock)
        code = STATUS.get(config.status.code, 0) if config.status is not None else TOO_MANY
        self.status = code if code >= _LEAST_STATUS else TOO_MANY
        self._context = context

    def descriptors_of(self, scope: Scope) -> Describe | None:
        """Compile what the calls of a route are counted under, `None` where no descriptor has a bucket."""
        config = self.config
        if not config.descriptors:
            return None
        if config.rate_limits:
            return compile_descriptors(config.rate_limits, self._context.clock, self._context.node, count_hits=True)
        action = scope.route.model.route if scope.route is not None else None
        if scope.route is None or action is None:
            return None
        option = "INCLUDE" if action.include_vh_rate_limits else config.vh_rate_limits
        limits = action.rate_limits
        if option == "INCLUDE" or (option == "OVERRIDE" and not limits):
            limits = (*limits, *scope.route.virtual_host.model.rate_limits)
        limits = tuple(one for one in limits if not one.disable_key and (one.stage or 0) == config.stage)
        return compile_descriptors(limits, self._context.clock, self._context.node) if limits else None


class Buckets:
    """All buckets of one configuration; the calls of all threads share them."""

    def __init__(self, config: model.LocalRateLimit) -> None:
        self._config = config
        self._lock = Lock()
        self._always = config.always_consume_default_token_bucket is not False
        self._most_dynamic = config.max_dynamic_descriptors or DYNAMIC
        self._exact = {_entries(one): one.token_bucket for one in config.descriptors if _is_exact(one)}
        self._wild = [one for one in config.descriptors if not _is_exact(one)]
        self._default: TokenBucket | None = None
        self._made: dict[Descriptor, TokenBucket] = {}
        self._dynamic: list[OrderedDict[Descriptor, TokenBucket]] = [OrderedDict() for _ in self._wild]
        after_fork(self)

    def start_afresh(self) -> None:
        """In a forked child: the lock may be held by a thread that is not here; what was taken stays taken."""
        self._lock = Lock()

    def take(self, descriptors: Sequence[tuple[Descriptor, int]], now: float) -> tuple[bool, TokenBucket | None]:
        """Take from every bucket that a call is counted in; tell whether it may pass, and the bucket to tell of.

        The slowest bucket is asked first. What was taken before one refuses stays taken, as in Envoy.
        """
        with self._lock:
            found = [(bucket, hits) for one, hits in descriptors if (bucket := self._bucket(one, now)) is not None]
            found.sort(key=lambda item: item[0].rate)
            for bucket, hits in found:
                if not bucket.take(now, hits):
                    return False, bucket
            if not found or self._always:
                default = self._all(now)
                if default is not None and not default.take(now):
                    return False, default
                if not found:
                    return True, default
            return True, found[0][0]

    def tell(self, bucket: TokenBucket, now: float) -> tuple[int, int, int]:
        """Return a bucket's size, what is left in it, and the seconds until there is more."""
        with self._lock:
            return bucket.most, bucket.left(now), bucket.next_in(now)

    def _all(self, now: float) -> TokenBucket | None:
        if self._default is None and self._config.token_bucket is not None:
            self._default = _bucket(self._config.token_bucket, now)
        return self._default

    def _bucket(self, descriptor: Descriptor, now: float) -> TokenBucket | None:
        config = self._exact.get(descriptor)
        if config is not None:
            if descriptor not in self._made:
                self._made[descriptor] = _bucket(config, now)
            return self._made[descriptor]
        for wild, made in zip(self._wild, self._dynamic, strict=True):
            if _covers(wild, descriptor):
                return self._dynamic_bucket(wild, made, descriptor, now)
        return None

    def _dynamic_bucket(
        self,
        wild: model.LocalRateLimitDescriptor,
        made: OrderedDict[Descriptor, TokenBucket],
        descriptor: Descriptor,
        now: float,
    ) -> TokenBucket:
        """Return a value's own bucket; that of the value seen least recently makes room."""
        if descriptor in made:
            made.move_to_end(descriptor)
            return made[descriptor]
        if len(made) >= self._most_dynamic:
            made.popitem(last=False)
        made[descriptor] = _bucket(wild.token_bucket, now)
        return made[descriptor]


class _Limited:
    """The filter on the calls of one route."""

    def __init__(self, limit: Limit, describe: Describe | None) -> None:
        self._limit = limit
        self._describe = describe

    def handle(self, call: Call, next: Next) -> Answer:
        limit = self._limit
        if not drawn(limit.enabled, limit.random):
            return next(call)
        descriptors = self._describe(call) if self._describe is not None else ()
        allowed, bucket = limit.buckets.take(descriptors, limit.now())
        if limit.tells and bucket is not None:
            call.notes = {**(call.notes or {}), id(limit): bucket}
        if not allowed:
            self._refuse(call)
        return next(call)

    def respond(self, call: Call, reply: Reply) -> None:
        """Source: draft-polli-ratelimit-headers-03."""
        bucket = call.notes.get(id(self._limit)) if call.notes is not None else None
        if bucket is None:
            return
        size, left, reset = self._limit.buckets.tell(bucket, self._limit.now())
        reply.headers += [
            (b"x-ratelimit-limit", b"%d" % size),
            (b"x-ratelimit-remaining", b"%d" % left),
            (b"x-ratelimit-reset", b"%d" % reset),
        ]

    def _refuse(self, call: Call) -> None:
        """Raise the refusal, unless limits are only watched."""
        limit = self._limit
        if not drawn(limit.enforced, limit.random):
            for level in limit.not_enforced:
                level.apply(call.headers, call, 0, ())
            return
        grpc = _RESOURCE_EXHAUSTED if limit.config.rate_limited_as_resource_exhausted else None
        reply = LocalReply(limit.status, "local_rate_limited", "RL", "local_rate_limited", grpc_status=grpc)
        mutate(call, reply)
        for level in limit.added:
            level.apply(reply.headers, call, 0, ())
        raise RateLimitedError("a local rate limit is reached", reply=reply)


def _share(fraction: RuntimeFractionalPercent | None, values: Mapping[str, Any]) -> tuple[int, int]:
    return (0, 100) if fraction is None else share(fraction, values)


def _bucket(config: model.TokenBucket, now: float) -> TokenBucket:
    return TokenBucket(config.max_tokens, (config.tokens_per_fill or 1) / config.fill_interval, now)


def _entries(descriptor: model.LocalRateLimitDescriptor) -> Descriptor:
    return tuple((entry.key, entry.value) for entry in descriptor.entries)


def _is_exact(descriptor: model.LocalRateLimitDescriptor) -> bool:
    return all(entry.value for entry in descriptor.entries)


def _covers(wild: model.LocalRateLimitDescriptor, descriptor: Descriptor) -> bool:
    return len(wild.entries) == len(descriptor) and all(
        entry.key == key and entry.value in ("", value)
        for entry, (key, value) in zip(wild.entries, descriptor, strict=True)
    )
