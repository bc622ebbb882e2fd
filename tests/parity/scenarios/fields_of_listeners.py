"""Fields of listeners, managers, logs, traces and filters that are seldom set (semantics 1, 9, 11)."""

from __future__ import annotations

import gzip
import random
from typing import Any

from ..bootstrap import INTERNAL, Document, boot, cluster, http_filter, listener, route, typed, virtual_host
from ..expect import Between, Re
from ..look import got, got_each, hits, see, sent_each, status, tally
from ..model import Run, Scenario, Several, get, pause, times, together, wait_for
from ..upstreams.replies import Reply, Upstream
from .access_log import file_log, text, written
from .admission_control import ON, adaptive
from .compression import ACCEPT, PLAIN, compressor
from .decompression import GZIP, decompressor
from .filters import counted, limit
from .tracing import B3, HEX, OTEL, SPAN, TRACE, zipkin

UNDERSCORES = {"plain": "1", "under_score": "1"}


def printed(run: Run) -> str:
    """What Envoy or we wrote to the standard streams."""
    return (run.folder / ("envoy.log" if run.side == "envoy" else "job.log")).read_text()


def _underscores(name: str, about: str, action: str, *looks: Any) -> Scenario:
    return Scenario(
        f"underscores_{name}",
        about,
        rule="1.1 headers_with_underscores_action",
        policy=boot(manager={"common_http_protocol_options": {"headers_with_underscores_action": action}}),
        calls=[get("/", UNDERSCORES)],
        expect=list(looks),
    )


def _printed(stream: str) -> Scenario:
    kind = f"extensions.access_loggers.stream.v3.{stream}AccessLog"
    name = stream.lower()
    return Scenario(
        f"access_log_{name}_format",
        f"log_format of the access log on {name}",
        rule="11.3 access log",
        policy=boot(
            manager={
                "access_log": [
                    {"name": name, "typed_config": typed(kind, log_format=text(f"{name} says %PATH% %RESPONSE_CODE%"))}
                ]
            }
        ),
        calls=[get("/x"), wait_for(lambda run: f"{name} says /x 200\n" in printed(run))],
        expect=[status(200), see("lines", lambda run: printed(run).count(f"{name} says /x 200\n"), 1)],
    )


LISTENERS = [
    Scenario(
        "listener_not_bound",
        "bind_to_port false: nobody listens at the listener's address",
        rule="1.1 bind_to_port",
        upstreams={"a": 200, "unbound": Upstream(kind="refused")},
        policy=boot(
            listeners=[
                listener("main", route_config={"virtual_hosts": [virtual_host(route())]}),
                {
                    **listener(
                        "unbound",
                        route_config={"virtual_hosts": [virtual_host(route(), domains=["x.test"])]},
                    ),
                    "bind_to_port": False,
                },
            ]
        ),
        calls=[get(), get("/", url="http://127.0.0.1:${port:unbound}/")],
        expect=[status(200, "transport-error"), hits(a=1)],
    ),
    _underscores(
        "rejected", "REJECT_REQUEST: a request with such a header is a 400", "REJECT_REQUEST",
        status(400), hits(a=0),
    ),
    _underscores(
        "dropped", "DROP_HEADER: the request goes without it", "DROP_HEADER",
        status(200), sent_each("under_score", None), sent_each("plain", "1"),
    ),
    Scenario(
        "filter_unknown_but_optional",
        "a filter without configuration that nobody knows is passed over where it is_optional",
        rule="9",
        policy=boot(filters=[{"name": "no.such.filter", "is_optional": True}]),
        calls=[get()],
        expect=[status(200), hits(a=1)],
    ),
]  # fmt: skip

LOGS = [
    _printed("Stdout"),
    _printed("Stderr"),
    *(
        Scenario(
            f"access_log_draws_{name}",
            about,
            rule="11.3 runtime_filter",
            policy=boot(
                manager={
                    "access_log": [
                        file_log(
                            text("%PATH%"),
                            {
                                "runtime_filter": {
                                    "runtime_key": "none",
                                    "percent_sampled": {"numerator": 50},
                                    "use_independent_randomness": independent,
                                }
                            },
                        ),
                    ],
                    **INTERNAL,
                    "preserve_external_request_id": True,
                }
            ),
            calls=[
                times(40, get("/x", {"x-request-id": "11111111-2222-4333-8444-555555555555"})),
                pause(0.2),
            ],
            expect=[see("logged", lambda run: len(written(run)), expected)],
        )
        for name, about, independent, expected in (
            ("by_request_id", "calls of one request id are logged all or none", False, 0),
            ("by_chance", "use_independent_randomness: each call is drawn for itself", True, Between(7, 33)),
        )
    ),
    Scenario(
        "metadata_of_levels",
        "metadata of the virtual host, the route and the cluster, as headers show it",
        rule="1.6 formats",
        policy=boot(
            [
                route(
                    more={
                        "metadata": {"filter_metadata": {"test": {"key": "of route"}}},
                        "response_headers_to_add": [
                            {"header": {"key": f"x-{kind}", "value": f"%METADATA({kind.upper()}:test:key)%"}}
                            for kind in ("virtual_host", "route", "cluster")
                        ],
                    }
                )
            ],
            [cluster("a", metadata={"filter_metadata": {"test": {"key": "of cluster"}}})],
            host={"metadata": {"filter_metadata": {"test": {"key": "of host"}}}},
        ),
        calls=[get()],
        expect=[got({"x-virtual_host": "of host", "x-route": "of route", "x-cluster": "of cluster"})],
    ),
]


