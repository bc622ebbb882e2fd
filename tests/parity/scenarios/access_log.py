"""Access logs (semantics 11.3): formats, filters, and what the operators say of calls that end in every way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bootstrap import boot, cluster, direct, retry, route, typed
from ..expect import Re, Where
from ..look import see
from ..model import Run, Scenario, Step, get, post, wait_for
from ..upstreams.replies import Reply, Upstream, hang

Document = dict[str, Any]


def file_log(form: Document | None = None, condition: Document | None = None, **fields: Any) -> Document:
    config = typed("extensions.access_loggers.file.v3.FileAccessLog", path="${file:calls.log}", **fields)
    if form is not None:
        config["log_format"] = form
    return {"name": "log", "typed_config": config, **({"filter": condition} if condition else {})}


def text(words: str, **more: Any) -> Document:
    return {"text_format_source": {"inline_string": words + "\n"}, **more}


def written(run: Run) -> list[str]:
    path = run.folder / "calls.log"
    return path.read_text().splitlines() if path.exists() else []


HOSTS = "%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_HOSTS_ATTEMPTED% "
HOSTS += "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"


def _with_names(run: Run) -> list[str]:
    """The log, with upstreams' names in place of their ports."""
    lines = written(run)
    for name in run.upstreams:
        lines = [line.replace(f":{run.site.port(name)}", f":{name}") for line in lines]
    return lines


def _scenario(
    name: str,
    about: str,
    logs: Sequence[Document],
    calls: Sequence[Step],
    expected: Sequence[Any],
    **fields: Any,
) -> Scenario:
    """Calls, and the lines that are written of them."""
    policy = fields.pop("policy", {})
    return Scenario(
        f"access_log_{name}",
        about,
        rule="11.3 access log",
        policy=boot(manager={"access_log": list(logs)}, **policy),
        calls=[*calls, wait_for(lambda run: len(written(run)) >= len(expected))],
        expect=[see("log", written, list(expected))],
        **fields,
    )


ID = "[0-9a-f-]{36}"
STORY = "%REQ(:METHOD)% %PATH% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%"
BYTES = "%BYTES_RECEIVED% %BYTES_SENT% %REQUEST_HEADERS_BYTES% %UPSTREAM_REQUEST_ATTEMPT_COUNT%"
UP = "%UPSTREAM_CLUSTER% %ROUTE_NAME% %UPSTREAM_PROTOCOL% %GRPC_STATUS% %GRPC_STATUS_NUMBER%"


def _compared(op: str, value: int) -> Document:
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "key"}}}


FILTERS: dict[str, Document] = {
    "ge": {"status_code_filter": _compared("GE", 500)},
    "eq": {"status_code_filter": _compared("EQ", 200)},
    "le": {"status_code_filter": _compared("LE", 404)},
    "ne": {"status_code_filter": _compared("NE", 404)},
    "slow": {"duration_filter": _compared("GE", 10_000)},
    "real": {"not_health_check_filter": {}},
    "traced": {"traceable_filter": {}},
    "none": {"runtime_filter": {"runtime_key": "no"}},
    "all": {"runtime_filter": {"runtime_key": "no", "percent_sampled": {"numerator": 100}}},
    "flags": {"response_flag_filter": {}},
    "NR": {"response_flag_filter": {"flags": ["NR"]}},
    "unknown": {"grpc_status_filter": {"statuses": ["UNKNOWN"]}},
    "known": {"grpc_status_filter": {"statuses": ["UNKNOWN"], "exclude": True}},
    "no status": {"grpc_status_filter": {}},
    "ends": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    "others": {"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}},
    "both": {"and_filter": {"filters": [
        {"status_code_filter": _compared("GE", 500)},
        {"header_filter": {"header": {"name": "x-a", "present_match": True}}},
    ]}},
    "either": {"or_filter": {"filters": [
        {"status_code_filter": _compared("GE", 500)},
        {"header_filter": {"header": {"name": "x-a", "present_match": True}}},
    ]}},
}  # fmt: skip

EITHER = [
    {"status_code_filter": _compared("EQ", 404)},
    {"header_filter": {"header": {"name": "x-a", "present_match": True}}},
]
DEAD = (
    "GET /dead 503 upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:"
    "_Connection_refused} URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure 121 2 dead - - - -"
)
GRPC = {"content-type": "application/grpc"}

OPERATORS = (
    "%ACCESS_LOG_TYPE% %PROTOCOL% %BYTES_RECEIVED% %BYTES_RETRANSMITTED% %RESPONSE_TRAILERS_BYTES% "
    "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %TRAILER(x)% %RESP(x-r)% %RESP(no?x-r):1% "
    "%METADATA(ROUTE:a:b)% %METADATA(ROUTE:a:o)% %METADATA(CLUSTER:a)% %START_TIME(%Y)% %ENVIRONMENT(NO_SUCH)% "
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)% %QUERY_PARAMS% "
    "%UPSTREAM_HOST_NAME_WITHOUT_PORT% %LISTENER_NAME% %DYNAMIC_METADATA(a:b)% %RESPONSE_HEADERS_BYTES%"
)

