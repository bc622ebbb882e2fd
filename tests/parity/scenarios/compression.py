"""The filter compressor (semantics 9.8). Bodies are compared as what they decode to."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

from ..bootstrap import Document, boot, cluster, direct, http2, http_filter, retry, route, typed
from ..look import bodies, got, got_each, hits, received, see, sent_each, status
from ..model import Call, Look, Run, Scenario, get, post
from ..upstreams.replies import Reply, Upstream
from .decompression import decompressor

TEXT = "hello " * 20
PLAIN = {"content-type": "text/plain"}
ACCEPT = {"accept-encoding": "gzip"}
VARY = "Accept-Encoding"


EARLY = 0.3
"""Seconds after which the second piece of a dripping body cannot have come yet."""


def head(path: str, headers: Mapping[str, str]) -> Call:
    return Call(path, "HEAD", headers)


def library(**fields: Any) -> Document:
    return {"name": "gzip", "typed_config": typed("extensions.compression.gzip.compressor.v3.Gzip", **fields)}


def compressor(**fields: Any) -> Document:
    given = {"compressor_library": library(), **fields}
    return http_filter("compressor", "compressor.v3.Compressor", **given)


def responses(common: Document | None = None, **fields: Any) -> Document:
    return compressor(response_direction_config={"common_config": common or {}, **fields})


def requests(common: Document | None = None, **fields: Any) -> Document:
    return compressor(request_direction_config={"common_config": common or {}}, **fields)


def level(**fields: Any) -> Document:
    config = typed("extensions.filters.http.compressor.v3.CompressorPerRoute", **fields)
    return {"typed_per_filter_config": {"envoy.filters.http.compressor": config}}


def switch(*, on: bool, key: str = "switch") -> Document:
    return {"enabled": {"default_value": on, "runtime_key": key}}


def decoded(*expected: str) -> Look:
    """What the bodies decode to, where they are encoded."""

    def seen(run: Run) -> list[str]:
        return [
            gzip.decompress(one.body).decode() if one.header("content-encoding") == "gzip" and one.body else one.text
            for one in run.outcomes
        ]

    return see("decoded", seen, list(expected))


def arrived(*expected: str) -> Look:
    """What the requests' bodies that an upstream got decode to, where they are encoded."""

    def seen(run: Run) -> list[str]:
        return [
            gzip.decompress(one.body).decode() if ("content-encoding", "gzip") in one.headers else one.body.decode()
            for one in run.upstreams["a"].requests
        ]

    return see("arrived", seen, list(expected))


def answers(**headers: Mapping[str, str]) -> dict[str, dict[str, Reply]]:
    """By path, the text with some headers."""
    return {"a": {f"/{name}": Reply(headers={**PLAIN, **given}, body=TEXT) for name, given in headers.items()}}


def told(run: Run) -> bool:
    """Whether the last request's length is what it says."""
    request = run.upstreams["a"].requests[-1]
    return dict(request.headers).get("content-length") == str(len(request.body))


ACCEPTED = {
    "gzip": "gzip", "GZIP": None, "gzip;q=0": None, "*": "gzip", "gzip;q=0,*": None, "identity,gzip": None,
    "gzip,identity": "gzip", "gzip;q=.5,identity;q=.6": None, "gzip;q=x": None, "x-gzip": None,
    "deflate, gzip;q=0.1": "gzip", "br;q=1, *;q=0.1": "gzip", "gzip ; q = 0.5": "gzip", "gzip;level=1;q=0": "gzip",
}  # fmt: skip

