"""Local replies, response flags and details, gRPC requests (semantics 11.4, 12.1, 12.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, direct, http2, redirect, retry, route, thresholds
from ..expect import Re
from ..look import bodies, body, connections, details, flags, got, got_each, hits, received, see, sent, status
from ..model import Call, Scenario, get, post, times
from ..upstreams.replies import REFUSED_STREAM, Reply, Upstream, close, goaway, grpc, hang, raw, reset

PREFIX = "upstream connect error or disconnect/reset before headers. reset reason: "


def _one(
    name: str,
    about: str,
    upstream: Any,
    code: int | str,
    text: Any,
    detail: Any,
    flag: str,
    *,
    policy: dict[str, Any] | None = None,
    **headers: Any,
) -> Scenario:
    """One call that ends in a local reply: everything of it is looked at."""
    told = {"content-type": "text/plain", "content-length": str(len(text)), "server": "envoy", "date": Re(".* GMT")}
    return Scenario(
        f"reply_{name}",
        about,
        rule="12.1",
        upstreams={"a": upstream},
        policy=policy or boot(),
        calls=[get()],
        expect=[
            status(code),
            body(text),
            details(detail),
            flags(flag),
            got({**told, "x-envoy-upstream-service-time": None, "x-envoy-overloaded": None, **headers}),
        ],
    )


_BEFORE = "upstream_reset_before_response_started"
_ENDED = ("connection termination", _BEFORE + "{connection_termination}", "UC")
_H2 = boot([], [cluster("a", **http2())])

HTTP1 = [
    _one(
        "refused",
        "a refused connection",
        Upstream(kind="refused"),
        503,
        PREFIX + "remote connection failure",
        _BEFORE + "{remote_connection_failure|delayed_connect_error:_Connection_refused}",
        "UF",
    ),
    _one(
        "no_host",
        "no host to be had",
        200,
        503,
        "no healthy upstream",
        "no_healthy_upstream",
        "UH",
        policy=boot(clusters=[cluster("a", [])]),
    ),
    _one(
        "closed",
        "closed before the head",
        close(),
        503,
        PREFIX + "connection termination",
        _BEFORE + "{connection_termination}",
        "UC",
    ),
    _one(
        "reset",
        "reset before the head",
        reset(),
        503,
        PREFIX + "connection termination",
        _BEFORE + "{connection_termination}",
        "UC",
    ),
    _one(
        "half_head",
        "closed within the head",
        close("in head"),
        502,
        PREFIX + "protocol error",
        Re(_BEFORE + r"\{protocol_error.*\}"),
        "UPE",
    ),
    _one(
        "half_head_reset",
        "reset within the head",
        reset("in head"),
        502,
        PREFIX + "protocol error",
        Re(_BEFORE + r"\{protocol_error.*\}"),
        "UPE",
    ),
    _one(
        "garbage",
        "no HTTP",
        raw(b"what is this\r\n\r\n"),
        502,
        PREFIX + "protocol error",
        Re(_BEFORE + r"\{protocol_error.*\}"),
        "UPE",
    ),
    Scenario(
        "reply_to_head",
        "a local reply to HEAD has no body",
        rule="12.1 HEAD: no body",
        upstreams={"a": Upstream(kind="refused")},
        policy=boot(),
        calls=[Call("/", "HEAD")],
        expect=[status(503), body(""), flags("UF")],
    ),
    Scenario(
        "reply_to_head_of_nothing",
        "a HEAD is told the length of a text that a GET would get, but not that there would be none",
        rule="12.1 HEAD",
        policy=boot(
            [route("none", "/none"), direct(200, None, "/direct"), redirect("/redirect"), route(prefix="/a")],
            [cluster("none", []), cluster("a")],
        ),
        calls=[
            get("/nowhere"),
            *(Call(path, "HEAD") for path in ("/nowhere", "/none", "/direct", "/redirect")),
        ],
        expect=[
            status(404, 404, 503, 200, 301),
            got_each("content-length", "0", None, "19", None, None),
            bodies(*[""] * 5),
        ],
    ),
    Scenario(
        "reply_to_a_post",
        "a local reply to a request with a body, and the next call on the same connection of the application",
        rule="12.1",
        policy=boot([route("none", "/none"), route()], [cluster("none", []), cluster("a")]),
        calls=[post("/none", b"x" * 100_000), post("/none", None, chunks=[b"1", b"2"], pause=0.1), post("/ok", b"x")],
        expect=[status(503, 503, 200), received("x")],
    ),
    Scenario(
        "no_route",
        "no route: 404 without body and type, NR",
        rule="12.1 no vhost/route",
        policy=boot([route(prefix="/a")]),
        calls=[get("/b")],
        expect=[
            status(404),
            body(""),
            got({"content-type": None, "content-length": "0", "server": "envoy"}),
            flags("NR"),
            details("route_not_found"),
        ],
    ),
    Scenario(
        "reply_details_of_good_calls",
        "an answer of the upstream has no flag and the details via_upstream, whatever its status",
        rule="11.3 RESPONSE_CODE_DETAILS",
        upstreams={"a": {"/500": 500, "*": 200}},
        policy=boot(),
        calls=[get(), get("/500")],
        expect=[flags("-", "-"), details("via_upstream", "via_upstream")],
    ),
    Scenario(
        "broken_bodies",
        "after the head a broken body is an error, with what came before it; nothing is retried",
        rule="12.1 after headers were sent",
        upstreams={
            "a": {
                "/cut": close("in body", body=["one", "two", "three"]),
                "/reset": reset("in body", body=["one", "two", "three"]),
                "/short": Reply(body="four", length=10, ending="close"),
                "/short-reset": Reply(body="four", length=10, ending="reset"),
                "/until-reset": raw(b"HTTP/1.1 200 OK\r\n\r\nall of it", "reset"),
            }
        },
        policy=boot([route(retry_policy=retry("5xx,reset,gateway-error", 3))]),
        calls=[get("/cut"), get("/reset"), get("/short"), get("/short-reset"), get("/until-reset")],
        expect=[
            status(*["transport-error"] * 4, 200),
            see("heads", lambda run: [outcome.status for outcome in run.outcomes], [200] * 5),
            bodies("onetwo", "onetwo", "four", "four", "all of it"),
            hits(a=5),
            flags(*["UPE"] * 4, "-"),
        ],
    ),
]

HTTP2 = [
    _one(
        "stream_reset",
        "RST_STREAM of any kind",
        Upstream(reset(code=2), kind="http2"),
        503,
        PREFIX + "remote reset",
        Re(_BEFORE + r"\{remote_reset.*\}"),
        "UR",
        policy=_H2,
    ),
    _one(
        "stream_reset_without_error",
        "NO_ERROR before the head is a reset too",
        Upstream(reset(code=0), kind="http2"),
        503,
        PREFIX + "remote reset",
        Re(_BEFORE + r"\{remote_reset.*\}"),
        "UR",
        policy=_H2,
    ),
    _one(
        "stream_reset_connect_error",
        "CONNECT_ERROR has a reason of its own",
        Upstream(reset(code=10), kind="http2"),
        503,
        PREFIX + "remote error with CONNECT request",
        Re(_BEFORE + r"\{remote_error_with_CONNECT_request.*\}"),
        "UR",
        policy=_H2,
    ),
    _one(
        "stream_refused",
        "REFUSED_STREAM",
        Upstream(reset(code=REFUSED_STREAM), kind="http2"),
        503,
        PREFIX + "remote refused stream reset",
        Re(_BEFORE + r"\{remote_refused_stream_reset.*\}"),
        "UR",
        policy=_H2,
    ),
    _one(
        "goaway",
        "GOAWAY below the stream",
        Upstream(goaway(), kind="http2"),
        503,
        PREFIX + "remote refused stream reset",
        Re(_BEFORE + r"\{remote_refused_stream_reset.*\}"),
        "UR",
        policy=_H2,
    ),
    _one(
        "http2_closed",
        "the connection closed before the head",
        Upstream(close(), kind="http2"),
        503,
        PREFIX + "connection termination",
        Re(_BEFORE + r"\{connection_termination.*\}"),
        "UC",
        policy=_H2,
    ),
    _one(
        "http2_to_http1",
        "HTTP/2 to an upstream that speaks HTTP/1",
        Upstream(greeting=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        502,
        PREFIX + "protocol error",
        Re(_BEFORE + r"\{protocol_error.*\}"),
        "UPE",
        policy=_H2,
    ),
    Scenario(
        "http2_ends_with_its_head",
        "an answer that ends with its head is told to have no bytes, to whom that is told at all",
        rule="1.3",
        upstreams={"a": Upstream({"/204": Reply(204, body=b""), "*": Reply(200, body=b"")}, kind="http2")},
        policy=_H2,
        calls=[get("/"), Call("/", "HEAD"), get("/204")],
        expect=[status(200, 200, 204), got_each("content-length", "0", None, None), bodies("", "", "")],
    ),
    Scenario(
        "http2_goaway_then_next",
        "after a GOAWAY the next call has a connection of its own",
        rule="4",
        upstreams={"a": Upstream([200, goaway(), 200], kind="http2")},
        policy=_H2,
        calls=[times(3, get())],
        expect=[status(200, 503, 200), connections(a=2)],
    ),
    Scenario(
        "http2_broken_body",
        "a stream reset within its body: an error after what came, UR",
        rule="12.1 after headers were sent",
        upstreams={"a": Upstream(reset("in body", body=["one", "two"], code=2), kind="http2")},
        policy=_H2,
        calls=[get()],
        expect=[status("transport-error"), body("one"), flags("UR"), hits(a=1)],
    ),
    Scenario(
        "http2_bodies",
        "large bodies pass over HTTP/2 both ways, beyond its windows",
        rule="4",
        upstreams={"a": Upstream(lambda request: Reply(200, body=request.body[::-1]), kind="http2")},
        policy=_H2,
        calls=[post("/", b"0123456789" * 60_000), post("/", None, chunks=[b"0123456789" * 1000] * 20)],
        expect=[
            status(200, 200),
            see("sizes", lambda run: [len(outcome.body) for outcome in run.outcomes], [600_000, 200_000]),
            see("same", lambda run: run.outcomes[0].body == b"9876543210" * 60_000, True),
        ],
    ),
]

_GRPC = {"content-type": "application/grpc", "te": "trailers"}

GRPC = [
    Scenario(
        "grpc_by_get",
        "what makes a request gRPC is its content type, not its method",
        rule="12.2",
        policy=boot([route("none")], [cluster("none", [])]),
        calls=[get("/", _GRPC), get("/", {"content-type": "application/grpc-web"})],
        expect=[status(200, 503), got_each("grpc-status", "14", None)],
    ),
    Scenario(
        "local_replies_to_grpc_requests",
        "a local reply to a gRPC request is HTTP 200 with grpc-status and grpc-message, empty",
        rule="12.2",
        upstreams={"a": Upstream(kind="refused"), "b": Upstream(hang(), kind="http2")},
        policy=boot(
            [
                route("none", "/none"),
                route("b", "/slow", timeout="0.2s"),
                route("full", "/full"),
                direct(400, "bad", "/400"),
                direct(401, None, "/401"),
                direct(403, None, "/403"),
                direct(429, None, "/429"),
                direct(500, None, "/500"),
                route("a", "/a"),
            ],
            [
                cluster("a", **http2()),
                cluster("b", **http2()),
                cluster("none", [], **http2()),
                cluster("full", ["b"], **http2(), **thresholds(max_requests=0)),
            ],
        ),
        calls=[
            post(path, b"", _GRPC)
            for path in ("/none", "/slow", "/full", "/a", "/400", "/401", "/403", "/429", "/500", "/nowhere")
        ],
        expect=[
            status(*[200] * 10),
            got_each("grpc-status", "14", "14", "14", "14", "13", "16", "7", "14", "2", "12"),
            got_each(
                "grpc-message",
                "no healthy upstream",
                "upstream request timeout",
                Re(".*overflow"),
                Re(".*remote connection failure"),
                "bad",
                None,
                None,
                None,
                None,
                None,
            ),
            bodies(*[""] * 10),
            got({"content-type": "application/grpc"}, call=0),
            flags("UH", "UT", "UO", "UF", "-", "-", "-", "-", "-", "NR"),
        ],
    ),
    Scenario(
        "grpc_passes",
        "a gRPC answer passes: its message, and te: trailers upstream",
        rule="12.2",
        upstreams={"a": Upstream({"/s/Good": grpc(), "/s/Bad": grpc(5, "gone", in_headers=True)}, kind="http2")},
        policy=_H2,
        calls=[post("/s/Good", b"\0\0\0\0\0", _GRPC), post("/s/Bad", b"\0\0\0\0\0", _GRPC)],
        expect=[
            status(200, 200),
            see("message", lambda run: run.outcomes[0].body == b"\0\0\0\0\0", True),
            got({"grpc-status": "5", "grpc-message": "gone"}),
            sent({"te": "trailers", "content-type": "application/grpc"}),
        ],
    ),
    Scenario(
        "grpc_retry_in_the_head_alone",
        "grpc-status in the trailers is never retried, in the head it is",
        rule="3.2 never trailers",
        upstreams={
            "a": Upstream({"/head": [grpc(14, in_headers=True), grpc()], "/tail": [grpc(14), grpc()]}, kind="http2")
        },
        policy=boot([route(retry_policy=retry("unavailable", 1))], [cluster("a", **http2())]),
        calls=[post("/head", b"", _GRPC), post("/tail", b"", _GRPC)],
        expect=[hits(a=3), status(200, 200)],
    ),
]

SCENARIOS = [*HTTP1, *HTTP2, *GRPC]