def _mirroring(provider: Document, **copies: Any) -> Document:
    return boot(
        [route(request_mirror_policies=[{"cluster": "b", **copies}])],
        [cluster("a"), cluster("b"), cluster("collector", endpoints=[])],
        manager={"tracing": {"provider": provider}},
    )


def _mirrored_b3(name: str, about: str, copies: Document, headers: Document, sampled: str) -> Scenario:
    both = zipkin(trace_context_option="USE_B3_WITH_W3C_PROPAGATION")
    return Scenario(
        f"tracing_mirrored_b3_{name}",
        f"zipkin: a mirrored copy has a span below its call's; {about}",
        rule="11.2",
        upstreams={"a": 200, "b": 200},
        policy=_mirroring(both, **copies),
        calls=[get("/", headers), wait_for(lambda run: run.at("b").requests)],
        expect=[
            sent_each("x-b3-spanid", B3["x-b3-spanid"]),
            sent_each("x-b3-traceid", B3["x-b3-traceid"], upstream="b"),
            sent_each("x-b3-parentspanid", B3["x-b3-spanid"], upstream="b"),
            sent_each("x-b3-spanid", Re(f"(?!{B3['x-b3-spanid']}){HEX}"), upstream="b"),
            sent_each("x-b3-sampled", sampled, upstream="b"),
            sent_each("traceparent", Re(f"00-0{{16}}{B3['x-b3-traceid']}-{HEX}-0{sampled}"), upstream="b"),
        ],
    )


def _mirrored(name: str, about: str, provider: Document, sampled: bool | None) -> Scenario:
    copies = {} if sampled is None else {"trace_sampled": sampled}
    said = [sampled if sampled is not None else own for own in (True, False)]
    return Scenario(
        f"tracing_mirrored_{name}",
        about,
        rule="11.2",
        upstreams={"a": 200, "b": 200},
        policy=_mirroring(provider, **copies),
        calls=[
            step
            for number, flag in enumerate(("01", "00"), 1)
            for step in (
                get("/", {"traceparent": f"00-{TRACE}-{SPAN}-{flag}"}),
                wait_for(lambda run, number=number: len(run.at("b").requests) == number),
            )
        ],
        expect=[
            sent_each("traceparent", *[Re(f"00-{TRACE}-{HEX}-{flag}") for flag in ("01", "00")]),
            sent_each("traceparent", *[Re(f"00-{TRACE}-{HEX}-0{one:d}") for one in said], upstream="b"),
            see("apart", _spans_apart, [True, True]),
        ],
    )


def _spans_apart(run: Run) -> list[bool]:
    pairs = zip(run.at("a").requests, run.at("b").requests, strict=True)
    return [str(one.header("traceparent"))[36:52] != str(copy.header("traceparent"))[36:52] for one, copy in pairs]


TRACES = [
    Scenario(
        "tracing_zipkin_spawns",
        "spawn_upstream_span: a span of its own below the caller's",
        rule="11.2",
        policy=boot(
            clusters=[cluster("a"), cluster("collector", endpoints=[])],
            manager={"tracing": {"provider": zipkin(), "spawn_upstream_span": True}},
        ),
        calls=[get("/", B3)],
        expect=[
            sent_each("x-b3-traceid", B3["x-b3-traceid"]),
            sent_each("x-b3-parentspanid", B3["x-b3-spanid"]),
            sent_each("x-b3-spanid", Re(f"(?!{B3['x-b3-spanid']}){HEX}")),
        ],
    ),
    _mirrored("unset", "a mirrored copy has a span of its own, sampled as its call is", OTEL, None),
    _mirrored("false", "trace_sampled false: the copy is not sampled, whatever its call is", OTEL, False),
    _mirrored("true", "trace_sampled true: the copy is sampled, whatever its call is", OTEL, True),
    _mirrored_b3("unset", "sampled as its call is", {}, B3, "1"),
    _mirrored_b3("false", "trace_sampled false: not sampled", {"trace_sampled": False}, B3, "0"),
    _mirrored_b3("true", "trace_sampled true: sampled", {"trace_sampled": True}, {**B3, "x-b3-sampled": "0"}, "1"),
    Scenario(
        "tracing_mirrored_b3_single",
        "zipkin: a single b3 header of a mirrored copy tells its own span, and its call's as the parent",
        rule="11.2",
        upstreams={"a": 200, "b": 200},
        policy=_mirroring(zipkin()),
        calls=[get("/", {"b3": "00000000000000aa-00000000000000bb-1"}), wait_for(lambda run: run.at("b").requests)],
        expect=[
            sent_each("b3", "00000000000000aa-00000000000000bb-1"),
            sent_each("b3", Re(f"00000000000000aa-(?!00000000000000bb){HEX}-1-00000000000000bb"), upstream="b"),
        ],
    ),
]


