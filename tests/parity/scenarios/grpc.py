"""gRPC-shaped requests: what replies look like, what is retried, what outlier detection counts (semantics 12.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import Document, boot, cluster, direct, http2, outlier, retry, route, runtime
from ..expect import Between, Re
from ..look import bodies, flags, got, got_each, hits, lines, sent, spread, status
from ..model import Call, Scenario, get, pause, post, times
from ..upstreams.replies import Reply, Upstream, grpc, hang, reset

CALL = {"content-type": "application/grpc", "te": "trailers"}
PROTO = {"content-type": "application/grpc+proto"}
WEB = {"content-type": "application/grpc-web"}
P = "upstream connect error or disconnect/reset before headers. reset reason: "
TOKENS = {"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}


STANDS_FOR = {
    200: "2", 400: "13", 401: "16", 403: "7", 404: "12", 408: "2", 418: "2", 429: "14", 500: "2", 502: "14", 503: "14",
    504: "14",
}  # fmt: skip


def call(path: str = "/pkg.Service/Method", headers: Any = CALL, **fields: Any) -> Any:
    return post(path, b"\0\0\0\0\0", headers, **fields)


def over_http2(*routes: Document, **fields: Any) -> Document:
    return boot(list(routes), [cluster("a", **http2(), **fields)])


SCENARIOS = [
    Scenario(
        "grpc_local_replies_by_status",
        "local replies to gRPC requests are trailers-only: 200, grpc-status from the HTTP status, the text as message",
        rule="12.2",
        upstreams={"a": hang(), "gone": Upstream(kind="refused")},
        policy=boot(
            [
                route("gone", "/gone"),
                route("empty", "/empty"),
                route("a", "/slow", timeout="0.1s"),
                direct(403, "a%b ü", "/direct"),
            ],
            [cluster(), cluster("gone"), cluster("empty", [])],
        ),
        calls=[call("/gone"), call("/empty"), call("/slow", PROTO), call("/nowhere"), call("/direct")],
        expect=[
            status(200, 200, 200, 200, 200), bodies("", "", "", "", ""),
            got_each("grpc-status", "14", "14", "14", "12", "7"),
            got_each(
                "grpc-message", f"{P}remote connection failure", "no healthy upstream", "upstream request timeout",
                None, "a%25b %C3%BC",
            ),
            got_each("content-type", *["application/grpc"] * 5), flags("UF", "UH", "UT", "NR", "-"),
        ],
    ),
    Scenario(
        "grpc_status_of_every_status",
        "which grpc-status stands for which HTTP status; UNKNOWN for all others",
        rule="12.2 grpc-status from HTTP",
        policy=boot([direct(status, None, f"/{status}") for status in STANDS_FOR]),
        calls=[call(f"/{status}") for status in STANDS_FOR],
        expect=[got_each("grpc-status", *STANDS_FOR.values()), hits(a=0)],
    ),
    Scenario(
        "grpc_local_reply_to_head",
        "a HEAD is told the status alone: no message, no length",
        rule="12.2",
        policy=boot([direct(403, "text", "/direct"), route("empty", "/empty")], [cluster("empty", [])]),
        calls=[Call("/direct", "HEAD", CALL), Call("/empty", "HEAD", CALL)],
        expect=[
            status(200, 200), got_each("grpc-status", "7", "14"), got_each("grpc-message", None, None),
            got_each("content-length", None, None), got_each("content-type", *["application/grpc"] * 2),
        ],
    ),
    Scenario(
        "grpc_web_is_http",
        "grpc-web is no gRPC: its local replies are plain",
        rule="12.2",
        policy=boot([route(match={"prefix": "/a"})]),
        calls=[call("/b", WEB), call("/b", {"content-type": "application/grpcx"}), get("/b", CALL)],
        expect=[status(404, 404, 200), got_each("grpc-status", None, None, "12")],
    ),
    Scenario(
        "grpc_match",
        "grpc: {} matches gRPC's content types alone",
        rule="1.5 grpc",
        upstreams={"a": 200, "b": 200},
        policy=boot([route("a", match={"prefix": "/", "grpc": {}}), route("b")], [cluster("a"), cluster("b")]),
        calls=[call(), call(headers=PROTO), call(headers=WEB), get()],
        expect=[bodies("a", "a", "b", "b")],
    ),
    Scenario(
        "grpc_timeouts_as_deadline_exceeded",
        "with its guard on, a timeout of the route or of a try is DEADLINE_EXCEEDED; other 504s stay UNAVAILABLE",
        rule="12.2 grpc_timeout_returns_deadline_exceeded",
        upstreams={"a": hang()},
        policy=boot(
            [
                route("a", "/route", timeout="0.1s"),
                route("a", "/try", retry_policy={"per_try_timeout": "0.1s"}),
                route("a", "/idle", idle_timeout="0.1s"),
            ],
            **runtime(envoy__reloadable_features__grpc_timeout_returns_deadline_exceeded=True),
        ),
        calls=[call("/route"), call("/try"), call("/idle")],
        expect=[got_each("grpc-status", "4", "4", "14")],
    ),
    Scenario(
        "transport_failure_reason_in_the_body",
        "with its guard off, the body of a 503 says why there is no connection",
        rule="12.1 hide_transport_failure_reason_in_response_body",
        upstreams={"a": Upstream(kind="refused")},
        policy=boot(
            [route(prefix="/again", retry_policy=retry("5xx", 1)), route()],
            **runtime(envoy__reloadable_features__hide_transport_failure_reason_in_response_body=False),
        ),
        calls=[get(), get("/again"), call()],
        expect=[
            bodies(
                f"{P}remote connection failure, transport failure reason: delayed connect error: Connection refused",
                f"{P.replace('reset reason', 'retried and the latest reset reason')}remote connection failure, "
                "transport failure reason: delayed connect error: Connection refused",
                "",
            ),
            got({"grpc-message": Re(".*transport failure reason: delayed connect error: Connection refused")}),
        ],
    ),
    Scenario(
        "grpc_retry_on_status_header",
        "each gRPC class retries its grpc-status in the head, and 5xx retries none of them",
        rule="3.2 gRPC tokens",
        upstreams={
            "a": Upstream(
                {
                    **{f"/{token}": [grpc(code, in_headers=True), grpc(0)] for token, code in TOKENS.items()},
                    "/5xx": [grpc(14, in_headers=True), grpc(0)],
                    "/other/cancelled": grpc(14, in_headers=True),
                },
                kind="http2",
            )
        },
        policy=over_http2(
            route(prefix="/other", retry_policy=retry("cancelled", 1)),
            *(route(prefix=f"/{token}", retry_policy=retry(token, 1)) for token in (*TOKENS, "5xx")),
        ),
        calls=[*(call(f"/{token}") for token in (*TOKENS, "5xx")), call("/other/cancelled")],
        expect=[hits(a=12), status(*[200] * 7), got_each("grpc-status", *[None] * 5, "14", "14")],
    ),
    Scenario(
        "grpc_status_in_trailers_is_not_retried",
        "a grpc-status in the trailers comes too late to be retried",
        rule="3.2 gRPC tokens",
        upstreams={"a": Upstream(grpc(14), kind="http2")},
        policy=over_http2(route(retry_policy=retry("unavailable,5xx", 3))),
        calls=[call()],
        expect=[status(200), hits(a=1), bodies("\0\0\0\0\0")],
    ),
    Scenario(
        "grpc_status_is_retried_for_anybody",
        "gRPC classes look at the header whatever the content type and the HTTP status",
        rule="3.2 gRPC tokens",
        upstreams={"a": [Reply(404, {"grpc-status": "14"}), 200]},
        policy=boot([route(retry_policy=retry("unavailable", 1))]),
        calls=[get()],
        expect=[status(200), hits(a=2)],
    ),
    Scenario(
        "grpc_stream_reset",
        "a stream that is reset is UNAVAILABLE to a gRPC caller, after the retries that 5xx makes",
        rule="12.2",
        upstreams={"a": Upstream({"/once": [reset(), grpc(0)], "*": reset()}, kind="http2")},
        policy=over_http2(route(retry_policy=retry("5xx", 1))),
        calls=[call("/once"), call("/always")],
        expect=[
            status(200, 200), hits(a=4), got_each("grpc-status", None, "14"), flags("-", "UR,URX"),
            got({"grpc-message": Re(".*retried and the latest reset reason: remote reset")}),
        ],
    ),
    Scenario(
        "grpc_over_http2",
        "what an HTTP/2 upstream sees of a gRPC request, and its answer's body as it comes",
        rule="12.2",
        upstreams={"a": Upstream(grpc(0), kind="http2")},
        policy=over_http2(route()),
        calls=[call()],
        expect=[
            status(200), lines("POST /pkg.Service/Method"), bodies("\0\0\0\0\0"),
            sent({"te": "trailers", "content-type": "application/grpc", ":scheme": "http"}),
            got({"content-type": "application/grpc"}),
        ],
    ),
    Scenario(
        "grpc_outliers",
        "outlier detection counts the grpc-status of a gRPC request's answer, and no other's",
        rule="5 feeding",
        upstreams={
            "a": Upstream({"/grpc": grpc(14, in_headers=True), "*": grpc(14, in_headers=True)}, kind="http2"),
            "b": Upstream(grpc(0), kind="http2"),
        },
        policy=boot(
            [route("plain", "/plain"), route("counted")],
            [
                cluster(name, ["a", "b"], **http2(), **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100))
                for name in ("plain", "counted")
            ],
        ),
        calls=[times(4, get("/plain")), times(6, call("/grpc"))],
        expect=[hits(a=3, b=7)],
    ),
    Scenario(
        "grpc_outliers_by_status",
        "which statuses count as failures of the endpoint: those that stand for a 5xx",
        rule="5 feeding",
        upstreams={"a": Upstream({f"/{code}": grpc(code, in_headers=True) for code in range(18)}, kind="http2"),
                   "b": Upstream(grpc(0), kind="http2")},
        policy=boot(
            [route(f"c{code}", match={"path": f"/{code}"}) for code in range(18)],
            [
                cluster(f"c{code}", ["a", "b"], **http2(), **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100))
                for code in range(18)
            ],
        ),
        # The pause lets Envoy's worker hear of the ejections; after it a status that counts costs its host a call.
        calls=[
            *(times(2, call(f"/{code}")) for code in range(18)),
            pause(0.3),
            *(times(2, call(f"/{code}")) for code in range(18)),
        ],
        expect=[
            hits(a=Between(18, 36), b=Between(36, 54)),
            spread({"": 18, "\0\0\0\0\0": 18}, 0, 36),
            *(
                spread({"\0\0\0\0\0": 2} if fails else {"": 1, "\0\0\0\0\0": 1}, 36 + 2 * code, 38 + 2 * code)
                for code, fails in ((code, code in (2, 4, 12, 13, 14, 15)) for code in range(17))
            ),
        ],
    ),
]  # fmt: skip
