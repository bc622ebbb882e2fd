"""`local_reply_config` and the formats of direct responses (semantics 12.3)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, direct, header, redirect, route
from ..look import bodies, details, got, got_each, status
from ..model import Call, Scenario, get
from ..upstreams.replies import Reply

Document = dict[str, Any]
GRPC = {"content-type": "application/grpc+proto"}


def text(words: str, **more: Any) -> Document:
    return {"text_format_source": {"inline_string": words}, **more}


def mapper(value: str, **fields: Any) -> Document:
    """A mapper for calls with `x-m: <value>`."""
    return {"filter": {"header_filter": {"header": {"name": "x-m", "string_match": {"exact": value}}}}, **fields}


def _policy(*mappers: Document, **config: Any) -> Document:
    added = [header("x-r", "route"), header("x-rc", "%RESPONSE_CODE%")]
    return boot(
        [
            route("empty", "/none", more={"response_headers_to_add": added}),
            direct(201, "dir", "/direct"),
            redirect("/redirect", path_redirect="/x"),
            route("a", "/up"),
        ],
        [cluster("a"), cluster("empty", endpoints=[])],
        manager={"local_reply_config": {"mappers": list(mappers), **config}},
    )


def call(path: str, value: str, headers: Document | None = None, **fields: Any) -> Call:
    return get(path, {"x-m": value, **(headers or {})}, **fields)


FORMAT = {"body_format": text("F:%LOCAL_REPLY_BODY%:%RESPONSE_CODE%")}
ONE = mapper(
    "1",
    status_code=418,
    body={"inline_string": "mapped"},
    headers_to_add=[
        header("x-l", "%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%LOCAL_REPLY_BODY%|%REQ(:path)%"),
        header("x-r", "mapper"),
        header("x-none", "%REQ(no)%"),
    ],
)
BY_FLAG = {"filter": {"response_flag_filter": {"flags": ["NR"]}}, "status_code": 410}
RULE = "12.3 local_reply_config"

SCENARIOS = [
    Scenario(
        "local_reply_mapped",
        "the first mapper that applies sets code, body and headers; its headers see the code as it was",
        rule=RULE,
        policy=_policy(ONE, mapper("1", status_code=500), **FORMAT),
        calls=[call("/none", "1"), call("/none", "0")],
        expect=[
            status(418, 503),
            bodies("F:mapped:418", "F:no healthy upstream:503"),
            got({"x-l": "503|UH|no_healthy_upstream||/none", "x-r": ["route", "mapper"], "x-rc": "0"}, 0),
            got_each("x-none", None, None),
            details("no_healthy_upstream", "no_healthy_upstream"),
        ],
    ),
    Scenario(
        "local_reply_all_kinds",
        "direct responses, redirects and 404 are local replies, too; what an upstream answered is not touched",
        rule=RULE,
        upstreams={"a": Reply(503, body=b"up")},
        policy=_policy(ONE, **FORMAT),
        calls=[call(path, value) for path in ("/direct", "/redirect", "/nowhere", "/up") for value in "01"],
        expect=[
            status(201, 418, 301, 418, 404, 418, 503, 503),
            bodies("F:dir:201", "F:mapped:418", "F::301", "F:mapped:418", "F::404", "F:mapped:418", "up", "up"),
            got_each(
                "x-l",
                None,
                "201|-|direct_response||/direct",
                None,
                "301|-|direct_response||/redirect",
                None,
                "404|NR|route_not_found||/nowhere",
                None,
                None,
            ),
        ],
    ),
    Scenario(
        "local_reply_formats",
        "JSON is typed and sorted, text has its content type, an empty format is no body; a mapper's beats the general",
        rule=RULE,
        policy=_policy(
            mapper(
                "json",
                body_format_override={
                    "json_format": {
                        "b": "%LOCAL_REPLY_BODY%",
                        "c": "%RESPONSE_CODE%",
                        "a": "x %REQ(x-m)%",
                        "n": "%REQ(no)%",
                        "deep": {"list": [True, None, "%RESPONSE_CODE%"]},
                    }
                },
            ),
            mapper("html", body_format_override=text("<%LOCAL_REPLY_BODY%> %REQ(no)%", content_type="text/html")),
            mapper("old", body_format_override={"text_format": "%LOCAL_REPLY_BODY%!"}),
            mapper("none", body_format_override=text("")),
            mapper(
                "less",
                body_format_override={
                    "json_format": {"n": "%REQ(no)%", "c": 1},
                    "omit_empty_values": True,
                    "content_type": "a/json",
                },
            ),
            **FORMAT,
        ),
        calls=[call("/none", value) for value in ("json", "html", "old", "none", "less")],
        expect=[
            bodies(
                '{"a":"x json","b":"no healthy upstream","c":503,"deep":{"list":[true,null,503]},"n":null}\n',
                "<no healthy upstream> -",
                "no healthy upstream!",
                "",
                '{"c":1}\n',
            ),
            got_each("content-type", "application/json", "text/html", "text/plain", None, "a/json"),
        ],
    ),
    Scenario(
        "local_reply_grpc",
        "a gRPC caller gets the mapped code and the formatted body as its status and message",
        rule=RULE,
        policy=_policy(ONE, **FORMAT),
        calls=[call("/none", "1", GRPC), call("/none", "0", GRPC)],
        expect=[
            status(200, 200),
            bodies("", ""),
            got_each("grpc-status", "2", "14"),
            got_each("grpc-message", "F:mapped:418", "F:no healthy upstream:503"),
            got_each("content-type", "application/grpc", "application/grpc"),
        ],
    ),
    Scenario(
        "local_reply_by_flag",
        "a mapper by response flag, and HEAD, which has the length and no body",
        rule=RULE,
        policy=_policy(BY_FLAG, **FORMAT),
        calls=[get("/nowhere"), get("/none"), Call("/nowhere", "HEAD")],
        expect=[
            status(410, 503, 410),
            bodies("F::410", "F:no healthy upstream:503", ""),
            got_each("content-length", "6", "25", "6"),
        ],
    ),
    Scenario(
        "direct_response_body_format",
        "direct_response.body_format: the code is not on record yet",
        rule="1.6 direct_response",
        policy=boot(
            [
                {
                    "match": {"prefix": "/"},
                    "direct_response": {
                        "status": 403,
                        "body": {"inline_string": "x"},
                        "body_format": {
                            "json_format": {"b": "%LOCAL_REPLY_BODY%", "c": "%RESPONSE_CODE%", "p": "%REQ(:path)%"}
                        },
                    },
                }
            ]
        ),
        calls=[get("/a"), get("/a", GRPC)],
        expect=[
            status(403, 200),
            bodies('{"b":"x","c":0,"p":"/a"}\n', ""),
            got_each("content-type", "application/json", "application/grpc"),
            got_each("grpc-message", None, '{"b":"x","c":0,"p":"/a"}%0A'),
        ],
    ),
]
