"""Every way in which a call can end in a reply of the sidecar's own: how to bring it about, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from ambassador_lib import (
    AmbassadorError,
    LocalReplyError,
    NoHealthyUpstreamError,
    NoRouteError,
    PerTryTimeoutError,
    RouteTimeoutError,
    UpstreamConnectError,
    UpstreamOverflowError,
    UpstreamResetError,
)
from ambassador_lib.errors import UpstreamDurationError

from .documents import Document, bootstrap, options, route
from .harness import Hang, Step

RESET = "upstream connect error or disconnect/reset before headers. reset reason: "
BEFORE = "upstream_reset_before_response_started"
CLOSING = {"connection": "close"}
OVERLOADED = {"x-envoy-overloaded": "true"}


@dataclass(frozen=True)
class Failure:
    """One row of the contract's table of failures."""

    name: str
    policy: Document
    step: Step
    error: type[AmbassadorError]
    base: type[Exception]
    status: int
    body: str
    flag: str | None
    details: str
    headers: dict[str, str] = field(default_factory=dict)
    tries: int = 1
    grpc: str | None = None

    def __str__(self) -> str:
        return self.name


def retry_policy(**fields: object) -> Document:
    return bootstrap(route={"retry_policy": fields})


FAILURES = [
    Failure(
        "overflow",
        bootstrap(cluster={"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}),
        200, UpstreamOverflowError, httpx.PoolTimeout,
        503, f"{RESET}overflow", "UO", f"{BEFORE}{{overflow}}", OVERLOADED,
    ),
    Failure(
        "no-host",
        bootstrap(endpoints=0),
        200, NoHealthyUpstreamError, httpx.ConnectError,
        503, "no healthy upstream", "UH", "no_healthy_upstream", tries=0,
    ),
    Failure(
        "route-timeout",
        bootstrap(route={"timeout": "1s"}),
        Hang(2), RouteTimeoutError, httpx.ReadTimeout,
        504, "upstream request timeout", "UT", "response_timeout",
    ),
    Failure(
        "per-try-timeout",
        retry_policy(per_try_timeout="1s"),
        Hang(2), PerTryTimeoutError, httpx.ReadTimeout,
        504, "upstream request timeout", "UT", "upstream_per_try_timeout",
    ),
    Failure(
        "refused",
        bootstrap(),
        httpx.ConnectError("Connection refused"), UpstreamConnectError, httpx.ConnectError,
        503, f"{RESET}remote connection failure", "UF", f"{BEFORE}{{remote_connection_failure|Connection_refused}}",
    ),
    Failure(
        "connect-timeout",
        bootstrap(),
        httpx.ConnectTimeout("slow"), UpstreamConnectError, httpx.ConnectError,
        503, f"{RESET}connection timeout", "UF", f"{BEFORE}{{connection_timeout}}",
    ),
    Failure(
        "closed",
        bootstrap(),
        httpx.ReadError("closed"), UpstreamResetError, httpx.RemoteProtocolError,
        503, f"{RESET}connection termination", "UC", f"{BEFORE}{{connection_termination}}",
    ),
    Failure(
        "stream-reset",
        bootstrap(),
        httpx.RemoteProtocolError("<StreamReset stream_id:1>"), UpstreamResetError, httpx.RemoteProtocolError,
        503, f"{RESET}remote reset", "UR", f"{BEFORE}{{remote_reset}}",
    ),
    Failure(
        "garbage",
        bootstrap(),
        httpx.RemoteProtocolError("illegal status line"), UpstreamResetError, httpx.RemoteProtocolError,
        502, f"{RESET}protocol error", "UPE", f"{BEFORE}{{protocol_error}}",
    ),
    Failure(
        "no-route",
        bootstrap(routes=[route(match={"path": "/elsewhere"})]),
        200, NoRouteError, httpx.UnsupportedProtocol,
        404, "", "NR", "route_not_found", tries=0,
    ),
    Failure(
        "no-cluster",
        bootstrap(routes=[route(None, cluster_header="x-nobody")]),
        200, LocalReplyError, httpx.TransportError,
        503, "", "NC", "cluster_not_found", tries=0,
    ),
    Failure(
        "idle",
        bootstrap(route={"timeout": "0s", "idle_timeout": "1s"}),
        Hang(2), LocalReplyError, httpx.TransportError,
        504, "stream timeout", "SI", "stream_idle_timeout",
    ),
    Failure(
        "max-stream-duration",
        bootstrap(route={"max_stream_duration": {"max_stream_duration": "1s"}}),
        Hang(2), LocalReplyError, httpx.TransportError,
        504, "downstream duration timeout", None, "max_duration_timeout", grpc="4",
    ),
    Failure(
        "per-try-idle-timeout",
        retry_policy(per_try_idle_timeout="1s"),
        Hang(2), PerTryTimeoutError, httpx.ReadTimeout,
        504, "upstream request timeout", "UT", "upstream_per_try_idle_timeout",
    ),
    Failure(
        "upstream-max-stream-duration",
        bootstrap(cluster=options(max_stream_duration="1s")),
        Hang(2), UpstreamDurationError, httpx.TransportError,
        504, "upstream max stream duration reached", "UMSDR", "upstream_max_stream_duration_reached",
    ),
    Failure(
        "underscore",
        bootstrap(manager={"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}),
        200, LocalReplyError, httpx.TransportError,
        400, "Bad Request", "DPE", "http1.unexpected_underscore", CLOSING, tries=0,
    ),
    Failure(
        "path",
        bootstrap(manager={"normalize_path": True}),
        200, LocalReplyError, httpx.TransportError,
        400, "", None, "path_normalization_failed", CLOSING, tries=0,
    ),
]  # fmt: skip
