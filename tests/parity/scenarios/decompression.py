"""The filter decompressor (semantics 9.8)."""

from __future__ import annotations

import gzip
from typing import Any

from ..bootstrap import Document, boot, http_filter
from ..look import bodies, got, got_each, received, see, sent, sent_each, status
from ..model import Scenario, get, post
from ..upstreams.replies import Reply

TEXT = b"hello " * 20
PACKED = gzip.compress(TEXT, mtime=0)
GZIP = {"content-encoding": "gzip"}
OFF = {"common_config": {"enabled": {"default_value": False, "runtime_key": "off"}}}
PLAIN = TEXT.decode()
UNTOUCHED = PACKED.decode("latin-1")


def decompressor(library: Document | None = None, **fields: Any) -> Document:
    kind = "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip"
    named = {"name": "gzip", "typed_config": {"@type": kind, **(library or {})}}
    return http_filter("decompressor", "decompressor.v3.Decompressor", decompressor_library=named, **fields)


SCENARIOS = [
    Scenario(
        "decompressor_responses",
        "an encoded response is decoded: encoding and length go, the etag stays",
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers={**GZIP, "etag": '"e"', "vary": "x"}, body=PACKED)},
        policy=boot(filters=[decompressor()]),
        calls=[get(headers={"accept-encoding": "identity"})],
        expect=[
            status(200),
            bodies(PLAIN),
            got({"content-encoding": None, "content-length": None, "etag": '"e"', "vary": "x"}),
        ],
    ),
    Scenario(
        "decompressor_streams",
        "pieces are decoded as they come",
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers=GZIP, body=[PACKED[:12], PACKED[12:]], pause=0.05)},
        policy=boot(filters=[decompressor()]),
        calls=[get()],
        expect=[bodies(PLAIN)],
    ),
    Scenario(
        "decompressor_asks",
        "gzip is added to what the caller accepts, once, unless switched off",
        rule="9.8 decompressor",
        policy=boot(filters=[decompressor()]),
        calls=[
            get(headers={"accept-encoding": "br"}),
            get(headers={"accept-encoding": "gzip"}),
            get(headers={"accept-encoding": "br;q=0.5, gzip;q=0.1"}),
        ],
        expect=[sent_each("accept-encoding", "br,gzip", "gzip", "br;q=0.5,gzip")],
    ),
    Scenario(
        "decompressor_does_not_ask",
        "advertise_accept_encoding: false leaves accept-encoding alone, and responses are decoded all the same",
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers=GZIP, body=PACKED)},
        policy=boot(filters=[decompressor(request_direction_config={"advertise_accept_encoding": False})]),
        calls=[get(headers={"accept-encoding": "br"})],
        expect=[sent({"accept-encoding": "br"}), bodies(PLAIN)],
    ),
    Scenario(
        "decompressor_leaves_alone",
        "other encodings, no-transform, and responses without a body are left as they are",
        rule="9.8 decompressor",
        upstreams={
            "a": {
                "/other": Reply(headers={"content-encoding": "x-own"}, body="own"),
                "/no-transform": Reply(headers={**GZIP, "cache-control": "public, no-transform"}, body=PACKED),
                "/none": Reply(304, GZIP),
                "/plain": Reply(body="plain"),
            }
        },
        policy=boot(filters=[decompressor()]),
        calls=[get("/other"), get("/no-transform"), get("/none"), get("/plain")],
        expect=[
            got_each("content-encoding", "x-own", "gzip", "gzip", None),
            bodies("own", UNTOUCHED, "", "plain"),
        ],
    ),
    Scenario(
        "decompressor_ignore_no_transform",
        "ignore_no_transform_header decodes them, too",
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers={**GZIP, "cache-control": "no-transform"}, body=PACKED)},
        policy=boot(
            filters=[decompressor(response_direction_config={"common_config": {"ignore_no_transform_header": True}})]
        ),
        calls=[get()],
        expect=[got({"content-encoding": None}), bodies(PLAIN)],
    ),
    Scenario(
        "decompressor_nonsense",
        "what is no gzip ends the body without a word; so does a stream that breaks off",
        rule="9.8 decompressor",
        upstreams={
            "a": {"/none": Reply(headers=GZIP, body="not gzip"), "/cut": Reply(headers=GZIP, body=PACKED[:-12])}
        },
        policy=boot(filters=[decompressor()]),
        calls=[get("/none"), get("/cut")],
        expect=[status(200, 200), bodies("", PLAIN[:6])],
    ),
    Scenario(
        "decompressor_requests",
        "encoded requests are decoded and sent on in chunks",
        rule="9.8 decompressor",
        policy=boot(filters=[decompressor()]),
        calls=[
            post("/", PACKED, GZIP),
            post("/", None, GZIP, chunks=[PACKED[:20], PACKED[20:]], pause=0.05),
            post("/", b"plain"),
        ],
        expect=[
            received(PLAIN, PLAIN, "plain"),
            sent_each("content-encoding", None, None, None),
            sent_each("transfer-encoding", "chunked", "chunked", None),
        ],
    ),
    Scenario(
        "decompressor_directions",
        "each direction can be switched off; without responses to decode none are asked for",
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers=GZIP, body=PACKED)},
        policy=boot(filters=[decompressor(request_direction_config=OFF, response_direction_config=OFF)]),
        calls=[post("/", PACKED, {**GZIP, "accept-encoding": "br"})],
        expect=[sent({"content-encoding": "gzip", "accept-encoding": "br"}), got({"content-encoding": "gzip"})],
    ),
    Scenario(
        "decompressor_bomb_by_default",
        "unless set the output is a hundred times the input at most",
        rule="9.8 decompressor max_inflate_ratio 100",
        upstreams={"a": Reply(headers=GZIP, body=gzip.compress(bytes(1_000_000), mtime=0))},
        policy=boot(filters=[decompressor()]),
        calls=[get()],
        expect=[status(200), see("length", lambda run: len(run.outcomes[0].body), 102_400)],
    ),
    Scenario(
        "decompressor_of_several_encodings",
        "the first encoding of a list is looked at, undone and taken from it",
        rule="9.8 decompressor content-encoding",
        upstreams={
            "a": {
                "/first": Reply(headers={"content-encoding": "gzip, br"}, body=gzip.compress(b"text", mtime=0)),
                "/second": Reply(headers={"content-encoding": "br, gzip"}, body=b"text"),
            }
        },
        policy=boot(filters=[decompressor()]),
        calls=[get("/first"), get("/second")],
        expect=[bodies("text", "text"), got_each("content-encoding", "br", "br, gzip")],
    ),
    *(
        Scenario(
            f"decompressor_bomb_{zeros}_{ratio}",
            "output of more than so many times the input is cut off, behind the chunk that is too much",
            rule="9.8 decompressor max_inflate_ratio",
            upstreams={"a": Reply(headers=GZIP, body=gzip.compress(bytes(zeros), mtime=0))},
            policy=boot(filters=[decompressor({"max_inflate_ratio": ratio})]),
            calls=[get()],
            expect=[status(200), see("length", lambda run: len(run.outcomes[0].body), length)],
        )
        for zeros, ratio, length in ((1_000_000, 100, 102_400), (20_000, 10, 4096), (20_000, 1000, 20_000))
    ),
]
