"""Fields that other scenarios set without anything depending on their value: here something does."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

from ..bootstrap import (
    EDS,
    Document,
    boot,
    cluster,
    discovery,
    eds_cluster,
    health_check,
    load_assignment,
    outlier,
    panic,
    retry,
    route,
    runtime,
    thresholds,
)
from ..expect import Between
from ..look import bodies, got_each, hits, see, sent, spread, status, took
from ..model import Run, Scenario, get, pause, times, together, wait_for, write
from ..upstreams.replies import Names, Reply, Upstream, hang
from .access_log import file_log, text, written
from .admission_control import admission, at_most
from .compression import ACCEPT, PLAIN, compressor, level, library, switch
from .dns import named
from .fields_of_balancers import newcomer
from .fields_of_filters import WORDS
from .filters import limit

HALF = [200, 500] * 200


def _swept(name: str, about: str, upstreams: dict[str, Any], left: list[str], **detection: Any) -> Scenario:
    """Thirty calls, the end of an interval, and who answers afterwards."""
    hosts = list(upstreams)
    return Scenario(
        f"outlier_swept_{name}",
        about,
        rule="5",
        upstreams=upstreams,
        policy=boot(clusters=[cluster("a", hosts, **outlier(interval="0.4s", **detection), **panic(0))]),
        calls=[times(30, get("/before")), pause(1.0), times(12, get("/after"))],
        expect=[see("left", _who_answers, left)],
    )


def _longest_absence(run: Run) -> float:
    arrivals = [request.arrived for request in run.at("a").requests]
    return max((later - earlier for earlier, later in pairwise(arrivals)), default=0.0)


def _who_answers(run: Run) -> list[str]:
    return sorted({outcome.text for outcome in run.outcomes if outcome.call.path == "/after" and outcome.status == 200})


THREE = {"a": {"/before": 500, "/after": 200}, "b": 200, "c": 200}
RATE = {"success_rate_request_volume": 2, "success_rate_stdev_factor": 1000}
REFUSING = {"a": Upstream(kind="refused"), "b": 200, "c": 200, "d": 200, "e": 200}
LOCAL = {"split_external_local_origin_errors": True, "consecutive_local_origin_failure": 100, **RATE}

SWEPT = [
    _swept(
        "minimum_hosts", "success_rate_minimum_hosts: three hosts are enough where three are asked for",
        THREE, ["b", "c"], success_rate_minimum_hosts=3, enforcing_success_rate=100, **RATE,
    ),
    _swept(
        "not_enforced", "enforcing_success_rate 0: nobody goes",
        THREE, ["a", "b", "c"], success_rate_minimum_hosts=3, **RATE,
    ),
    _swept(
        "percentage_hosts", "failure_percentage_minimum_hosts: two hosts are enough where two are asked for",
        {"a": {"/before": 500, "/after": 200}, "b": 200}, ["b"],
        failure_percentage_minimum_hosts=2, failure_percentage_request_volume=2, enforcing_failure_percentage=100,
    ),
    Scenario(
        "outlier_swept_local_not_enforced",
        "enforcing_local_origin_success_rate 0: who refuses connections stays",
        rule="5 split mode",
        upstreams=REFUSING,
        policy=boot(clusters=[cluster("a", list("abcde"), **outlier(interval="0.4s", **LOCAL), **panic(0))]),
        calls=[times(30, get()), pause(1.0), times(10, get())],
        expect=[see("refused", lambda run: [one.status for one in run.outcomes[30:]].count(503), 2)],
    ),
    Scenario(
        "outlier_max_ejection_time_caps",
        "max_ejection_time: a host that fails again and again is not away for longer each time",
        rule="5 duration",
        upstreams={"a": 500, "b": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    **outlier(
                        interval="0.05s", base_ejection_time="0.2s", max_ejection_time="0.2s",
                        consecutive_5xx=1, enforcing_consecutive_5xx=100,
                    ),
                    **panic(0),
                )
            ]
        ),
        calls=[times(120, get(), pause=0.02)],
        # Without the cap it is away for 0.2, 0.4, 0.6, 0.8 s.
        expect=[see("longest absence", _longest_absence, Between(0.15, 0.7))],
    ),
]  # fmt: skip


def _turns(**fields: Any) -> Document:
    return {"round_robin_lb_config": {"slow_start_config": {"slow_start_window": "3s", **fields}}}


BALANCED = [
    newcomer(
        "older_least_request", "least_request_lb_config: slow_start_config", 1, 6, lb_policy="LEAST_REQUEST",
        least_request_lb_config={"slow_start_config": {"slow_start_window": "3s"}},
    ),
    newcomer(
        "older_aggression", "aggression: with ten the newcomer soon has nearly all of its weight", 8, 13,
        **_turns(aggression={"default_value": 10, "runtime_key": "x"}),
    ),
    newcomer(
        "older_min_weight_percent", "min_weight_percent: what a newcomer has at least", 8, 13,
        **_turns(min_weight_percent={"value": 80}),
    ),
    Scenario(
        "hash_ring_at_most",
        "maximum_ring_size: a ring of two has no place for the third of three hosts",
        rule="7 RING_HASH",
        upstreams={"a": 200, "b": 200, "c": 200},
        policy=boot(
            [route(hash_policy=[{"header": {"header_name": "x-key"}}])],
            [
                cluster(
                    "a",
                    list("abc"),
                    lb_policy="RING_HASH",
                    ring_hash_lb_config={"minimum_ring_size": 1, "maximum_ring_size": 2},
                )
            ],
        ),
        calls=[get("/", {"x-key": str(number)}) for number in range(40)],
        expect=[see("hosts", lambda run: len({outcome.text for outcome in run.outcomes}), 2)],
    ),
    Scenario(
        "unchecked_hosts_cause_no_panic",
        "ignore_new_hosts_until_first_hc: three new hosts whose checks hang are no reason to panic",
        rule="6.2 ignore_new_hosts_until_first_hc",
        upstreams={"a": Upstream(health=200), **{name: Upstream(health=hang()) for name in "bcd"}},
        policy=boot(
            clusters=[
                eds_cluster(
                    "a",
                    health_checks=[health_check(timeout="20s")],
                    common_lb_config={"ignore_new_hosts_until_first_hc": True, "update_merge_window": "0s"},
                )
            ]
        ),
        files={"eds.yaml": discovery(EDS, load_assignment("a", ["a"]))},
        calls=[
            get(),
            write("eds.yaml", discovery(EDS, load_assignment("a", list("abcd")))),
            wait_for(lambda run: all(run.at(name).checks for name in "bcd")),
            pause(0.1),
            times(12, get()),
        ],
        expect=[spread({"a": 13})],
    ),
]  # fmt: skip


def _longest(run: Run) -> float:
    return round(max(outcome.elapsed for outcome in run.outcomes), 3)


# What is asked for again after a failure: the gaps are drawn by chance, up to a bound that doubles.
QUESTIONS = 9


def _asked_again(run: Run) -> float:
    asked = run.at("dns").requests
    return round(asked[-1].arrived - asked[0].arrived, 3)


NAMES = [
    Scenario(
        "dns_failure_intervals",
        "base_interval and max_interval: questions that fail come by chance within the one and the other",
        rule="8.2 dns_failure_refresh_rate",
        upstreams={"dns": Upstream(Names(code=3), kind="dns"), "a": 200},
        policy=named(
            "LOGICAL_DNS",
            dns_lookup_family="V4_ONLY",
            dns_refresh_rate="60s",
            dns_failure_refresh_rate={"base_interval": "0.3s", "max_interval": "0.3s"},
        ),
        calls=[wait_for(lambda run: len(run.at("dns").requests) >= QUESTIONS, within=20)],
        # Eight times up to 0.3 s: less than 0.35 s in all once in 11 000 runs.
        expect=[see("asked", _asked_again, Between(0.35, 3.0))],
    ),
]

RETRIES = [
    Scenario(
        "retry_backoff_at_first",
        "base_interval: a first retry comes by chance within it, some of twenty in its second half",
        rule="3.3",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, retry_back_off={"base_interval": "1s"}))],
            [cluster("a", **thresholds(max_retries=100))],
        ),
        calls=[together(get(), count=20)],
        # All of them sooner once in a million runs; without it none waits for longer than 25 ms.
        expect=[hits(a=40), see("longest", _longest, Between(0.5, 20))],
    ),
    Scenario(
        "retry_backoff_at_most",
        "max_interval: of six retries none waits for longer",
        rule="3.3",
        upstreams={"a": 503},
        policy=boot([route(retry_policy=retry("5xx", 6, retry_back_off={
            "base_interval": "0.1s", "max_interval": "0.1s",
        }))]),
        calls=[get()],
        # Without it half a second each, on average, from the third on.
        expect=[hits(a=7), took(0, 1.1)],
    ),
]  # fmt: skip


def _admitted(name: str, about: str, answers: Any, low: int, high: int, more: Any = None, **fields: Any) -> Scenario:
    """How many of 200 calls get through."""
    return Scenario(
        f"admission_control_{name}",
        about,
        rule="9.6",
        upstreams={"a": answers},
        policy=boot(filters=[admission(**{**at_most(100), **fields})], **(more or {})),
        calls=[times(200, get())],
        expect=[hits(a=Between(low, high))],
    )


def _threshold(percent: float) -> Document:
    return {"sr_threshold": {"default_value": {"value": percent}, "runtime_key": "threshold"}}


def _aggression(value: float) -> Document:
    return {"aggression": {"default_value": value, "runtime_key": "aggression"}}


ADMITTED = [
    _admitted("half_is_enough", "sr_threshold: where 40 % have to succeed, half is enough", HALF, 200, 200,
              **_threshold(40)),
    _admitted("half_is_enough_at_runtime", "sr_threshold: the runtime's value counts", HALF, 200, 200,
              runtime(threshold=40), **_threshold(100)),
    _admitted("aggression", "aggression: ten refuses nearly all where half succeeds", HALF, 1, 60,
              **_threshold(100), **_aggression(10)),
    _admitted("aggression_at_runtime", "aggression: the runtime's value counts", HALF, 1, 60,
              runtime(aggression=10), **_threshold(100), **_aggression(1)),
    _admitted("rps_at_runtime", "rps_threshold: the runtime's value counts, here more than there can be", 500, 200, 200,
              runtime(rps=1_000_000), rps_threshold={"default_value": 0, "runtime_key": "rps"}),
    Scenario(
        "admission_control_grpc_statuses",
        "grpc_success_status: where 0 alone is a success, NOT_FOUND is none",
        rule="9.6",
        upstreams={"a": Reply(headers={"content-type": "application/grpc", "grpc-status": "5"}, body=b"")},
        policy=boot(
            filters=[admission(**at_most(100), success_criteria={"grpc_criteria": {"grpc_success_status": [0]}})]
        ),
        calls=[times(100, get("/", {"content-type": "application/grpc"}))],
        expect=[hits(a=Between(1, 40))],
    ),
    Scenario(
        "admission_control_grpc_success",
        "grpc_success_status: what it names is a success",
        rule="9.6",
        upstreams={"a": Reply(headers={"content-type": "application/grpc", "grpc-status": "7"}, body=b"")},
        policy=boot(
            filters=[admission(**at_most(100), success_criteria={"grpc_criteria": {"grpc_success_status": [7]}})]
        ),
        calls=[times(60, get("/", {"content-type": "application/grpc"}))],
        expect=[hits(a=60)],
    ),
]  # fmt: skip


def _fits_small_window(run: Run) -> bool:
    """Whether a window of 512 bytes is enough to decode the body."""
    stream, decoded, data = zlib.decompressobj(16 + 9), b"", run.outcomes[0].body
    try:
        while data and not stream.eof:
            decoded += stream.decompress(data, 64)
            data = stream.unconsumed_tail
    except zlib.error:
        return False
    return decoded == WORDS.encode() if isinstance(WORDS, str) else decoded == WORDS


FILTERS = [
    Scenario(
        "gzip_window_bits",
        "gzip: window_bits 9 points no further back than 512 bytes",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=WORDS)},
        policy=boot(filters=[compressor(compressor_library=library(window_bits=9))]),
        calls=[get(headers=ACCEPT)],
        expect=[status(200), see("small", _fits_small_window, True)],
    ),
    Scenario(
        "gzip_of_route",
        "a route's compressor_library takes the place of the filter's",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body=WORDS)},
        policy=boot(
            [route(more=level(overrides={"compressor_library": library(memory_level=1)}))], filters=[compressor()]
        ),
        calls=[get(headers=ACCEPT)],
        expect=[status(200), see("length", lambda run: len(run.outcomes[0].body), Between(19_500, 21_500))],
    ),
    Scenario(
        "compressor_runtime_enabled",
        "runtime_enabled of the compressor itself switches it off",
        rule="9.8 compressor",
        upstreams={"a": Reply(headers=PLAIN, body="hello " * 20)},
        policy=boot(filters=[compressor(runtime_enabled=switch(on=False)["enabled"])]),
        calls=[get(headers=ACCEPT)],
        expect=[got_each("content-encoding", None)],
    ),
    Scenario(
        "limit_status",
        "status: what a refusal answers with",
        rule="9.3",
        policy=boot(filters=[limit(1, status={"code": "ServiceUnavailable"})]),
        calls=[get(), get()],
        expect=[status(200, 503), bodies("a", "local_rate_limited")],
    ),
    Scenario(
        "access_log_runtime_key",
        "runtime_filter: the runtime's value for the key stands in place of percent_sampled",
        rule="11.3 runtime_filter",
        policy=boot(
            manager={
                "access_log": [
                    file_log(
                        text("%PATH%"),
                        {"runtime_filter": {"runtime_key": "logged", "percent_sampled": {"numerator": 0}}},
                    )
                ]
            },
            **runtime(logged=100),
        ),
        calls=[get("/x"), wait_for(written)],
        expect=[see("log", written, ["/x"])],
    ),
    Scenario(
        "access_log_runtime_value",
        "comparisons: the runtime's value for the key stands in place of default_value",
        rule="11.3 status_code_filter",
        policy=boot(
            manager={
                "access_log": [
                    file_log(
                        text("%PATH%"),
                        {
                            "status_code_filter": {
                                "comparison": {"op": "GE", "value": {"default_value": 500, "runtime_key": "least"}}
                            }
                        },
                    )
                ]
            },
            **runtime(least=200),
        ),
        calls=[get("/x"), wait_for(written)],
        expect=[see("log", written, ["/x"])],
    ),
    Scenario(
        "host_strip_own_port",
        "strip_matching_host_port: the listener's own port is taken away",
        rule="1.1 strip_matching_host_port",
        policy=boot(manager={"strip_matching_host_port": True}),
        calls=[get()],
        expect=[sent({"host": "127.0.0.1"})],
    ),
    Scenario(
        "query_present_false",
        "present_match false: a query parameter that must not be there",
        rule="1.5 query_parameters",
        policy=boot(
            [
                {
                    "match": {"prefix": "/", "query_parameters": [{"name": "q", "present_match": False}]},
                    "direct_response": {"status": 201},
                },
                route(),
            ]
        ),
        calls=[get("/"), get("/?q=1")],
        expect=[status(201, 200)],
    ),
]

SCENARIOS = [*SWEPT, *BALANCED, *NAMES, *RETRIES, *ADMITTED, *FILTERS]