SCENARIOS = [
    Scenario(
        "compressor_responses",
        "a response is encoded for who accepts it: its length goes, encoding and vary come",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[compressor()]),
        calls=[get(headers=ACCEPT)],
        expect=[
            status(200),
            decoded(TEXT),
            got({"content-encoding": "gzip", "content-length": None, "vary": VARY, "content-type": "text/plain"}),
        ],
    ),
    Scenario(
        "compressor_accept_encoding",
        "the best of what the caller accepts is taken, the first of equals; vary says so to all",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[compressor()]),
        calls=[get(headers={"accept-encoding": one}) for one in ACCEPTED],
        expect=[
            got_each("content-encoding", *ACCEPTED.values()),
            got_each("vary", *[VARY] * len(ACCEPTED)),
            got_each("content-length", *(None if found else "120" for found in ACCEPTED.values())),
            decoded(*[TEXT] * len(ACCEPTED)),
        ],
    ),
    Scenario(
        "compressor_choose_first",
        "choose_first wins over others with the same q",
        rule="9.8 compressor choose_first",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[compressor(choose_first=True)]),
        calls=[
            get(headers={"accept-encoding": one}) for one in ("identity,gzip", "*,gzip;q=0.5", "identity,gzip;q=0.5")
        ],
        expect=[got_each("content-encoding", "gzip", "gzip", None)],
    ),
    Scenario(
        "compressor_leaves_alone",
        "what is short, of another type, encoded already or not to be transformed passes without vary",
        rule="9.8 compressor",
        upstreams={
            "a": {
                "/short": Reply(headers=PLAIN, body="x" * 29),
                "/enough": Reply(headers=PLAIN, body="x" * 30),
                "/image": Reply(headers={"content-type": "image/png"}, body=TEXT),
                "/no-type": Reply(body=TEXT),
                "/charset": Reply(headers={"content-type": "TEXT/html; charset=utf-8"}, body=TEXT),
                "/encoded": Reply(headers={**PLAIN, "content-encoding": "br"}, body=TEXT),
                "/no-transform": Reply(headers={**PLAIN, "cache-control": "public, No-Transform"}, body=TEXT),
                "/grpc": Reply(headers={"content-type": "application/grpc"}, body=TEXT),
            }
        },
        policy=boot(filters=[compressor()]),
        calls=[
            get(f"/{path}", ACCEPT)
            for path in ("short", "enough", "image", "no-type", "charset", "encoded", "no-transform", "grpc")
        ],
        expect=[
            got_each("content-encoding", None, "gzip", None, "gzip", "gzip", "br", None, None),
            got_each("vary", None, VARY, None, VARY, VARY, None, None, None),
        ],
    ),
    Scenario(
        "compressor_without_a_body",
        "responses without a body are not encoded, but get vary; an empty one in chunks is encoded",
        rule="9.8 compressor",
        upstreams={
            "a": {
                "/204": Reply(204, PLAIN, body=""),
                "/304": Reply(304, PLAIN, body=""),
                "/head": Reply(headers=PLAIN, body=TEXT),
                "/empty": Reply(headers=PLAIN, body=""),
                "/chunks": Reply(headers=PLAIN, body=[]),
            }
        },
        policy=boot(filters=[compressor()]),
        calls=[
            get("/204", ACCEPT),
            get("/304", ACCEPT),
            head("/head", ACCEPT),
            get("/empty", ACCEPT),
            get("/chunks", ACCEPT),
        ],
        expect=[
            status(204, 304, 200, 200, 200),
            got_each("content-encoding", None, None, None, None, "gzip"),
            got_each("vary", VARY, VARY, VARY, None, VARY),
            decoded("", "", "", "", ""),
        ],
    ),
    Scenario(
        "compressor_vary",
        "Accept-Encoding is put behind what the upstream's vary says, unless it stands there with these very letters",
        rule="9.8 compressor",
        upstreams=answers(a={"vary": "accept-encoding"}, b={"vary": "x, Accept-Encoding"}, c={"vary": "x"}),
        policy=boot(filters=[compressor()]),
        calls=[get("/a", ACCEPT), get("/b", ACCEPT), get("/c", ACCEPT)],
        expect=[got_each("vary", "accept-encoding, Accept-Encoding", "x, Accept-Encoding", "x, Accept-Encoding")],
    ),
    Scenario(
        "compressor_etag",
        "a strong etag goes with the encoding, a weak one stays; both stay where nothing is encoded",
        rule="9.8 compressor",
        upstreams=answers(strong={"etag": '"a"'}, weak={"etag": 'W/"a"'}, bare={"etag": "a"}),
        policy=boot(filters=[compressor()]),
        calls=[
            get("/strong", ACCEPT),
            get("/weak", ACCEPT),
            get("/bare", ACCEPT),
            get("/strong", {"accept-encoding": "br"}),
        ],
        expect=[got_each("etag", None, 'W/"a"', None, '"a"'), got_each("content-encoding", *["gzip"] * 3, None)],
    ),
    Scenario(
        "compressor_disable_on_etag_header",
        "with disable_on_etag_header what has an etag is left alone",
        rule="9.8 compressor",
        upstreams=answers(strong={"etag": '"a"'}, weak={"etag": 'W/"a"'}, none={}),
        policy=boot(filters=[responses(disable_on_etag_header=True)]),
        calls=[get("/strong", ACCEPT), get("/weak", ACCEPT), get("/none", ACCEPT)],
        expect=[
            got_each("content-encoding", None, None, "gzip"),
            got_each("etag", '"a"', 'W/"a"', None),
            got_each("vary", None, None, VARY),
        ],
    ),
    Scenario(
        "compressor_weaken_etag",
        "with weaken_etag_on_compress it becomes a weak one, even beside disable_on_etag_header",
        rule="9.8 compressor",
        upstreams=answers(strong={"etag": '"a"'}, weak={"etag": 'w/"a"'}),
        policy=boot(filters=[responses(weaken_etag_on_compress=True, disable_on_etag_header=True)]),
        calls=[get("/strong", ACCEPT), get("/weak", ACCEPT)],
        expect=[got_each("content-encoding", "gzip", "gzip"), got_each("etag", 'W/"a"', 'w/"a"')],
    ),
    Scenario(
        "compressor_status_header",
        "status_header_enabled tells what came of it: the first reason, and nothing where nobody could encode it",
        rule="9.8 compressor",
        upstreams={
            "a": {
                "/yes": Reply(headers=PLAIN, body=TEXT),
                "/short": Reply(headers=PLAIN, body="x"),
                "/image": Reply(404, {"content-type": "image/png", "etag": "a"}, body=TEXT),
                "/etag": Reply(404, {**PLAIN, "etag": "a"}, body=TEXT),
                "/404": Reply(404, PLAIN, body=TEXT),
                "/encoded": Reply(headers={**PLAIN, "content-encoding": "br"}, body="x"),
                "/chunks": Reply(headers=PLAIN, body=[TEXT]),
            }
        },
        policy=boot(
            filters=[
                responses(status_header_enabled=True, disable_on_etag_header=True, uncompressible_response_codes=[404])
            ]
        ),
        calls=[
            *(get(f"/{path}", ACCEPT) for path in ("yes", "short", "image", "etag", "404", "encoded", "chunks")),
            get("/short", {"accept-encoding": "br"}),
            get("/yes", {"accept-encoding": "br"}),
            head("/image", ACCEPT),
        ],
        expect=[
            got_each(
                "x-envoy-compression-status",
                "gzip;Compressed;OriginalLength=120",
                "gzip;ContentLengthTooSmall",
                "gzip;ContentTypeNotAllowed",
                "gzip;EtagNotAllowed",
                "gzip;StatusCodeNotAllowed",
                None,
                "gzip;Compressed;OriginalLength=",
                "gzip;ContentLengthTooSmall",
                None,
                None,
            ),
            got_each("content-encoding", "gzip", *[None] * 4, "br", "gzip", *[None] * 3),
        ],
    ),
    Scenario(
        "compressor_what_is_worth_it",
        "length, types and statuses are the policy's to say",
        rule="9.8 compressor",
        upstreams={
            "a": {
                "/own": Reply(headers={"content-type": "X/own; v=1"}, body="x" * 10),
                "/plain": Reply(headers=PLAIN, body=TEXT),
                "/500": Reply(500, {"content-type": "x/own"}, body=TEXT),
                "/501": Reply(501, {"content-type": "x/own"}, body=TEXT),
            }
        },
        policy=boot(
            filters=[
                responses(
                    {"min_content_length": 10, "content_type": ["x/Own"]}, uncompressible_response_codes=[500, 503]
                )
            ]
        ),
        calls=[get("/own", ACCEPT), get("/plain", ACCEPT), get("/500", ACCEPT), get("/501", ACCEPT)],
        expect=[got_each("content-encoding", "gzip", None, None, "gzip"), got_each("vary", VARY, None, None, VARY)],
    ),
    Scenario(
        "compressor_older_fields",
        "the filter's older fields mean responses, unless response_direction_config is there",
        rule="9.8 compressor",
        upstreams={"a": {"/": Reply(headers={"content-type": "x/own", "etag": "a"}, body="x" * 10)}},
        policy=boot(
            [
                route(prefix="/", more=level(overrides={})),
            ],
            filters=[compressor(content_length=10, content_type=["x/own"], remove_accept_encoding_header=True)],
        ),
        calls=[get("/", ACCEPT)],
        expect=[got_each("content-encoding", "gzip"), sent_each("accept-encoding", None)],
    ),
    Scenario(
        "compressor_older_fields_hidden",
        "with a response_direction_config all of them are forgotten",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(
            filters=[
                compressor(
                    content_type=["x/own"],
                    runtime_enabled=switch(on=False)["enabled"],
                    remove_accept_encoding_header=True,
                    response_direction_config={},
                )
            ]
        ),
        calls=[get("/", ACCEPT)],
        expect=[got_each("content-encoding", "gzip"), sent_each("accept-encoding", "gzip")],
    ),
    Scenario(
        "compressor_hides_accept_encoding",
        "remove_accept_encoding_header takes it away from the upstream, not from the filter",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[responses(remove_accept_encoding_header=True)]),
        calls=[get(headers=ACCEPT)],
        expect=[sent_each("accept-encoding", None), got({"content-encoding": "gzip"}), decoded(TEXT)],
    ),
    Scenario(
        "compressor_off",
        "a filter whose responses are switched off does nothing, and hides nothing",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[responses(switch(on=False), remove_accept_encoding_header=True)]),
        calls=[get(headers=ACCEPT)],
        expect=[sent_each("accept-encoding", "gzip"), got({"content-encoding": None, "vary": None}), bodies(TEXT)],
    ),
    Scenario(
        "compressor_levels",
        "a route may switch responses off, on, and say what is hidden",
        rule="9.8 compressor per route",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(
            [
                route(prefix="/off", more=level(disabled=True)),
                route(
                    prefix="/on",
                    more=level(overrides={"response_direction_config": {"remove_accept_encoding_header": True}}),
                ),
                route(prefix="/library", more=level(overrides={"compressor_library": library(window_bits=9)})),
                route(),
            ],
            filters=[responses(switch(on=False))],
        ),
        calls=[get("/off", ACCEPT), get("/on", ACCEPT), get("/library", ACCEPT), get("/", ACCEPT)],
        expect=[
            got_each("content-encoding", None, "gzip", None, None),
            sent_each("accept-encoding", "gzip", None, "gzip", "gzip"),
        ],
    ),
    Scenario(
        "compressor_disabled_route",
        "disabled: true means responses alone: a route's requests are encoded all the same",
        rule="9.8 compressor per route",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(
            [route(more=level(disabled=True))],
            filters=[requests(response_direction_config={"remove_accept_encoding_header": True})],
        ),
        calls=[post("/", TEXT.encode(), ACCEPT)],
        expect=[
            got({"content-encoding": None, "vary": None}),
            sent_each("accept-encoding", "gzip"),
            sent_each("content-encoding", "gzip"),
            arrived(TEXT),
        ],
    ),
    Scenario(
        "compressor_local_replies",
        "direct responses and other replies of the sidecar's own are encoded as well",
        rule="9.8 compressor",
        policy=boot(
            [direct(200, TEXT, prefix="/direct"), direct(503, "short", prefix="/short"), route("down", prefix="/down")],
            [cluster("down", [])],
            filters=[responses({"min_content_length": 10})],
        ),
        calls=[
            get("/direct", ACCEPT),
            get("/short", ACCEPT),
            get("/down", ACCEPT),
            head("/direct", ACCEPT),
            get("/direct", {"accept-encoding": "br"}),
        ],
        expect=[
            status(200, 503, 503, 200, 200),
            got_each("content-encoding", "gzip", None, "gzip", None, None),
            got_each("content-length", None, "5", None, "120", "120"),
            got_each("vary", VARY, None, VARY, VARY, VARY),
            decoded(TEXT, "short", "no healthy upstream", "", TEXT),
        ],
    ),
    Scenario(
        "compressor_twice",
        "of two, the one nearer to the upstream encodes, and the other finds it done",
        rule="9.8 compressor",
        upstreams={
            "a": {"/": Reply(headers=PLAIN, body=TEXT), "/own": Reply(headers={"content-type": "x/own"}, body=TEXT)}
        },
        policy=boot(filters=[compressor(), {**responses({"content_type": ["x/own"]}), "name": "second"}]),
        calls=[get("/", ACCEPT), get("/own", ACCEPT)],
        expect=[got_each("content-encoding", "gzip", "gzip"), decoded(TEXT, TEXT), got_each("vary", VARY, VARY)],
    ),
    Scenario(
        "compressor_streams",
        "pieces can be decoded as they come",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=[TEXT, TEXT], pause=0.4)},
        policy=boot(filters=[compressor()]),
        calls=[get(headers=ACCEPT)],
        expect=[
            decoded(TEXT * 2),
            see(
                "first piece",
                lambda run: zlib.decompressobj(31).decompress(
                    run.outcomes[0].body[: sum(size for at, size in run.outcomes[0].pieces if at < EARLY)]
                ),
                TEXT.encode(),
            ),
        ],
    ),
    Scenario(
        "compressor_http2",
        "over HTTP/2 it is the same",
        rule="9.8 compressor",
        upstreams={"a": Upstream(Reply(headers=PLAIN, body=TEXT), kind="http2")},
        policy=boot(clusters=[cluster(**http2())], filters=[requests()]),
        calls=[post("/", TEXT.encode(), ACCEPT)],
        expect=[
            status(200),
            decoded(TEXT),
            arrived(TEXT),
            got({"content-encoding": "gzip", "content-length": None, "vary": VARY}),
            sent_each("content-length", None),
        ],
    ),
    Scenario(
        "compressor_http2_without_a_body",
        "an answer that ends with its head has no body to encode, though nothing in it says so",
        rule="9.8 compressor",
        upstreams={"a": Upstream(Reply(headers=PLAIN, body=b""), kind="http2")},
        policy=boot(clusters=[cluster(**http2())], filters=[compressor()]),
        calls=[get(headers=ACCEPT)],
        expect=[status(200), got({"content-encoding": None, "content-length": "0", "vary": VARY})],
    ),
    Scenario(
        "compressor_requests",
        "requests are encoded where the policy says so: those with a body that is worth it, whole or in pieces",
        rule="9.8 compressor",
        policy=boot(filters=[requests()]),
        calls=[
            post("/", TEXT.encode(), PLAIN),
            post("/", None, PLAIN, chunks=[b"hello ", b"world"]),
            post("/", b"x" * 29, PLAIN),
            post("/", TEXT.encode(), {"content-type": "image/png"}),
            post("/", TEXT.encode(), {**PLAIN, "content-encoding": "br"}),
            post("/", TEXT.encode(), {**PLAIN, "cache-control": "no-transform", "etag": '"a"'}),
            post("/", b"", PLAIN),
            get(),
        ],
        expect=[
            sent_each("content-encoding", "gzip", "gzip", None, None, "br", "gzip", None, None),
            sent_each("content-length", None, None, "29", "120", "120", None, "0", None),
            sent_each("transfer-encoding", "chunked", "chunked", None, None, None, "chunked", None, None),
            arrived(TEXT, "hello world", "x" * 29, TEXT, TEXT, TEXT, "", ""),
        ],
    ),
    Scenario(
        "compressor_requests_not_asked_for",
        "without a request_direction_config they are left alone, and so they are where it is switched off",
        rule="9.8 compressor",
        policy=boot(filters=[compressor(), {**requests(switch(on=False)), "name": "second"}]),
        calls=[post("/", TEXT.encode(), PLAIN)],
        expect=[sent_each("content-encoding", None), received(TEXT)],
    ),
    Scenario(
        "compressor_requests_are_retried",
        "an encoded request is sent again as it was",
        rule="9.8 compressor",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry("5xx", 1))], filters=[requests()]),
        calls=[post("/", None, PLAIN, chunks=[TEXT.encode(), TEXT.encode()])],
        expect=[status(200), hits(a=2), arrived(TEXT * 2, TEXT * 2)],
    ),
    Scenario(
        "compressor_beside_a_buffer",
        "behind it a buffer tells the length of what was encoded",
        rule="9.8 compressor",
        policy=boot(filters=[requests(), http_filter("buffer", "buffer.v3.Buffer", max_request_bytes=1000)]),
        calls=[post("/", TEXT.encode(), PLAIN)],
        expect=[
            sent_each("transfer-encoding", None),
            see("told", told, True),
            arrived(TEXT),
        ],
    ),
    Scenario(
        "compressor_and_decompressor",
        "a decompressor in front undoes it for the application, and one behind lets it be done anew",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=TEXT)},
        policy=boot(filters=[decompressor(), compressor()]),
        calls=[get(headers={"accept-encoding": "identity;q=0.1"})],
        expect=[
            got({"content-encoding": None, "vary": VARY, "content-length": None}),
            bodies(TEXT),
            sent_each("accept-encoding", "identity;q=0.1,gzip"),
        ],
    ),
]
