"""One route and one virtual host, ready for calls: everything that can be decided before a call is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..algorithms.grpc_timeout import StreamDuration
from ..algorithms.runtime_value import DENOMINATORS
from ..policy.model.core import FractionalPercent, Percent
from ..policy.model.listener import HttpConnectionManager, Tracing
from ..policy.model.route import Route, RouteAction, RouteConfiguration, RouteTracing, VirtualHost
from .clusters import Choice, Pick, compile_pick, only_choice
from .hash_policy import SessionCookie, compile_hash_policy
from .match import Condition, compile_match, only_prefix
from .mirrors import compile_mirrors
from .mutations import HeaderMutation, brings_own, compile_request, compile_response
from .redirects import compile_redirects
from .respond import Answer, compile_answer, frame
from .rewrite import (
    as_sent,
    compile_host_rewrite,
    compile_path_format,
    compile_path_rewrite,
    rewrite_host,
    rewrite_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..call import Call, Header
    from ..runtime.base import Clock, Random
    from .local_reply import LocalReplyRewrite

DEFAULT_TIMEOUT = 15.0
"""Seconds. Source: `RouteAction.timeout`."""

DEFAULT_BODY_LIMIT = 1024 * 1024
"""Bytes of a request body kept for retries. Source: `Listener.per_connection_buffer_limit_bytes`."""

DEFAULT_IDLE_TIMEOUT = 300.0
"""Seconds. Source: `HttpConnectionManager.stream_idle_timeout`."""

_NOT_FOUND_STATUS = {"SERVICE_UNAVAILABLE": 503, "NOT_FOUND": 404, "INTERNAL_SERVER_ERROR": 500}


class Settings:
    """What all routes of one table share."""

    __slots__ = ("clock", "config", "cookie_value", "random", "replies", "runtime", "suppress_envoy_headers")

    def __init__(
        self,
        config: RouteConfiguration,
        runtime: Mapping[str, Any],
        random: Random,
        clock: Clock,
        *,
        suppress_envoy_headers: bool = False,
        replies: LocalReplyRewrite | None = None,
    ) -> None:
        self.config = config
        self.replies = replies
        self.runtime = runtime
        self.random = random
        self.clock = clock
        self.cookie_value = SessionCookie(random)
        self.suppress_envoy_headers = suppress_envoy_headers


class CompiledVirtualHost:
    """A virtual host and its routes, each of which is made when it is first looked at: of thousands few are called."""

    __slots__ = ("_made", "_settings", "counts_tries", "model", "name", "tells_timeout_retry")

    def __init__(self, model: VirtualHost, settings: Settings) -> None:
        self.model = model
        self.name = model.name
        self.counts_tries = model.include_request_attempt_count
        self.tells_timeout_retry = model.include_is_timeout_retry_header
        self._settings = settings
        self._made: dict[int, CompiledRoute] = {}
        for place, route in enumerate(model.routes):
            if not _forwards(route):  # what it answers with may have to be read from a file
                self.route(place)

    def route(self, place: int) -> CompiledRoute:
        """Return the route at that place among the host's; always the same."""
        found = self._made.get(place)
        if found is None:
            made = CompiledRoute(self.model.routes[place], self, self._settings, place)
            found = self._made.setdefault(place, made)  # of two threads, the first one's counts
        return found

    @property
    def routes(self) -> tuple[CompiledRoute, ...]:
        """All routes, in their order."""
        return tuple(self.route(place) for place in range(len(self.model.routes)))

    def __repr__(self) -> str:
        return f"<CompiledVirtualHost {self.name!r}: {len(self.model.routes)} routes>"


