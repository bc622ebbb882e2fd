"""Health checks of every kind, and what a failed one does (semantics 6.1, 6.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, endpoint, health_check, http2, panic, tls, typed
from ..expect import Having
from ..look import connections, details, flags, hits, see, status
from ..model import Look, Run, Scenario, Until, get, health, pause, times, wait_for
from ..upstreams.replies import Reply, Tls, Upstream, grpc

GRPC_PATH = "/grpc.health.v1.Health/Check"
TIMES = {
    "timeout": "1s",
    "interval": "0.1s",
    "no_traffic_interval": "0.1s",
    "unhealthy_threshold": 3,
    "healthy_threshold": 1,
}
RAW = {"name": "raw", "typed_config": typed("extensions.transport_sockets.raw_buffer.v3.RawBuffer")}


def serving(status: int = 1) -> Reply:
    return Reply(
        headers=[("content-type", "application/grpc")],
        body=b"\0\0\0\0\2\x08" + bytes([status]),
        trailers=[("grpc-status", "0")],
    )


def over_grpc(answer: Any) -> Upstream:
    return Upstream(kind="http2", health=answer, health_path=GRPC_PATH)


def grpc_check(**fields: Any) -> Document:
    return {**TIMES, "grpc_health_check": fields}


def checked(*checks: Document, **fields: Any) -> Document:
    return boot(clusters=[cluster("a", health_checks=list(checks), **{**panic(0), **fields})])


def asked(**headers: Any) -> Look:
    """Headers of the first check."""

    def seen(run: Run) -> dict[str, Any]:
        return {name: run.at("a").checks[0].header(name) for name in headers}

    return see("asked", seen, Having(**headers))


def up(upstream: str = "a", count: int = 1) -> Any:
    return wait_for(lambda run: len(run.at(upstream).checks) >= count)


SCENARIOS = [
    Scenario(
        "hc_grpc_serving",
        "gRPC: SERVING makes a host healthy; the check asks for the service at the cluster's name",
        rule="6.1 grpc_health_check",
        upstreams={"a": over_grpc(serving())},
        policy=checked(
            grpc_check(service_name="orders", initial_metadata=[{"header": {"key": "x-a", "value": "b"}}]), **http2()
        ),
        calls=[up(), get()],
        expect=[
            status(200),
            asked(
                **{
                    ":method": "POST",
                    ":authority": "a",
                    "content-type": "application/grpc",
                    "te": "trailers",
                    "user-agent": "Envoy/HC",
                    "x-a": "b",
                    "grpc-timeout": "1000m",
                }
            ),
            see("message", lambda run: run.at("a").checks[0].body, b"\0\0\0\0\x08\x0a\x06orders"),
        ],
    ),
    Scenario(
        "hc_grpc_not_serving",
        "gRPC: another status than SERVING fails the host at once, whatever unhealthy_threshold",
        rule="6.2 failures of the answer",
        upstreams={"a": over_grpc(serving())},
        policy=checked({**grpc_check(), "unhealthy_threshold": 100}, **http2()),
        calls=[
            get(),
            health("a", serving(2)),
            Until(get(), lambda outcome: outcome.status == 503, within=4.0),
        ],
        expect=[status(200, 503)],
    ),
    Scenario(
        "hc_grpc_unimplemented",
        "gRPC: a service that knows no health checks is unhealthy",
        rule="6.1 grpc_health_check",
        upstreams={"a": over_grpc(grpc(12, "unimplemented", in_headers=True))},
        policy=checked(grpc_check(authority="health.test"), **http2()),
        calls=[up(), get()],
        expect=[status(503), details("no_healthy_upstream"), asked(**{":authority": "health.test"})],
    ),
    Scenario(
        "hc_http_over_http2",
        "codec_client_type HTTP2: HTTP checks over HTTP/2",
        rule="6.1 codec_client_type",
        upstreams={"a": Upstream(kind="http2", health=200)},
        policy=checked(health_check(http={"codec_client_type": "HTTP2"}), **http2()),
        calls=[up(), get()],
        expect=[status(200), asked(**{":authority": "a", ":path": "/health", "user-agent": "Envoy/HC"})],
    ),
    Scenario(
        "hc_service_name",
        "service_name_matcher: a host that says to be another service is unhealthy, one that says nothing, too",
        rule="6.1 service_name_matcher",
        upstreams={
            "a": Upstream(health=Reply(headers={"x-envoy-upstream-healthchecked-cluster": "orders-eu"})),
            "b": Upstream(health=Reply(headers={"x-envoy-upstream-healthchecked-cluster": "billing"})),
            "c": Upstream(health=200),
        },
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b", "c"],
                    health_checks=[health_check(http={"service_name_matcher": {"prefix": "orders"}})],
                    **panic(0),
                )
            ]
        ),
        calls=[up("a"), up("b"), up("c"), times(6, get())],
        expect=[status(*[200] * 6), hits(a=6, b=0, c=0)],
    ),
    Scenario(
        "hc_retriable_statuses",
        "a retriable status counts to unhealthy_threshold, any other unexpected one fails the host at once",
        rule="6.1 retriable_statuses",
        upstreams={"a": Upstream(health=[200, 503, 503, 200]), "b": Upstream(health=[200, 500, 200])},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[
                        health_check(
                            unhealthy_threshold=3,
                            healthy_threshold=50,
                            http={"retriable_statuses": [{"start": 503, "end": 504}]},
                        )
                    ],
                    **panic(0),
                )
            ]
        ),
        calls=[up("a", 4), up("b", 3), pause(0.05), times(4, get())],
        expect=[status(*[200] * 4), hits(a=4, b=0)],
    ),
    Scenario(
        "hc_payloads",
        "send and receive: the body is sent, and all parts must be in the answer, in order",
        rule="6.1 send, receive",
        upstreams={"a": Upstream(health=Reply(body="all is well")), "b": Upstream(health=Reply(body="well, all"))},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[
                        health_check(
                            http={
                                "method": "POST",
                                "send": {"text": b"ping".hex()},
                                "receive": [{"text": b"all".hex()}, {"text": b"well".hex()}],
                            }
                        )
                    ],
                    **panic(0),
                )
            ]
        ),
        calls=[up("a"), up("b"), times(4, get())],
        expect=[
            hits(a=4, b=0),
            see(
                "sent", lambda run: (run.at("a").checks[0].line, run.at("a").checks[0].body), ("POST /health", b"ping")
            ),
        ],
    ),
    Scenario(
        "hc_two_checks",
        "of two checks both must pass",
        rule="6.1 more than one",
        upstreams={"a": Upstream({"/other": 503, "*": 200}, health=200), "b": Upstream(health=200)},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[
                        {**health_check(), "name": "one"},
                        {**health_check("/other"), "name": "two"},
                    ],
                    **panic(0),
                )
            ]
        ),
        calls=[up("a"), up("b"), pause(0.15), times(4, get("/x"))],
        expect=[
            status(*[200] * 4),
            see("asked", lambda run: sorted({one.line for one in run.at("a").requests}), ["GET /other"]),
        ],
    ),
    Scenario(
        "hc_failure_gives_up_connections",
        "the connections to a host that fails are not used again when it is back",
        rule="6.2 close_connections_on_host_health_failure",
        upstreams={"a": Upstream(health=200)},
        policy=checked(health_check()),
        calls=[
            up(),
            times(2, get("/a")),
            health("a", 503),
            Until(get("/b"), lambda outcome: outcome.status == 503),
            health("a", 200),
            Until(get("/c"), lambda outcome: outcome.status == 200),
        ],
        expect=[
            see(
                "same connection",
                lambda run: [run.at("a").requests[n].connection == run.at("a").requests[0].connection for n in (1, -1)],
                [True, False],
            ),
        ],
    ),
    Scenario(
        "hc_connection_per_check",
        "reuse_connection false: each check has a connection of its own",
        rule="6.1 reuse_connection",
        upstreams={"a": Upstream(health=200), "b": Upstream(health=200)},
        policy=boot(
            clusters=[
                cluster("a", health_checks=[health_check(reuse_connection=False)]),
                cluster("b", health_checks=[health_check()]),
            ]
        ),
        calls=[up("a", 3), up("b", 3)],
        expect=[
            see("of the first checks", lambda run: [one.connection for one in run.at("a").checks[:3]], [1, 2, 3]),
            connections(b=1),
        ],
    ),
    Scenario(
        "hc_alpn",
        "tls_options: checks speak their own protocols, or none, whatever the cluster's requests do",
        rule="6.1 tls_options",
        upstreams={
            "a": Upstream(health=200, tls=Tls(alpn=("http/1.1", "check"))),
            "b": Upstream(health=200, tls=Tls(alpn=("http/1.1", "check"))),
        },
        policy=boot(
            clusters=[
                cluster("a", health_checks=[health_check(tls_options={"alpn_protocols": ["check"]})], **tls()),
                cluster("b", health_checks=[health_check()], **tls()),
            ]
        ),
        calls=[up("a"), up("b"), get()],
        expect=[
            see(
                "protocols",
                lambda run: [
                    run.at("a").checks[0].tls["alpn"],
                    run.at("b").checks[0].tls["alpn"],
                    run.at("a").requests[0].tls["alpn"],
                ],
                ["check", None, "http/1.1"],
            ),
        ],
    ),
    Scenario(
        "hc_transport_socket_criteria",
        "transport_socket_match_criteria choose the socket of checks in place of the endpoint's metadata",
        rule="6.1 transport_socket_match_criteria",
        upstreams={"a": Upstream(health=200, tls=Tls()), "b": Upstream(health=200)},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    [endpoint(name, metadata={"envoy.transport_socket_match": {"secure": "yes"}}) for name in "ab"],
                    health_checks=[health_check(transport_socket_match_criteria={"plain": "yes"})],
                    transport_socket_matches=[
                        {"name": "tls", "match": {"secure": "yes"}, "transport_socket": tls()["transport_socket"]},
                        {"name": "raw", "match": {"plain": "yes"}, "transport_socket": RAW},
                    ],
                    connect_timeout="0.5s",
                    **panic(0),
                )
            ]
        ),
        calls=[up("b"), pause(0.1), get()],
        expect=[
            status(503),
            flags("UF"),
            see("checks", lambda run: [bool(run.at(name).checks) for name in "ab"], [False, True]),
        ],
    ),
]
