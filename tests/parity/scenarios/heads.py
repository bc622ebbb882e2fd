"""Options of matching, rewriting and admission beyond the defaults (semantics 1.1 to 1.6)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, direct, header, route, virtual_host
from ..expect import Re
from ..look import details, flags, got_each, hits, lines, sent, sent_each, status
from ..model import Call, Scenario, get

Document = dict[str, Any]


def _matched(condition: Document, code: int) -> Document:
    return {"match": {"prefix": "/", **condition}, "direct_response": {"status": code}}


def _admitted(name: str, about: str, manager: Document, *calls: Any, expect: Any, **fields: Any) -> Scenario:
    return Scenario(
        f"admit_{name}", about, rule="1.1 fields of the connection manager",
        policy={**boot(manager=manager), **fields}, calls=list(calls), expect=list(expect),
    )  # fmt: skip


COOKIES = [
    {"cookies": [{"name": "a", "string_match": {"exact": "1"}}]},
    {"cookies": [{"name": "b", "string_match": {"prefix": "x"}, "invert_match": True}]},
]
SENT_COOKIES = ["a=1", "b=2; a=1", 'a="1"', "a=1; a=2", "a=2; a=1", "b=x1", "A=1", "a = 1 ;c", "a", "a=1;b=x"]

SCENARIOS = [
    Scenario(
        "match_cookies",
        "cookies: the first of a name counts, quotes do not; one that is missing fulfils an inverted condition",
        rule="1.5 cookies",
        policy=boot([*(_matched(one, 201 + number) for number, one in enumerate(COOKIES)), direct(200)]),
        calls=[*(get("/", {"cookie": one}) for one in SENT_COOKIES), get("/")],
        expect=[status(201, 201, 201, 201, 202, 200, 202, 202, 202, 201, 202)],
    ),
    Scenario(
        "match_tls_context",
        "tls_context: nobody presents a certificate",
        rule="1.5 tls_context",
        policy=boot(
            [
                _matched({"tls_context": {"presented": True}}, 201),
                _matched({"tls_context": {"validated": True}}, 202),
                _matched({"tls_context": {"presented": False, "validated": False}}, 203),
            ]
        ),
        calls=[get()],
        expect=[status(203)],
    ),
    Scenario(
        "match_without_path_parameters",
        "ignore_path_parameters_in_path_matching: they do not count for the match; a prefix that is there only without "
        "them is not rewritten",
        rule="1.5 path parameters",
        policy=boot([route("a", "/a/b", prefix_rewrite="/n")], table={"ignore_path_parameters_in_path_matching": True}),
        calls=[get("/a;x/b"), get("/a/b;y=1/c"), get("/a/b?q;z"), get("/a;b/c")],
        expect=[status(200, 200, 200, 404), lines("GET /a;x/b", "GET /n;y=1/c", "GET /n?q;z")],
    ),
    Scenario(
        "vhost_header",
        "vhost_header chooses the virtual host; without it there is none, not even *",
        rule="1.4 vhost_header",
        policy=boot(
            hosts=[
                virtual_host(direct(200), domains=["foo.com"]),
                virtual_host(direct(204), name="rest", domains=["*"]),
            ],
            table={"vhost_header": "x-vh"},
        ),
        calls=[get("/", {"x-vh": value}) for value in ("foo.com", "FOO.com", "bar", "")] + [get("/")],
        expect=[status(200, 200, 204, 204, 404)],
    ),
    Scenario(
        "rewrite_path_format",
        "path_rewrite: a format for the whole path; the query stays, unset is empty, nothing is no rewrite",
        rule="1.6 path rewrite",
        policy=boot(
            [
                route("a", "/one", path_rewrite="/n/%REQ(x-a)%%REQ(no)%/%REQ(:path)%"),
                route("a", "/two", path_rewrite="/n?z=%REQ(x-a)%"),
                route("a", "/", path_rewrite="%REQ(no)%"),
            ]
        ),
        calls=[get(path, {"x-a": "v"}) for path in ("/one?q=1", "/two?q=1", "/two", "/three?q")],
        expect=[
            lines("GET /n/v//one?q=1?q=1", "GET /n?z=v?q=1", "GET /n?z=v", "GET /three?q"),
            sent_each("x-envoy-original-path", "/one?q=1", "/two?q=1", "/two", None),
        ],
    ),
    Scenario(
        "rewrite_host_format",
        "host_rewrite: a format; unset is a dash, empty leaves the host, added headers are seen",
        rule="1.6 host rewrite",
        policy=boot(
            [
                route("a", "/one", host_rewrite="p-%REQ(x-a)%", append_x_forwarded_host=True),
                route(
                    "a", "/two", host_rewrite="%REQ(x-b)%", more={"request_headers_to_add": [header("x-b", "added")]}
                ),
                route("a", "/", host_rewrite="%REQ(x-a)%"),
            ]
        ),
        calls=[
            get("/one", {"x-a": "v", "host": "h.test"}),
            get("/one", {"host": "h.test"}),
            get("/two", {"host": "h.test"}),
            get("/three", {"x-a": "", "host": "h.test"}),
        ],
        expect=[
            sent_each("host", "p-v", "p--", "added", "h.test"),
            sent_each("x-envoy-original-host", "h.test", "h.test", "h.test", None),
            sent_each("x-forwarded-host", "h.test", "h.test", None, None),
        ],
    ),
    _admitted(
        "few_headers",
        "max_headers_count: one header more is 431",
        {"common_http_protocol_options": {"max_headers_count": 8}},
        get("/", {"a": "1"}),
        get("/", {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}),
        expect=[status(200, 431), details("via_upstream", "http1.too_many_headers"), flags("-", "DPE"), hits(a=1)],
    ),
    _admitted(
        "small_heads",
        "max_request_headers_kb counts the whole head",
        {"max_request_headers_kb": 1},
        get("/", {"x": "a" * 700}),
        get("/", {"x": "a" * 1000}),
        get("/" + "a" * 1000),
        expect=[
            status(200, 431, 431),
            details("via_upstream", "http1.headers_too_large", "http1.headers_too_large"),
            hits(a=1),
        ],
    ),
    *(
        _admitted(
            f"escaped_slashes_{action.lower()}",
            f"path_with_escaped_slashes_action: {action}",
            {"path_with_escaped_slashes_action": action, "normalize_path": True},
            get("/a%2F../b?x=%2f"),
            get("/c"),
            expect=[status(code, 200), got_each("location", location, None), lines(*sent_on, "GET /c")],
        )
        for action, code, location, sent_on in (
            ("KEEP_UNCHANGED", 200, None, ["GET /a%2F../b?x=%2f"]),
            ("REJECT_REQUEST", 400, None, []),
            ("UNESCAPE_AND_REDIRECT", 307, "/b?x=%2f", []),
            ("UNESCAPE_AND_FORWARD", 200, None, ["GET /b?x=%2f"]),
        )
    ),
    _admitted(
        "trusted_hops",
        "xff_num_trusted_hops: the address that is believed; who passed a proxy is not internal",
        {"xff_num_trusted_hops": 1, "use_remote_address": True, "internal_address_config": {}},
        get("/"),
        get("/", {"x-forwarded-for": "10.0.0.1, 10.0.0.2", "x-forwarded-proto": "https"}),
        expect=[
            sent_each("x-envoy-external-address", None, "10.0.0.2"),
            sent_each("x-envoy-internal", "true", None),
            sent_each("x-forwarded-proto", "http", "https"),
        ],
    ),
    _admitted(
        "user_agent",
        "add_user_agent: the node's names; the application's own agent stays",
        {"add_user_agent": True},
        get("/", {"user-agent": "me", "x-envoy-downstream-service-cluster": "x"}),
        expect=[
            sent(
                {
                    "user-agent": "me",
                    "x-envoy-downstream-service-cluster": "parity",
                    "x-envoy-downstream-service-node": "parity",
                }
            )
        ],
    ),
    _admitted(
        "forwarded_port",
        "append_x_forwarded_port: the listener's, unless the request says",
        {"append_x_forwarded_port": True},
        get("/"),
        get("/", {"x-forwarded-port": "99"}),
        expect=[sent_each("x-forwarded-port", Re("[0-9]{4,5}"), "99")],
    ),
    _admitted(
        "scheme",
        "scheme_to_overwrite is what every request is said to have",
        {"scheme_header_transformation": {"scheme_to_overwrite": "https"}},
        get("/", {"x-forwarded-proto": "http"}),
        expect=[sent({"x-forwarded-proto": "https"})],
    ),
    _admitted(
        "client_certificate",
        "ALWAYS_FORWARD_ONLY lets x-forwarded-client-cert through without TLS",
        {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"},
        get("/", {"x-forwarded-client-cert": "Hash=1"}),
        expect=[sent({"x-forwarded-client-cert": "Hash=1"})],
    ),
    _admitted(
        "odd_heads",
        "what the codec and the sanitizers make of odd heads",
        {},
        get("/te1", {"te": "trailers;q=0.5"}),
        get("/te2", {"te": "gzip, trailers"}),
        get("/te3", {"te": "Trailers"}),
        get("/xfp", {"x-forwarded-proto": ""}),
        get("/named", {"connection": "x-forwarded-proto"}),
        get("/pseudo", {"connection": "x-a, :path"}),
        get("/hostless", {"connection": "host"}),
        get("/host", {"host": "foo com"}),
        get("/slash", {"host": "foo.com/"}),
        get("/user", {"host": "user@foo.com:a"}),
        expect=[
            status(200, 200, 200, 404, 400, 400, 400, 400, 400, 200),
            sent_each("te", None, "trailers", None, None),
            details(
                "via_upstream",
                "via_upstream",
                "via_upstream",
                "route_not_found",
                "http1.connection_header_rejected",
                "http1.connection_header_rejected",
                "missing_host_header",
                "http.invalid_authority",
                "http.invalid_authority",
                "via_upstream",
            ),
            flags("-", "-", "-", "NR", "DPE", "DPE", "-", "DPE", "DPE", "-"),
        ],
    ),
    _admitted(
        "methods",
        "the codec's list of methods; QUERY needs a content type; no body is announced where one may be",
        {},
        *(Call("/", method) for method in ("PROPFIND", "FOO", "QUERY", "OPTIONS", "DELETE", "GET")),
        expect=[
            status(200, 400, 400, 200, 200, 200),
            sent_each("content-length", "0", "0", None, None),
            details(
                "via_upstream",
                "http1.codec_error",
                "query_missing_content_type",
                "via_upstream",
                "via_upstream",
                "via_upstream",
            ),
        ],
    ),
    _admitted(
        "any_method",
        "allow_custom_methods lets every method in",
        {"http_protocol_options": {"allow_custom_methods": True}},
        Call("/", "FOO"),
        expect=[status(200), lines("FOO /")],
    ),
    _admitted(
        "referers",
        "a referer that is no clean URL is dropped; only 100-continue is taken out of expect",
        {},
        *(
            get("/", {"referer": one})
            for one in (
                "/relative",
                "a/b:c",
                "a:b",
                "http://x/#f",
                "https://u@h/",
                "HTTP://h/",
                "/a b",
                "*",
                "/a#f",
            )
        ),
        get("/", {"expect": "abc"}),
        expect=[
            sent_each("referer", "/relative", "a/b:c", None, None, None, "HTTP://h/", None, "*", None, None),
            sent_each("expect", *[None] * 9, "abc"),
        ],
    ),
]