class CompiledRoute:
    """A route: the condition under which it is taken, and all that follows from it.

    `place` is its number among those of its virtual host.
    `timeout` is seconds in whole milliseconds, `None` for none; `idle_timeout` the same with 0.0 for none and `None`
    where the connection manager's counts. `max_grpc_timeout` and its offset are milliseconds, `None` where not set.
    `retry_policy` is the route's, else the virtual host's.
    `changes_request` and `changes_response` are false where the two `apply_...` have nothing to do; `only_removes`
    are the names (lower case) that a response is to lose where it is changed in no other way, else it is empty.
    `answers` is true where the route has an answer of its own. `choice` is the cluster of every call, or else
    `pick_cluster(call, random)` chooses one, once a call; it gives `None` where the request names none.
    """

    __slots__ = (
        "_added", "_answer", "_brings_own", "_host_rewrite", "_path_format", "_path_rewrite", "_replies", "_request",
        "_response", "answers", "append_x_forwarded_host", "auto_host_rewrite", "changes_request",
        "changes_response", "choice", "cluster_not_found", "hash_of", "hedges", "idle_timeout", "is_prefix_only",
        "matches", "max_grpc_timeout", "mirrors", "model", "name", "only_removes", "pick_cluster", "place", "priority",
        "redirects", "retry_policy", "suppress_envoy_headers", "timeout", "tracing", "virtual_host",
    )  # fmt: skip

    def __init__(
        self,
        model: Route,
        virtual_host: CompiledVirtualHost,
        settings: Settings,
        place: int = 0,
        *,
        answer: Answer | None = None,
    ) -> None:
        self.model = model
        self.name = model.name
        self.virtual_host = virtual_host
        self.place = place
        self.tracing = _sampling(model.tracing)
        self.suppress_envoy_headers = settings.suppress_envoy_headers
        self._replies = settings.replies
        self.matches: Condition = compile_match(
            model.match,
            runtime=settings.runtime,
            random=settings.random,
            ignore_parameters=settings.config.ignore_path_parameters_in_path_matching,
        )
        self.is_prefix_only = only_prefix(model.match) is not None
        """Whether it asks for its prefix alone: who has looked that up need not ask."""
        self._compile_action(model, settings)
        # Each as a whole (semantics 3.1).
        own = model.route.retry_policy if model.route is not None else None
        self.retry_policy = virtual_host.model.retry_policy if own is None else own
        self._compile_extra_requests(model.route, virtual_host.model, settings)
        # An answer from outside is given before there is a route, so no level's mutations reach it.
        self._request, self._response = _levels(settings, virtual_host.model, model) if answer is None else ((), ())
        added = [level.only_adds for level in self._request]
        self._added = None if None in added else tuple(line for lines in added for line in lines or ())
        self._answer = answer or compile_answer(
            model, settings.clock, suppress_envoy_headers=settings.suppress_envoy_headers
        )
        self._compile_flags(model.route, virtual_host.model, settings.config)

    def _compile_action(self, model: Route, settings: Settings) -> None:
        action = model.route or RouteAction()
        forwards = model.route is not None
        self.pick_cluster: Pick = compile_pick(action, settings.runtime, settings.clock) if forwards else _pick_nothing
        self.choice = only_choice(action)
        self.hash_of = compile_hash_policy(action.hash_policy, settings.cookie_value)
        self._host_rewrite = compile_host_rewrite(action, settings.clock)
        self._path_rewrite = compile_path_rewrite(model.match, action.prefix_rewrite, action.regex_rewrite)
        self._path_format = compile_path_format(action.path_rewrite, settings.clock)
        self.auto_host_rewrite = bool(action.auto_host_rewrite)
        self.append_x_forwarded_host = action.append_x_forwarded_host
        self.cluster_not_found = _NOT_FOUND_STATUS[action.cluster_not_found_response_code]
        self.priority = action.priority
        self.timeout = _milliseconds(DEFAULT_TIMEOUT if action.timeout is None else action.timeout) or None
        self.max_grpc_timeout: tuple[int, int] | None = None
        if action.max_stream_duration is not None:  # with whatever in it (semantics 2)
            self.timeout = None
        elif action.max_grpc_timeout is not None:
            self.max_grpc_timeout = _whole(action.max_grpc_timeout), _whole(action.grpc_timeout_offset)
        self.idle_timeout = None if action.idle_timeout is None else _milliseconds(action.idle_timeout)

    def _compile_extra_requests(self, action: RouteAction | None, host: VirtualHost, settings: Settings) -> None:
        """The lists of the nearest level that has any; hedging of the route, else of the virtual host."""
        mirrors = action.request_mirror_policies if action is not None else ()
        mirrors = mirrors or host.request_mirror_policies or settings.config.request_mirror_policies
        self.mirrors = compile_mirrors(mirrors, settings.runtime, settings.clock)
        hedge = action.hedge_policy if action is not None else None
        hedge = host.hedge_policy if hedge is None else hedge
        self.hedges = hedge is not None and hedge.hedge_on_per_try_timeout
        self.redirects = None if action is None else compile_redirects(action, self.name)

    def _compile_flags(self, action: RouteAction | None, host: VirtualHost, config: RouteConfiguration) -> None:
        split = action.weighted_clusters if action is not None else None
        weights = split.clusters if split is not None else ()
        self.changes_request = bool(
            self._request
            or self._host_rewrite
            or self._path_rewrite
            or self._path_format
            or any(w.request_headers_to_add or w.request_headers_to_remove or w.host_rewrite_literal for w in weights)
        )
        self._brings_own = brings_own(
            self.model.request_headers_to_add,
            host.request_headers_to_add,
            config.request_headers_to_add,
            *(weight.request_headers_to_add for weight in weights),
        )
        self.answers = self._answer is not None
        # An answer of the route's own comes out of `local_response` with its mutations made.
        self.changes_response = self._answer is None and bool(
            self._response or any(w.response_headers_to_add or w.response_headers_to_remove for w in weights)
        )
        removals = [level.only_removes for level in self._response]
        self.only_removes: frozenset[bytes] = frozenset()
        if self.changes_response and not weights and None not in removals:
            self.only_removes = frozenset().union(*filter(None, removals))

    def body_limit(self, connection_limit: int | None) -> int:
        """Bytes of a request body to keep for retries; `connection_limit` is the listener's (semantics 3.7)."""
        model, host = self.model, self.virtual_host.model
        own = _set(model.request_body_buffer_limit, host.request_body_buffer_limit)
        if own is not None:
            return own
        limit = DEFAULT_BODY_LIMIT if connection_limit is None else connection_limit
        most = _set(model.per_request_buffer_limit_bytes, host.per_request_buffer_limit_bytes)
        return limit if most is None else min(limit, most)

    def stream_duration(self, inherited: float | None) -> StreamDuration:
        """How long a call may last; `inherited` is what the connection manager says, in seconds."""
        own = self.model.route.max_stream_duration if self.model.route is not None else None
        if own is None:
            return StreamDuration(_whole(inherited))
        return StreamDuration(
            maximum=_whole(inherited if own.max_stream_duration is None else own.max_stream_duration),
            header_max=None if own.grpc_timeout_header_max is None else _whole(own.grpc_timeout_header_max),
            header_offset=_whole(own.grpc_timeout_header_offset),
            is_told=True,
            is_withheld=_whole(inherited) > 0,
        )

    def local_response(self, call: Call) -> tuple[int, list[Header], bytes] | None:
        """Answer with status, headers and body, mutations and framing included; `None` if the route forwards."""
        answer = self._answer
        if answer is None:
            return None
        call.report.details = answer.details
        call.flag(answer.flag)
        headers = answer.headers(call)
        for level in self._response:
            level.apply(headers, call, answer.status, headers)
        status, body, replies = answer.status, answer.body, self._replies
        if answer.form is not None:
            body = answer.form.body(call, status, headers, body)
        return frame(call, status, headers, body) if replies is None else replies.finish(call, status, headers, body)

    def apply_request(self, call: Call, choice: Choice | None) -> None:
        """Change headers, authority and target in place: mutations, then the host, then the path (semantics 1.7)."""
        if not self.changes_request:
            return
        if self._brings_own:
            call.is_clean = False
        headers = call.headers
        if choice is not None and choice.weight is not None:
            for level in choice.request:
                level.apply(headers, call, 0, ())
            # Told nobody: Envoy adds neither x-envoy-original-host nor x-forwarded-host here.
            call.authority = as_sent(choice.weight.host_rewrite_literal or "") or call.authority
        if self._added is not None:
            headers += self._added
        else:
            for level in self._request:
                level.apply(headers, call, 0, ())
        rewrite = self._host_rewrite
        if rewrite is not None:
            host = rewrite if isinstance(rewrite, str) else rewrite(call)
            if host is not None:
                rewrite_host(call, host)
        if self._path_rewrite is not None:
            rewrite_path(call, self._path_rewrite(call.target), keep_original=not self.suppress_envoy_headers)
        if self._path_format is not None:
            rewrite_path(call, self._path_format(call), keep_original=not self.suppress_envoy_headers)

    def apply_response(self, call: Call, choice: Choice | None, status: int, headers: list[Header]) -> None:
        """Change a response's headers in place; replies of the sidecar's own on this route are changed, too."""
        if not self.changes_response:
            return
        for level in self._response if choice is None else (*choice.response, *self._response):
            level.apply(headers, call, status, headers)

    def __repr__(self) -> str:
        return f"<CompiledRoute {self.name!r} of {self.virtual_host.name!r}>"