SCENARIOS = [
    _scenario(
        "default_format",
        "without a format the line is Envoy's own",
        [file_log()],
        [get("/a?b", {"user-agent": "me"}), post("/c", b"12345", {"user-agent": "me", "x-forwarded-for": "10.0.0.1"})],
        [
            Re(rf'\[[0-9T:.-]+Z\] "GET /a\?b HTTP/1.1" 200 - 0 2 \d+ \d+ "-" "me" "{ID}" "[^"]+" "127.0.0.1:\d+"'),
            Re(rf'\[[0-9T:.-]+Z\] "POST /c HTTP/1.1" 200 - 5 2 \d+ \d+ "10.0.0.1" "me" "{ID}" "[^"]+" "127.0.0.1:\d+"'),
        ],
        upstreams={"a": Reply(body=b"ok")},
    ),
    _scenario(
        "stories",
        "each way a call may end: its code, details, flags, bytes and tries",
        [file_log(text(f"{STORY} %BYTES_SENT% %UPSTREAM_REQUEST_ATTEMPT_COUNT% {UP}"))],
        [
            get("/ok"),
            get("/dead"),
            get("/late"),
            get("/direct"),
            get("/nowhere"),
            get("/ok", GRPC),
        ],
        [
            "GET /ok 200 via_upstream - - 2 1 a ok HTTP/1.1 - -",
            DEAD,
            "GET /late 504 response_timeout UT UpstreamRequestTimeout 24 1 slow - HTTP/1.1 - -",
            "GET /direct 200 direct_response - - 2 0 - - - - -",
            "GET /nowhere 404 route_not_found NR NoRouteFound 0 0 - - - - -",
            "GET /ok 200 via_upstream - - 2 1 a ok HTTP/1.1 Unknown 2",
        ],
        upstreams={"a": Reply(body=b"ok"), "dead": Upstream(kind="refused"), "slow": Reply(delay=2)},
        policy={
            "routes": [
                route("a", "/ok", more={"name": "ok"}),
                route("dead", "/dead", retry_policy=retry("5xx", 1)),
                route("slow", "/late", timeout="0.1s"),
                direct(200, "hi", "/direct"),
            ],
            "clusters": [cluster("a"), cluster("dead"), cluster("slow")],
        },
    ),
    _scenario(
        "original_path",
        "after a rewrite REQ(:PATH) is the new path; PATH and X-ENVOY-ORIGINAL-PATH tell the old one",
        [file_log(text("%REQ(:PATH)% %PATH% %PATH(NQ:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH):4% %QUERY_PARAM(q)%"))],
        [get("/old/x?q=a%20b")],
        ["/new/x?q=a%20b /old/x?q=a%20b /new/x /old a b"],
        policy={"routes": [route("a", "/old", prefix_rewrite="/new")]},
    ),
    _scenario(
        "json",
        "JSON: sorted keys, typed values, null for what is unset, structures inside",
        [
            file_log(
                {
                    "json_format": {
                        "z": "%RESPONSE_CODE%",
                        "a": {"sent": "%BYTES_SENT%", "list": ["%REQ(x-a)%", True, None, 7]},
                        "no": "%REQ(no)%",
                        "mixed": "code=%RESPONSE_CODE% %REQ(no)%",
                        "flags": "%RESPONSE_FLAGS%",
                    }
                }
            )
        ],
        [get("/", {"x-a": "1"})],
        ['{"a":{"list":["1",true,null,7],"sent":2},"flags":"-","mixed":"code=200 -","no":null,"z":200}'],
        upstreams={"a": Reply(body=b"ok")},
    ),
    _scenario(
        "omit_empty_values",
        "omit_empty_values takes out what is unset, in JSON with what held nothing else, in text as nothing",
        [
            file_log(
                {
                    "omit_empty_values": True,
                    "json_format": {
                        "a": "%REQ(no)%",
                        "b": {"c": "%REQ(no)%"},
                        "d": ["%REQ(no)%", 1],
                        "e": "x%REQ(no)%",
                    },
                }
            ),
            file_log(text("[%REQ(no)%]", omit_empty_values=True)),
        ],
        [get()],
        ['{"d":[1],"e":"x"}', "[]"],
    ),
    _scenario(
        "older_fields",
        "format, json_format and typed_json_format of the file logger, deprecated, still write",
        [
            file_log(format="old %REQ(no)%\n"),
            file_log(json_format={"a": "%RESPONSE_CODE%", "b": "%REQ(no)%"}),
            file_log(typed_json_format={"a": "%RESPONSE_CODE%", "b": "%REQ(no)%"}),
        ],
        [get()],
        ["old -", '{"a":200,"b":null}', '{"a":200,"b":null}'],
    ),
    _scenario(
        "filters",
        "each filter selects what it says: 200, 503 with x-a, 404",
        [file_log(text(f"{name} %RESPONSE_CODE%"), condition) for name, condition in FILTERS.items()],
        [get("/ok"), get("/none", {"x-a": "1"}), get("/nowhere")],
        [
            "eq 200",
            "le 200",
            "ne 200",
            "real 200",
            "all 200",
            "unknown 200",
            "ends 200",
            "ge 503",
            "ne 503",
            "real 503",
            "all 503",
            "flags 503",
            "known 503",
            "ends 503",
            "both 503",
            "either 503",
            "le 404",
            "real 404",
            "all 404",
            "flags 404",
            "NR 404",
            "known 404",
            "ends 404",
        ],
        policy={
            "routes": [route("a", "/ok"), route("empty", "/none")],
            "clusters": [cluster("a"), cluster("empty", endpoints=[])],
        },
    ),
    Scenario(
        "access_log_hosts",
        "UPSTREAM_HOST is told though there was no connection; what stands for a connection is not",
        rule="11.3 access log",
        upstreams={"a": 200, "b": Upstream(kind="refused")},
        policy=boot(
            [route("b", "/refused", retry_policy=retry("connect-failure", 1)), route()],
            [cluster("a"), cluster("b")],
            manager={"access_log": [file_log(text(HOSTS))]},
        ),
        calls=[get("/refused"), get("/ok"), wait_for(lambda run: len(written(run)) == 2)],
        expect=[see("log", _with_names, ["b 127.0.0.1:b - - 2", "a 127.0.0.1:a 127.0.0.1:a 127.0.0.1:a 1"])],
    ),
    _scenario(
        "streamed_request",
        "bytes of a streamed request count; times have the digits that are asked for",
        [file_log(text("%BYTES_RECEIVED% %START_TIME(%s.%3f)%"))],
        [post("/", None, chunks=[b"12", b"34"])],
        [Re(r"4 \d{10}\.\d{3}")],
    ),
    _scenario(
        "filters_at_their_edges",
        "GE takes in its value; and wants both, or is content with one",
        [
            file_log(text("404 or more: %PATH%"), {"status_code_filter": _compared("GE", 404)}),
            file_log(text("and: %PATH%"), {"and_filter": {"filters": EITHER}}),
            file_log(text("or: %PATH%"), {"or_filter": {"filters": EITHER}}),
        ],
        [get("/ok"), get("/ok?a", {"x-a": "1"}), get("/nowhere"), get("/nowhere?a", {"x-a": "1"})],
        [
            "or: /ok?a",
            "404 or more: /nowhere",
            "or: /nowhere",
            "404 or more: /nowhere?a",
            "and: /nowhere?a",
            "or: /nowhere?a",
        ],
        policy={"routes": [route("a", "/ok")]},
    ),
    _scenario(
        "caller_left",
        "an application that gives up: DC, and no code",
        [file_log(text("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%"))],
        [get(timeout=0.3)],
        ["0 downstream_remote_disconnect DC DownstreamConnectionTermination"],
        upstreams={"a": hang()},
    ),
    _scenario(
        "times_of_start_and_end",
        "START_TIME is when the call began, EMIT_TIME when it is logged",
        [file_log(text("%START_TIME(%s.%3f)% %EMIT_TIME(%s.%3f)%"))],
        [get()],
        [Where(lambda line: 0.29 <= float(line.split()[1]) - float(line.split()[0]) < 10, "0.3 s apart")],
        upstreams={"a": Reply(delay=0.3)},
    ),
    _scenario(
        "operators",
        "what the operators render that a call can tell",
        [file_log(text(OPERATORS))],
        [post("/?q", b"abc")],
        [
            Re(
                r'DownstreamEnd HTTP/1.1 3 0 0 - - - first f text \{"k":\[1,"x"\]\} - 20\d\d - 127.0.0.1 127.0.0.0/8 q '
                r"127.0.0.1 main - \d+"
            )
        ],
        upstreams={"a": Reply(headers=[("x-r", "first"), ("x-r", "second")])},
        policy={
            "routes": [route("a", more={"metadata": {"filter_metadata": {"a": {"b": "text", "o": {"k": [1, "x"]}}}}})]
        },
    ),
]
