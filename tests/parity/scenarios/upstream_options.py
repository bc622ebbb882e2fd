"""How HTTP is spoken to a cluster: names of headers, the size of heads, streams on a connection (semantics 1.3, 4)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, http2, protocol_options, tls
from ..look import details, flags, see, status
from ..model import Scenario, get, post, together
from ..upstreams.replies import Reply, Tls, Upstream

Document = dict[str, Any]

PROPER: Document = {"header_key_format": {"proper_case_words": {}}}
NAMES = ("x-camel-two", "x_under_score", "x-1st-word", "host", "content-length", "transfer-encoding", "x-request-id")


RESET = "upstream_reset_before_response_started{remote_reset}"
"""What HTTP/2 makes of a head that is too large; over HTTP/1.1 it is a protocol error."""


def _named(number: int = 0) -> Any:
    return see(
        f"names{number}",
        lambda run: sorted(name for name, _ in run.at("a").requests[number].headers if name.lower() in NAMES),
        [
            ["Content-Length", "Host", "X-1st-Word", "X-Camel-Two", "X-Request-Id", "X_Under_Score"],
            ["Host", "Transfer-Encoding", "X-Request-Id"],
        ][number],
    )


def _head(lines: int, size: int = 2) -> Reply:
    return Reply(headers=[(f"x-{number}", "v" * size) for number in range(lines)], body="")


def _limited(
    name: str, about: str, options: Document, replies: list[Reply], codes: list[int], **fields: Any
) -> Scenario:
    return Scenario(
        f"response_head_{name}",
        about,
        rule="1.3 upstream framing errors",
        upstreams={"a": Upstream(replies, **fields) if fields else replies},
        policy=boot(clusters=[cluster("a", **options)]),
        calls=[get() for _ in replies],
        expect=[status(*codes), flags("-", "UR"), details("via_upstream", RESET)] if fields else [status(*codes)],
    )


def _common(**common: Any) -> Document:
    return protocol_options(explicit_http_config={"http_protocol_options": {}}, common_http_protocol_options=common)


SCENARIOS = [
    Scenario(
        "header_names_in_proper_case",
        "header_key_format.proper_case_words: a capital at the start and behind what is no letter and no digit",
        rule="1.3 proper_case_words",
        policy=boot(
            clusters=[cluster("a", **protocol_options(explicit_http_config={"http_protocol_options": PROPER}))]
        ),
        calls=[
            post("/", b"x", {"x-camel-two": "1", "x_under_score": "2", "x-1st-word": "3"}),
            post("/", None, chunks=[b"a", b"b"]),
        ],
        expect=[status(200, 200), _named(0), _named(1)],
    ),
    _limited(
        "by_default",
        "100 lines of headers at most, and some 80 KiB, whatever their number",
        {},
        [_head(90), _head(120), _head(10, 7000), _head(10, 9000)],
        [200, 502, 200, 502],
    ),
    _limited(
        "fewer_lines",
        "max_headers_count of the cluster",
        _common(max_headers_count=20),
        [_head(10), _head(30)],
        [200, 502],
    ),
    _limited(
        "more_lines",
        "max_headers_count may be more than the default",
        _common(max_headers_count=200),
        [_head(150), _head(220)],
        [200, 502],
    ),
    _limited(
        "smaller",
        "max_response_headers_kb below the default",
        _common(max_response_headers_kb=10),
        [_head(5, 1000), _head(12, 1000)],
        [200, 502],
    ),
    _limited(
        "larger",
        "max_response_headers_kb above the default",
        _common(max_response_headers_kb=200),
        [_head(15, 8000), _head(40, 8000)],
        [200, 502],
    ),
    _limited(
        "fewer_lines_http2",
        "max_headers_count over HTTP/2",
        http2(common_http_protocol_options={"max_headers_count": 20}),
        [_head(10), _head(30)],
        [200, 503],
        kind="http2",
    ),
    _limited(
        "smaller_http2",
        "max_response_headers_kb over HTTP/2",
        http2(common_http_protocol_options={"max_response_headers_kb": 10}),
        [_head(5, 1000), _head(12, 1000)],
        [200, 503],
        kind="http2",
    ),
    *(
        Scenario(
            f"http2_max_concurrent_streams{name}",
            "max_concurrent_streams: calls beyond it go on a connection of their own",
            rule="4, http2 max_concurrent_streams",
            upstreams={"a": Upstream(Reply(delay=0.4), kind="http2", tls=secured)},
            policy=boot(clusters=[cluster("a", **fields)]),
            calls=[get(), together(get(), get(), get()), get()],
            expect=[status(*[200] * 5), see("connections", lambda run: run.at("a").connections, connections)],
        )
        for name, secured, fields, connections in (
            ("", None, http2({"max_concurrent_streams": 1}), 3),
            ("_two", None, http2({"max_concurrent_streams": 2}), 2),
            ("_unset", None, http2(), 1),
            (
                "_of_auto_config",
                Tls(alpn=["h2"]),
                {**tls(), **protocol_options(auto_config={"http2_protocol_options": {"max_concurrent_streams": 1}})},
                3,
            ),
        )
    ),
]