def _forwards(route: Route) -> bool:
    action = route.route
    return action is not None and bool(action.cluster or action.cluster_header or action.weighted_clusters)


def idle_timeout(manager: HttpConnectionManager, route: CompiledRoute | None = None) -> float | None:
    """Return a stream's idle timeout in seconds, `None` for none."""
    idle = DEFAULT_IDLE_TIMEOUT if manager.stream_idle_timeout is None else manager.stream_idle_timeout
    if route is not None and route.idle_timeout is not None:
        idle = route.idle_timeout
    return idle or None


def _pick_nothing(_call: Call, _random: Random) -> Choice | None:
    return None


def _levels(
    settings: Settings, virtual_host: VirtualHost, route: Route
) -> tuple[tuple[HeaderMutation, ...], tuple[HeaderMutation, ...]]:
    """Return the mutations of all levels but the weighted cluster's, which comes first in either order."""
    levels: list[Route | VirtualHost | RouteConfiguration] = [route, virtual_host, settings.config]
    if settings.config.most_specific_header_mutations_wins:
        levels.reverse()
    request: list[HeaderMutation] = []
    response: list[HeaderMutation] = []
    for level in levels:
        request += compile_request(level.request_headers_to_add, level.request_headers_to_remove, settings.clock)
        response += compile_response(level.response_headers_to_add, level.response_headers_to_remove, settings.clock)
    return tuple(request), tuple(response)


def _sampling(tracing: RouteTracing | None) -> Tracing | None:
    """Return a route's shares in the form of the connection manager's, in place of which they stand."""
    if tracing is None:
        return None
    return Tracing(
        client_sampling=_percent(tracing.client_sampling),
        random_sampling=_percent(tracing.random_sampling),
        overall_sampling=_percent(tracing.overall_sampling),
    )


def _percent(share: FractionalPercent | None) -> Percent | None:
    return None if share is None else Percent(value=100 * share.numerator / DENOMINATORS[share.denominator])


def _milliseconds(seconds: float) -> float:
    """Cut to whole milliseconds as Envoy does; a float's own error must not cost one."""
    return round(seconds * 1e9) // 1_000_000 / 1000


def _whole(seconds: float | None) -> int:
    """Whole milliseconds, cut; 0 where nothing is set."""
    return round(_milliseconds(seconds or 0.0) * 1000)


def _set(own: int | None, inherited: int | None) -> int | None:
    return inherited if own is None else own
