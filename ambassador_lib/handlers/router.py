"""The router filter: the cluster, header mutations and rewrites on the way down; response mutations on the way up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .._httpx import has_any, make_headers
from ..algorithms.overrides import strict_fault, take_overrides
from ..call import Call, Next
from ..errors import AmbassadorError, LocalReply, LocalReplyError
from ..routing.mutations import set_lower_header

if TYPE_CHECKING:
    from ..policy.model import HttpConnectionManager
    from ..routing.compiled import CompiledRoute
    from ..runtime.base import Runtime
    from ..upstream.serving import Serving


DECORATOR = b"x-envoy-decorator-operation"


class Router:
    """Source: `envoy.extensions.filters.http.router.v3.Router`, in the order of semantics 1.7."""

    __slots__ = (
        "_answers", "_changes_request", "_changes_response", "_count_tries", "_is_traced", "_only_removes",
        "_operation", "_respects_expected", "_route", "_runtime", "_service_time", "_strict",
    )  # fmt: skip

    def __init__(
        self,
        route: CompiledRoute,
        manager: HttpConnectionManager,
        *,
        runtime: Runtime,
        as_response: bool,
    ) -> None:
        self._route = route
        self._runtime = runtime
        self._service_time = as_response and not route.suppress_envoy_headers
        self._count_tries = route.virtual_host.model.include_attempt_count_in_response
        self._changes_response = route.changes_response or self._count_tries
        self._changes_request = route.changes_request
        self._only_removes = frozenset() if self._count_tries else route.only_removes
        self._answers = route.answers
        self._is_traced = manager.tracing is not None
        decorator = route.model.decorator
        told = "" if decorator is None or decorator.propagate is False else decorator.operation
        self._operation = told.encode()
        self._strict = manager.router.strict_check_headers
        self._respects_expected = manager.router.respect_expected_rq_timeout

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        if self._answers and (local := self._route.local_response(call)) is not None:
            status, headers, body = local  # direct responses and redirects are never exceptions (contract)
            return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
        try:
            self.request(call)
            response = await next(call)
        except AmbassadorError as error:
            self.failed(call, error)
            raise
        self.response(call, response)
        return response

    def request(self, call: Call) -> None:
        """Do what the route says to the request; raises what refuses it."""
        call.suppress_envoy_headers = self._route.suppress_envoy_headers
        cluster: Serving | None = call.cluster
        if cluster is None or cluster.shedding is not None:
            self._check_cluster(call)
        if call.internal or call.responds is not None:  # filters may ask on behalf of anybody (verified)
            self._check_strictly(call)
            call.overrides = take_overrides(call.headers, respect_expected=self._respects_expected)
        if self._is_traced:
            self._name_operation(call)
        if self._changes_request:
            self._route.apply_request(call, call.choice)

    def failed(self, call: Call, error: AmbassadorError) -> None:
        """Change the reply in the upstream's place as its response would have been."""
        reply = error.reply
        if reply.flag == "UT" and call.overrides is not None and call.overrides.alt_response:
            reply.status, reply.body = 204, ""  # x-envoy-upstream-rq-timeout-alt-response (semantics 2)
        call.flag(reply.flag)  # before the mutations, which may name them
        call.report.details = reply.details
        self._mutate(call, reply.status, reply.headers)
        reply.mutated = True

    def response(self, call: Call, response: httpx.Response) -> None:
        """Change the upstream's response."""
        if not self._service_time and not call.set_cookies:
            if not self._changes_response:
                return
            if self._only_removes and not has_any(response.headers, self._only_removes):
                return
        headers = response.headers.raw
        before = headers.copy()
        if self._service_time:
            self._set_service_time(call, headers)
        if self._tells_operation(call):
            headers.append((DECORATOR, self._operation))
        headers += [(b"set-cookie", cookie) for cookie in call.set_cookies]
        self._mutate(call, response.status_code, headers)
        if headers != before:
            response.headers = make_headers(headers)

    def _check_cluster(self, call: Call) -> None:
        if call.cluster is None:
            name = repr(call.choice.cluster) if call.choice is not None else "named by the request"
            raise LocalReplyError(
                f"no cluster {name}", reply=LocalReply(self._route.cluster_not_found, "", "NC", "cluster_not_found")
            )
        if call.cluster.shedding is not None:
            call.cluster.shedding.check()

    def _check_strictly(self, call: Call) -> None:
        fault = strict_fault(call.headers, self._strict) if self._strict else None
        if fault is None:
            return
        name, value = fault
        message = f"invalid header '{name}' with value '{value}'"
        details = f"request_headers_failed_strict_check{{{name}}}"
        raise LocalReplyError(message, reply=LocalReply(400, message, "IH", details))

    def _name_operation(self, call: Call) -> None:
        """Tell the upstream the operation's name; only an outbound listener does, else a request's own counts."""
        if call.listener.traffic_direction == "OUTBOUND":
            if self._operation:
                set_lower_header(call.headers, DECORATOR, self._operation)
        elif call.header(DECORATOR) is not None:
            call.headers[:] = [header for header in call.headers if header[0] != DECORATOR]
            call.names_operation = True

    def _tells_operation(self, call: Call) -> bool:
        """Whether the caller is told the operation's name: a listener that is not outbound does, as a reply's dress."""
        listener = call.listener
        return (
            self._service_time
            and self._operation != b""
            and not call.names_operation
            and listener.http_connection_manager.tracing is not None
            and listener.traffic_direction != "OUTBOUND"
        )

    def _mutate(self, call: Call, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._changes_response:
            return
        # Envoy counts a try for which no host was found.
        before = 0 if call.redirection is None else call.redirection.tries
        tries = len(call.report.attempts) - before or int("UH" in call.report.flags)
        if self._count_tries and tries:
            headers[:] = [header for header in headers if header[0].lower() != b"x-envoy-attempt-count"]
            headers.append((b"x-envoy-attempt-count", b"%d" % tries))
        self._route.apply_response(call, call.choice, status, headers)

    def _set_service_time(self, call: Call, headers: list[tuple[bytes, bytes]]) -> None:
        """Milliseconds from the end of the request, earlier tries and back-off included (semantics 3.9)."""
        if call.request_ended is None:
            return
        headers[:] = [header for header in headers if header[0].lower() != b"x-envoy-upstream-service-time"]
        took = int((self._runtime.now() - call.request_ended) * 1000)
        headers.append((b"x-envoy-upstream-service-time", b"%d" % max(0, took)))