def _by_key(key: str) -> Document:
    return {"actions": [{"generic_key": {"descriptor_value": key}}]}


def _limits_of_host(option: str, *expected: int) -> Scenario:
    """The host limits all; the route at /own has a limit of its own, which lets everything pass."""
    return Scenario(
        f"limit_of_host_{option.lower()}",
        f"vh_rate_limits {option}",
        rule="9.3 vh_rate_limits",
        policy=boot(
            [route("a", "/own", rate_limits=[_by_key("route")]), route("a", "/")],
            filters=[limit(99, vh_rate_limits=option, descriptors=[counted(0, ("generic_key", "host"))])],
            host={"rate_limits": [_by_key("host")]},
        ),
        calls=[get("/own"), get("/")],
        expect=[status(*expected)],
    )


# What repeats is further back than a window of 512 bytes, or than what is decoded at a time.
NOISE = random.Random(1).randbytes(20_000)
PACKED = gzip.compress(NOISE * 2, mtime=0)
OFTEN = {"concurrency_update_interval": "0.15s"}
FIXED = {"fixed_value": "2s", "min_concurrency": 1}


def _inflated(bits: int) -> Scenario:
    whole = bits == 15
    return Scenario(
        f"decompressor_window_bits_{bits}",
        f"window_bits {bits}: " + ("all is decoded" if whole else "what points further back cannot be decoded"),
        rule="9.8 decompressor",
        upstreams={"a": Reply(headers=GZIP, body=PACKED)},
        policy=boot(filters=[decompressor({"window_bits": bits})]),
        calls=[get()],
        expect=[see("decoded", lambda run: run.outcomes[0].body == NOISE * 2, whole)],
    )


def _limited(name: str, about: str, answer: Reply, expected: int, limits: Document, measured: Document) -> Scenario:
    """One request, an update of the limit, then three requests at once."""
    return Scenario(
        f"adaptive_concurrency_{name}",
        about,
        rule="9.5",
        upstreams={"a": answer},
        policy=boot(filters=[adaptive({**OFTEN, **limits}, {**FIXED, **measured})]),
        calls=[get(), pause(0.3), together(get(), count=3)],
        expect=[hits(a=expected)],
    )


FILTERS = [
    _limits_of_host("OVERRIDE", 200, 429),
    _limits_of_host("INCLUDE", 429, 429),
    _limits_of_host("IGNORE", 200, 200),
    Scenario(
        "compressor_etag_by_older_field",
        "disable_on_etag_header of the compressor itself: what has an etag is left alone",
        rule="9.8 compressor",
        upstreams={
            "a": {
                "/tagged": Reply(headers={**PLAIN, "etag": '"e"'}, body="hello " * 20),
                "/": Reply(headers=PLAIN, body="hello " * 20),
            }
        },
        policy=boot(filters=[compressor(disable_on_etag_header=True)]),
        calls=[get("/tagged", ACCEPT), get("/", ACCEPT)],
        expect=[got_each("content-encoding", None, "gzip"), got_each("etag", '"e"', None)],
    ),
    _inflated(9),
    _inflated(15),
    _limited(
        "at_most", "max_concurrency_limit: the limit does not rise above it", Reply(delay=0.05), 1 + 2,
        {"max_concurrency_limit": 2}, {},
    ),
    _limited(
        "buffer", "buffer: so much above the shortest latency is no reason to let less pass", Reply(delay=0.61), 1 + 3,
        {}, {"buffer": {"value": 100}, "fixed_value": "0.8s"},
    ),
    Scenario(
        "adaptive_concurrency_percentile",
        "sample_aggregate_percentile: one quick request of four is enough where the tenth percentile counts",
        rule="9.5",
        upstreams={"a": {"/quick": Reply(delay=0.02), "/slow": Reply(delay=0.5)}},
        policy=boot(
            filters=[
                http_filter(
                    "adaptive_concurrency",
                    "adaptive_concurrency.v3.AdaptiveConcurrency",
                    enabled=ON,
                    gradient_controller_config={
                        "sample_aggregate_percentile": {"value": 10},
                        "concurrency_limit_params": {"concurrency_update_interval": "0.6s"},
                        "min_rtt_calc_params": {"fixed_value": "0.25s", "min_concurrency": 4},
                    },
                )
            ]
        ),
        # All four end together, so that one update sees them: 4 * 2 + 2.8 = 10. By the median it stays at 4.
        calls=[
            together(*[get("/slow")] * 3, Several([pause(0.47), get("/quick")])),
            pause(0.7),
            together(get("/slow"), count=6),
        ],
        expect=[tally({200: 10})],
    ),
]  # fmt: skip

SCENARIOS = [*LISTENERS, *LOGS, *TRACES, *FILTERS]
