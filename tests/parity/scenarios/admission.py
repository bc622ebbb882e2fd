"""What is let in, and with which headers (semantics 1.1, 1.2, 1.3, 11.1): the way of a request's own headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, direct, http2, retry, route
from ..expect import Re, SameOnBoth, Where
from ..look import bodies, body, details, flags, got, got_each, hits, see, sent, sent_each, status
from ..model import Call, Run, Scenario, get, post, times
from ..upstreams.replies import Reply, Upstream, raw

UUID = Re("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _gate(name: str, about: str, manager: Mapping[str, Any], heard: Mapping[str | None, bool]) -> Scenario:
    """Whether `x-envoy-max-retries: 0` is heard, by the X-Forwarded-For that the application sends."""
    return Scenario(
        f"internal_{name}",
        about,
        rule="1.2 who may use x-envoy-* override headers",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 1))], manager=manager),
        calls=[
            get(f"/{number}", {"x-envoy-max-retries": "0", **({} if sender is None else {"x-forwarded-for": sender})})
            for number, sender in enumerate(heard)
        ],
        expect=[
            see(
                "tries",
                lambda run: [
                    len([one for one in run.at("a").requests if one.path == f"/{number}"])
                    for number in range(len(heard))
                ],
                [1 if one else 2 for one in heard.values()],
            )
        ],
    )


_PRESENT: dict[str, Any] = {"internal_address_config": {}}
_LOOPBACK = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}}
_TEN = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}

GATE = [
    _gate(
        "by_default_nobody", "by default nobody is internal", {}, {None: False, "127.0.0.1": False, "10.1.1.1": False}
    ),
    _gate(
        "address_needs_a_config",
        "use_remote_address alone makes nobody internal",
        {"use_remote_address": True},
        {None: False, "127.0.0.1": False},
    ),
    _gate(
        "by_forwarded_for",
        "internal_address_config: {}: exactly one private or loopback address in X-Forwarded-For is internal",
        _PRESENT,
        {
            None: False,
            "127.0.0.1": True,
            "10.1.1.1": True,
            "192.168.7.7": True,
            "172.16.0.1": True,
            "172.32.0.1": False,
            "8.8.8.8": False,
            "10.1.1.1, 10.1.1.2": False,
            "not an address": False,
        },
    ),
    _gate(
        "by_remote_address",
        "use_remote_address with internal_address_config: {}: an application on loopback that sends no X-Forwarded-For",
        {"use_remote_address": True, **_PRESENT},
        {None: True, "127.0.0.1": False, "10.1.1.1": False},
    ),
    _gate(
        "by_ranges",
        "cidr_ranges are all there is: loopback is out when only 10/8 is listed",
        _TEN,
        {"127.0.0.1": False, "10.9.9.9": True, "11.0.0.1": False},
    ),
    _gate(
        "by_remote_address_in_ranges",
        "use_remote_address with a range that holds loopback, and one that does not",
        {"use_remote_address": True, **_LOOPBACK},
        {None: True, "127.0.0.1": False},
    ),
    _gate(
        "remote_address_outside_ranges", "loopback is not in 10/8", {"use_remote_address": True, **_TEN}, {None: False}
    ),
]

_CONTROL = (
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-stream-duration-ms",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-force-trace",
)
_KEPT = (
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-original-path",
    "x-envoy-original-host",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-whatever",
)
_CONSUMED = _CONTROL[:9]
"""What the router reads itself is never sent on, whoever sent it."""

STRIPPED = [
    Scenario(
        "external_control_headers",
        "control headers of a request that is not internal are taken out before it goes on; others stay",
        rule="1.2 headers removed from external requests",
        policy=boot(table={"internal_only_headers": ["x-our-own"]}),
        calls=[get("/", {**dict.fromkeys((*_CONTROL, *_KEPT), "1"), "x-our-own": "1"})],
        expect=[sent({**dict.fromkeys(_CONTROL), **dict.fromkeys(_KEPT, "1"), "x-our-own": None})],
    ),
    Scenario(
        "external_expected_timeout_is_set_anew",
        "x-envoy-expected-rq-timeout-ms of the application is replaced by the route's own",
        rule="1.2 -expected-rq-timeout-ms (then re-set by the router)",
        policy=boot([route(timeout="7s")]),
        calls=[get("/", {"x-envoy-expected-rq-timeout-ms": "1"})],
        expect=[sent({"x-envoy-expected-rq-timeout-ms": "7000"})],
    ),
    Scenario(
        "edge_headers",
        "use_remote_address with an outsider: headers about its origin go too, and the request id is made anew",
        rule="1.2 edge also removed; x-request-id replaced",
        policy=boot(manager={"use_remote_address": True}),
        calls=[get("/", {**dict.fromkeys(_KEPT, "1"), "x-request-id": "mine"})],
        expect=[
            sent(
                {
                    "x-envoy-decorator-operation": None,
                    "x-envoy-original-path": None,
                    "x-envoy-original-host": None,
                    "x-envoy-downstream-service-cluster": None,
                    "x-envoy-downstream-service-node": None,
                    "x-envoy-attempt-count": "1",
                    "x-envoy-whatever": "1",
                    "x-request-id": UUID,
                }
            )
        ],
    ),
    Scenario(
        "internal_is_told_upstream",
        "an internal request carries x-envoy-internal: true upstream; what the router reads does not go on",
        rule="1.2 x-envoy-internal: true is added upstream",
        policy=boot(manager=INTERNAL),
        calls=[get("/", dict.fromkeys(_CONSUMED, "9999"))],
        expect=[sent({"x-envoy-internal": "true", **dict.fromkeys(_CONSUMED)}), status(200)],
    ),
    Scenario(
        "internal_only_headers_kept_inside",
        "internal_only_headers of an internal request stay",
        rule="1.2 RouteConfiguration.internal_only_headers",
        policy=boot(table={"internal_only_headers": ["x-our-own"]}, manager=INTERNAL),
        calls=[get("/", {"x-our-own": "1"})],
        expect=[sent({"x-our-own": "1"})],
    ),
]

ONE_LINE = (
    "accept", "accept-encoding", "authorization", "cache-control", "content-encoding", "content-type", "expect",
    "if-match", "if-modified-since", "if-none-match", "origin", "pragma", "referer", "user-agent", "via",
    "access-control-request-headers", "grpc-accept-encoding", "x-client-trace-id", "x-envoy-decorator-operation",
    "x-envoy-original-path", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
)  # fmt: skip
LINES = ("accept-language", "cookie", "etag", "forwarded", "range", "traceparent", "x-real-ip")
ONE_LINE_BACK = (
    "access-control-allow-origin", "access-control-expose-headers", "age", "cache-control", "content-type", "etag",
    "expires", "grpc-message", "last-modified", "location", "vary", "via", "x-envoy-ratelimited", "x-request-id",
)  # fmt: skip
LINES_BACK = ("link", "pragma", "set-cookie", "warning", "www-authenticate")


def _went_on(run: Run) -> Any:
    names = [request.path.removeprefix("/of/") for request in run.at("a").requests]
    return {name: run.at("a").requests[n].header(name) for n, name in enumerate(names) if name in ONE_LINE + LINES}


def _came_back(run: Run) -> Any:
    names = [outcome.call.path[1:] for outcome in run.outcomes]
    return {name: run.outcomes[n].header(name) for n, name in enumerate(names) if name in ONE_LINE_BACK + LINES_BACK}


HEADERS = [
    Scenario(
        "upgrade_is_refused",
        "without upgrade_configs a request to upgrade is refused; to h2c it goes on without it",
        rule="1.3 upgrade (without upgrade_configs)",
        policy=boot(),
        calls=[
            get("/", {"connection": "upgrade", "upgrade": "websocket"}),
            get("/", {"connection": "Upgrade, keep-alive", "upgrade": "other/1"}),
            get("/", {"connection": "keep-alive", "upgrade": "websocket"}),
            get("/", {"upgrade": "websocket"}),
            get("/", {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}),
        ],
        expect=[
            status(403, 403, 200, 200, 200),
            flags("-", "-", "-", "-", "-"),
            details("upgrade_failed", "upgrade_failed", *["via_upstream"] * 3),
            bodies("", "", "a", "a", "a"),
            sent_each("upgrade", None, None, None),
        ],
    ),
    Scenario(
        "too_large_request_headers",
        "more than 60 KiB of headers: 431; a long URL that fits is fine",
        rule="1.1 max_request_headers_kb",
        policy=boot(),
        calls=[get("/", {"x-large": "x" * 62000}), get("/" + "x" * 50000)],
        expect=[
            status(431, 200),
            hits(a=1),
            flags("DPE", "-"),
            details("http1.headers_too_large", "via_upstream"),
            bodies("Request Header Fields Too Large", "a"),
        ],
    ),
    Scenario(
        "hop_by_hop_request_headers",
        "connection and all it names, keep-alive and proxy-connection do not go on; te only as trailers",
        rule="1.3 removed from requests",
        policy=boot(),
        calls=[
            get(
                "/",
                {
                    "connection": "keep-alive, x-named",
                    "x-named": "1",
                    "keep-alive": "timeout=5",
                    "proxy-connection": "keep-alive",
                    "te": "gzip, trailers",
                    "x-forwarded-client-cert": "By=me",
                    "x-other": "1",
                },
            ),
            get("/", {"te": "gzip"}),
        ],
        expect=[
            see(
                "first",
                lambda run: {
                    name: run.at("a").requests[0].header(name)
                    for name in (
                        "connection",
                        "x-named",
                        "keep-alive",
                        "proxy-connection",
                        "te",
                        "x-forwarded-client-cert",
                        "x-other",
                    )
                },
                {
                    "connection": None,
                    "x-named": None,
                    "keep-alive": None,
                    "proxy-connection": None,
                    "te": "trailers",
                    "x-forwarded-client-cert": None,
                    "x-other": "1",
                },
            ),
            see("second", lambda run: run.at("a").requests[1].header("te"), None),
        ],
    ),
    Scenario(
        "referer_that_is_no_clean_url",
        "a Referer with userinfo is taken out, a clean one stays",
        rule="1.3 referer if it is not a clean URL",
        policy=boot(),
        calls=[get("/", {"referer": "http://user:secret@host/x"}), get("/", {"referer": "http://host/x"})],
        expect=[sent_each("referer", None, "http://host/x")],
    ),
    Scenario(
        "headers_added_to_requests",
        "x-forwarded-proto, x-request-id and the expected timeout are added; the user agent and Host are the app's",
        rule="1.3 added to every upstream request",
        policy=boot(),
        calls=[get("/", {"user-agent": "app/1", "host": "app.test"})],
        expect=[
            sent(
                {
                    "x-forwarded-proto": "http",
                    "x-request-id": UUID,
                    "x-envoy-expected-rq-timeout-ms": "15000",
                    "user-agent": "app/1",
                    "host": "app.test",
                    "x-forwarded-for": None,
                    "x-envoy-internal": None,
                    "x-envoy-attempt-count": None,
                }
            )
        ],
    ),
    Scenario(
        "remote_address_is_appended",
        "use_remote_address: a caller on loopback is told by the machine's own address",
        rule="1.2 use_remote_address: true appends the peer to XFF",
        policy=boot(manager={"use_remote_address": True}),
        calls=[get(), get("/", {"x-forwarded-for": "10.0.0.1"})],
        expect=[
            sent({"x-forwarded-for": SameOnBoth(Re(r"[\d.]+"))}, request=0),
            sent({"x-forwarded-for": SameOnBoth(Re(r"10\.0\.0\.1,[\d.]+"))}, request=1),
        ],
    ),
    Scenario(
        "forwarded_proto_of_the_application",
        "an x-forwarded-proto that the application sends is kept as it is",
        rule="1.3 kept if the client sent one and use_remote_address is false",
        policy=boot(),
        calls=[get("/", {"x-forwarded-proto": "https"}), get("/", {"x-forwarded-proto": "gopher"})],
        expect=[sent_each("x-forwarded-proto", "https", "gopher")],
    ),
    Scenario(
        "names_in_lower_case",
        "header names go out in lower case, whatever the application wrote",
        rule="1.3 lower-cased on the HTTP/1.1 wire",
        policy=boot(),
        calls=[get("/", {"X-CamelCase": "1", "ACCEPT": "text/x"})],
        expect=[
            see(
                "names",
                lambda run: sorted(
                    name for name, _ in run.at("a").requests[0].headers if name.lower() in {"x-camelcase", "accept"}
                ),
                ["accept", "x-camelcase"],
            )
        ],
    ),
    Scenario(
        "lines_of_one_name",
        "several lines of one name stay several lines, both ways",
        rule="1.3",
        upstreams={"a": Reply(200, [("x-up", "1"), ("x-up", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])},
        policy=boot(),
        calls=[get("/", [("x-down", "1"), ("x-down", "2")])],
        expect=[sent({"x-down": ["1", "2"]}), got({"x-up": ["1", "2"], "set-cookie": ["a=1", "b=2"]})],
    ),
    Scenario(
        "lines_of_well_known_names",
        "several lines of a name that Envoy keeps a place for become one, empty ones left out; other names keep theirs",
        rule="1.3",
        upstreams={
            "a": {f"/{name}": Reply(200, [(name, "1"), (name, ""), (name, "2")]) for name in ONE_LINE_BACK + LINES_BACK}
            | {"*": 200}
        },
        policy=boot(),
        calls=[
            *(get(f"/of/{name}", [(name, "1"), (name, ""), (name, "2")]) for name in ONE_LINE + LINES),
            *(get(f"/{name}") for name in ONE_LINE_BACK + LINES_BACK),
        ],
        expect=[
            see(
                "to upstreams", _went_on, {**dict.fromkeys(ONE_LINE, "1,2"), **{name: ["1", "", "2"] for name in LINES}}
            ),
            see(
                "to the application",
                _came_back,
                {**dict.fromkeys(ONE_LINE_BACK, "1,2"), **{name: ["1", "", "2"] for name in LINES_BACK}},
            ),
        ],
    ),
    Scenario(
        "lines_of_retry_headers",
        "an internal caller's conditions on two lines are one list",
        rule="1.2",
        upstreams={"a": [503, 200]},
        policy=boot(manager=INTERNAL),
        calls=[get("/", [("x-envoy-retry-on", "reset"), ("x-envoy-retry-on", "5xx")])],
        expect=[status(200), hits(a=2)],
    ),
    Scenario(
        "closed_as_asked",
        "connection: close of the application is answered in kind, whoever answers",
        rule="1.3",
        policy=boot([route(prefix="/a"), direct(200, "x", "/direct")]),
        calls=[
            get("/a", {"connection": "close"}),
            get("/a", {"connection": "keep-alive"}),
            get("/a", [("connection", "x-a"), ("connection", "Close"), ("x-a", "1")]),
            get("/direct", {"connection": "close"}),
            get("/nowhere", {"connection": "close"}),
        ],
        expect=[status(200, 200, 200, 200, 404), got_each("connection", "close", None, "close", "close", "close")],
    ),
    Scenario(
        "too_many_request_headers",
        "more than 100 header lines: 431, details http1.too_many_headers",
        rule="1.1 max_headers_count",
        policy=boot(),
        calls=[get("/", {f"x-{number}": "1" for number in range(101)})],
        expect=[status(431), hits(a=0)],
    ),
    Scenario(
        "framing_is_made_anew",
        "a body of known length goes with content-length, a streamed one chunked; a GET has neither",
        rule="1.3 transfer-encoding re-framed",
        policy=boot(),
        calls=[post("/", b"four"), post("/", None, chunks=[b"12", b"34"]), get(), post("/", b"")],
        expect=[
            sent_each("content-length", "4", None, None, "0"),
            sent_each("transfer-encoding", None, "chunked", None, None),
        ],
    ),
]

RESPONSES = [
    Scenario(
        "response_headers",
        "server is Envoy's, connection and keep-alive go, the service time is Envoy's, other x-envoy-* pass",
        rule="1.3 response",
        upstreams={
            "a": Reply(
                200,
                {
                    "server": "nginx",
                    "keep-alive": "timeout=5",
                    "x-envoy-upstream-service-time": "12345",
                    "x-envoy-whatever": "1",
                    "date": "Tue, 15 Nov 1994 08:12:31 GMT",
                },
            )
        },
        policy=boot(),
        calls=[get()],
        expect=[
            got(
                {
                    "server": "envoy",
                    "keep-alive": None,
                    "connection": None,
                    "x-envoy-upstream-service-time": Where(lambda text: int(text) < 5000, "Envoy's own"),
                    "x-envoy-whatever": "1",
                    "date": "Tue, 15 Nov 1994 08:12:31 GMT",
                }
            )
        ],
    ),
    Scenario(
        "response_date_is_added",
        "a missing date is added",
        rule="1.3 date added if missing",
        policy=boot(),
        calls=[get()],
        expect=[got({"date": Re("[A-Z][a-z]{2}, .* GMT"), "server": "envoy"})],
    ),
    Scenario(
        "response_server_passed_through",
        "server_header_transformation PASS_THROUGH and APPEND_IF_ABSENT",
        rule="1.1 server_header_transformation",
        upstreams={"a": {"/own": Reply(200, {"server": "nginx"}), "*": 200}},
        policy=boot(manager={"server_header_transformation": "APPEND_IF_ABSENT", "server_name": "edge"}),
        calls=[get("/own"), get("/none")],
        expect=[got_each("server", "nginx", "edge")],
    ),
    Scenario(
        "response_request_id_on_demand",
        "x-request-id is echoed only with always_set_request_id_in_response",
        rule="11.1 echoed to the caller only with …",
        policy=boot(manager={"always_set_request_id_in_response": True}),
        calls=[get("/", {"x-request-id": "abc"})],
        expect=[got({"x-request-id": "abc"})],
    ),
    Scenario(
        "response_request_id_not_echoed",
        "otherwise the response has none",
        rule="11.1 echoed to the caller only with …",
        policy=boot(),
        calls=[get("/", {"x-request-id": "abc"})],
        expect=[got({"x-request-id": None}), sent({"x-request-id": "abc"})],
    ),
    Scenario(
        "response_unknown_statuses",
        "statuses that nobody knows pass through, 1xx are swallowed",
        rule="1.3 unknown codes 600/999 pass through",
        upstreams={"a": {"/299": 299, "/600": 600, "/999": 999, "/early": Reply(200, interim=[102, 103])}},
        policy=boot(),
        calls=[get("/299"), get("/600"), get("/999"), get("/early")],
        expect=[status(299, 600, 999, 200)],
    ),
    Scenario(
        "response_head_and_bodiless",
        "HEAD, 204 and 304 have no body, and the connection stays",
        rule="1.3",
        upstreams={"a": {"/204": 204, "/304": Reply(304, {"etag": "x"}), "*": Reply(200, body="hello")}},
        policy=boot(),
        calls=[Call("/head", "HEAD"), get("/204"), get("/304"), get("/")],
        expect=[
            status(200, 204, 304, 200),
            bodies("", "", "", "hello"),
            got_each("content-length", "5", None, None, "5"),
            see("connections", lambda run: run.at("a").connections, 1),
        ],
    ),
]


def _framing(name: str, about: str, answer: bytes, seen: int | str, text: Any) -> Scenario:
    return Scenario(
        f"framing_{name}",
        about,
        rule="1.3 upstream framing errors are 502/UPE",
        upstreams={"a": raw(answer)},
        policy=boot(),
        calls=[get()],
        expect=[status(seen), body(text), hits(a=1)],
    )


_BROKEN = Re(".*reset reason: protocol error")

FRAMING = [
    _framing("garbage", "no HTTP at all", b"what is this?\r\n\r\n", 502, _BROKEN),
    _framing(
        "conflicting_lengths",
        "two content-lengths that differ",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        502,
        _BROKEN,
    ),
    _framing(
        "length_and_chunked",
        "content-length and transfer-encoding together",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        502,
        _BROKEN,
    ),
    _framing("length_on_204", "a body on 204", b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok", 502, _BROKEN),
    _framing(
        "bad_length",
        "a content-length that is no number",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        502,
        _BROKEN,
    ),
    _framing(
        "header_without_colon", "a header line without a colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", 502, _BROKEN
    ),
    _framing(
        "too_many_headers",
        "more than 100 header lines",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: 1\r\n" % number for number in range(101)) + b"\r\n",
        502,
        _BROKEN,
    ),
    _framing(
        "hundred_headers",
        "a hundred header lines are fine",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
        + b"".join(b"x-%d: 1\r\n" % number for number in range(99))
        + b"\r\nok",
        200,
        "ok",
    ),
    _framing(
        "too_large_head",
        "a head far beyond 80 KiB",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 120_000 + b"\r\n\r\n",
        502,
        _BROKEN,
    ),
    _framing(
        "until_close",
        "without any length the body ends with the connection",
        b"HTTP/1.1 200 OK\r\n\r\nall of it",
        200,
        "all of it",
    ),
    _framing("http_1_0", "HTTP/1.0 is understood", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
    _framing(
        "bad_chunk",
        "a chunk size that is no number ends the body in an error",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
        "transport-error",
        Where(lambda text: text in {"", "ok"}, "what came before"),
    ),
    _framing(
        "more_than_announced",
        "what comes after the announced length is no part of the body",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        200,
        "ok",
    ),
]

IDS = [
    Scenario(
        "request_id_kept",
        "a request id of the application is kept, whatever it looks like",
        rule="11.1 kept verbatim",
        policy=boot(),
        calls=[get("/", {"x-request-id": "any thing 17"})],
        expect=[sent({"x-request-id": "any thing 17"})],
    ),
    Scenario(
        "request_id_made",
        "a missing one is made, a new one each time",
        rule="11.1 random UUIDv4",
        policy=boot(),
        calls=[times(3, get())],
        expect=[
            sent_each("x-request-id", UUID, UUID, UUID),
            see("different", lambda run: len({one.header("x-request-id") for one in run.at("a").requests}), 3),
        ],
    ),
    Scenario(
        "request_id_off",
        "generate_request_id: false makes none",
        rule="11.1 generate_request_id",
        policy=boot(manager={"generate_request_id": False}),
        calls=[get()],
        expect=[sent({"x-request-id": None})],
    ),
    Scenario(
        "request_id_preserved_at_the_edge",
        "preserve_external_request_id keeps an outsider's",
        rule="11.1 preserve_external_request_id",
        policy=boot(manager={"use_remote_address": True, "preserve_external_request_id": True}),
        calls=[get("/", {"x-request-id": "mine"})],
        expect=[sent({"x-request-id": "mine"})],
    ),
    Scenario(
        "trace_headers_pass",
        "without a tracer trace headers pass through untouched",
        rule="11.2 none",
        policy=boot(),
        calls=[
            get(
                "/",
                {
                    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    "tracestate": "a=1",
                    "b3": "0",
                    "x-b3-traceid": "80f198ee56343ba8",
                },
            )
        ],
        expect=[
            sent(
                {
                    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    "tracestate": "a=1",
                    "b3": "0",
                    "x-b3-traceid": "80f198ee56343ba8",
                }
            )
        ],
    ),
    Scenario(
        "http2_scheme_and_headers",
        "to an HTTP/2 upstream :scheme is the application's, names are lower case, Host is :authority",
        rule="1.3 :scheme to h2 upstreams",
        upstreams={"a": Upstream(200, kind="http2")},
        policy=boot(clusters=[cluster("a", **http2())]),
        calls=[get("/x?y", {"X-Own": "1", "host": "app.test", "te": "trailers"})],
        expect=[
            sent(
                {
                    ":scheme": "http",
                    ":authority": "app.test",
                    ":path": "/x?y",
                    "x-own": "1",
                    "host": None,
                    "te": "trailers",
                    "connection": None,
                }
            )
        ],
    ),
]

SCENARIOS = [*GATE, *STRIPPED, *HEADERS, *RESPONSES, *FRAMING, *IDS]
