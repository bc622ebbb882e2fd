"""Outlier detection by its tables (semantics 5): the numbers that no policy names, and what each outcome counts as."""

from __future__ import annotations

from typing import Any

from ..bootstrap import INTERNAL, boot, cluster, health_check, panic, route
from ..expect import Between, Where
from ..look import hits, see, spread, status, tally
from ..model import Run, Scenario, Until, get, pause, times
from ..upstreams.replies import Reply, Upstream, hang, reset

_ALONE = panic(0)
_TEN = "abcdefghij"


def _cluster(name: str, *hosts: str, **detection: Any) -> dict[str, Any]:
    """A cluster that ejects as many as it likes, all else by default."""
    return cluster(name, list(hosts), outlier_detection={"max_ejection_percent": 100, **detection}, **_ALONE)


def _alternating(name: str, about: str, bad: Any, hits_of_bad: int, **detection: Any) -> Scenario:
    """Two hosts, and how often the bad one is called."""
    return Scenario(
        f"outlier_default_{name}",
        about,
        rule="5 defaults",
        upstreams={"bad": bad, "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", **detection)]),
        calls=[times(20, get(), pause=0.01)],
        expect=[hits(bad=hits_of_bad)],
    )


def _stays_out(name: str, about: str, **detection: Any) -> Scenario:
    """A host that fails once, and is well again, does not come back soon."""
    return Scenario(
        f"outlier_default_{name}",
        about,
        rule="5 defaults",
        upstreams={"bad": [500, 200], "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", consecutive_5xx=1, **detection)]),
        calls=[times(4, get(), pause=0.01), pause(0.7), times(4, get(), pause=0.01)],
        expect=[hits(bad=1, good=7)],
    )


_RATES = {"interval": "0.5s", "consecutive_5xx": 1000, "success_rate_request_volume": 3}
_PERCENTAGES = {
    "interval": "0.5s",
    "consecutive_5xx": 1000,
    "enforcing_success_rate": 0,
    "failure_percentage_request_volume": 3,
}
_SPLIT = {
    "interval": "0.5s",
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 1000,
}

DEFAULTS = [
    _alternating("consecutive_5xx", "the fifth 5xx in a row ejects, always", 500, 5),
    _alternating(
        "gateway_failures",
        "five gateway failures in a row would eject if they were enforced",
        503,
        5,
        enforcing_consecutive_5xx=0,
        enforcing_consecutive_gateway_failure=100,
    ),
    _alternating("gateway_unheeded", "gateway failures alone eject nobody", 503, 5, consecutive_gateway_failure=2),
    Scenario(
        "outlier_default_local_origin",
        "split mode: the fifth refused connection in a row ejects",
        rule="5 defaults",
        upstreams={"bad": Upstream(kind="refused"), "good": 200},
        policy=boot([route()], [_cluster("a", "bad", "good", split_external_local_origin_errors=True)]),
        calls=[times(20, get(), pause=0.01)],
        expect=[tally({200: 15, 503: 5})],
    ),
    _stays_out("interval", "only every ten seconds somebody comes back", base_ejection_time="0.05s"),
    _stays_out("base_ejection_time", "an ejection lasts for half a minute", interval="0.1s"),
    _stays_out(
        "jitter",
        "max_ejection_time_jitter: an ejection lasts up to so much longer",
        interval="0.1s",
        base_ejection_time="0.05s",
        max_ejection_time_jitter="3000s",
    ),
    Scenario(
        "outlier_default_max_ejection_percent",
        "10 %: of ten hosts one goes, of nine none",
        rule="5 default 10 %",
        upstreams={**dict.fromkeys(_TEN, 200), "a": 500, "b": 500},
        policy=boot(
            [route("nine", "/nine"), route("ten")],
            [
                cluster("ten", list(_TEN), outlier_detection={"consecutive_5xx": 1}, **_ALONE),
                cluster("nine", list(_TEN[:9]), outlier_detection={"consecutive_5xx": 1}, **_ALONE),
            ],
        ),
        calls=[times(18, get("/nine"), pause=0.005), times(40, get("/ten"), pause=0.005)],
        expect=[
            spread(dict.fromkeys(_TEN[:9], 2), last=18),
            see("out", lambda run: min(len(run.at(name).requests) for name in "ab"), 3),
        ],
    ),
    Scenario(
        "outlier_default_success_rate",
        "success rates count from five hosts on, and 1.9 deviations below the mean is too low",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcde", 200), "x": 500, "y": 500},
        policy=boot(
            [route("goes", "/goes"), route("four", "/four"), route("two")],
            [
                _cluster("goes", *"abcdx", **_RATES),
                _cluster("four", *"abcx", success_rate_stdev_factor=1000, **_RATES),
                _cluster("two", *"abcxy", **_RATES),
            ],
        ),
        calls=[
            *[times(60, get(path)) for path in ("/goes", "/four", "/two")],
            pause(0.8),
            *[times(5, get(path)) for path in ("/goes", "/four", "/two")],
        ],
        expect=[
            spread(Where(lambda seen: "x" not in seen, "nothing to x"), first=180, last=185),
            spread(Where(lambda seen: "x" in seen, "one to x"), first=185, last=190),
            spread({"a": 1, "b": 1, "c": 1, "x": 1, "y": 1}, first=190),
        ],
    ),
    Scenario(
        "outlier_default_failure_percentage",
        "failure percentages count from five hosts on, and nobody is ejected for them",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcd", 200), "x": 500},
        policy=boot(
            [route("goes", "/goes"), route("four", "/four"), route("all")],
            [
                _cluster("goes", *"abcdx", enforcing_failure_percentage=100, **_PERCENTAGES),
                _cluster("four", *"abcx", enforcing_failure_percentage=100, **_PERCENTAGES),
                _cluster("all", *"abcdx", **_PERCENTAGES),
            ],
        ),
        calls=[
            *[times(60, get(path)) for path in ("/goes", "/four", "/all")],
            pause(0.8),
            *[times(5, get(path)) for path in ("/goes", "/four", "/all")],
        ],
        expect=[
            spread(Where(lambda seen: "x" not in seen, "nothing to x"), first=180, last=185),
            spread(Where(lambda seen: "x" in seen, "one to x"), first=185, last=190),
            spread({"a": 1, "b": 1, "c": 1, "d": 1, "x": 1}, first=190),
        ],
    ),
    Scenario(
        "outlier_default_request_volume",
        "what a host does with a few calls tells neither of its success rate nor of its failures",
        rule="5 defaults",
        upstreams={**dict.fromkeys("abcd", 200), "x": 500},
        policy=boot(
            [route("rate", "/rate"), route("percentage")],
            [
                _cluster("rate", *"abcdx", interval="0.5s", consecutive_5xx=1000),
                _cluster(
                    "percentage", *"abcdx", interval="0.5s", consecutive_5xx=1000, enforcing_failure_percentage=100
                ),
            ],
        ),
        calls=[times(150, get("/rate")), times(150, get("/")), pause(0.8), times(5, get("/rate")), times(5, get("/"))],
        expect=[spread(dict.fromkeys("abcdx", 2), first=300)],
    ),
]

# What a `grpc-status` counts as: whether it is a failure, and whether it is a gateway's.
_GRPC_FAILURES = {2: 1, 4: 2, 12: 1, 13: 1, 14: 2, 15: 1, 17: 1}
_GRPC_STATUSES = range(18)


def _paths(run: Run) -> dict[str, int]:
    paths = [request.path for request in run.at("bad").requests]
    return {path: paths.count(path) for path in sorted(set(paths))}


def _by_grpc_status(kind: str, least: int) -> Scenario:
    return Scenario(
        f"outlier_grpc_{kind}",
        f"which grpc-status counts as a failure ({kind}): two in a row eject",
        rule="5 grpc-status header is mapped to HTTP first",
        upstreams={
            "bad": {f"/{code}": Reply(200, {"grpc-status": str(code)}, body=b"") for code in _GRPC_STATUSES},
            "good": Reply(200, {"grpc-status": "0"}, body=b""),
        },
        policy=boot(
            [route(f"c{code}", match={"path": f"/{code}"}) for code in _GRPC_STATUSES],
            [
                _cluster(
                    f"c{code}",
                    "bad",
                    "good",
                    consecutive_5xx=2,
                    enforcing_consecutive_5xx=100 if kind == "5xx" else 0,
                    consecutive_gateway_failure=2,
                    enforcing_consecutive_gateway_failure=0 if kind == "5xx" else 100,
                )
                for code in _GRPC_STATUSES
            ],
        ),
        calls=[
            times(10, get(f"/{code}", {"content-type": "application/grpc"}), pause=0.005) for code in _GRPC_STATUSES
        ],
        expect=[
            see(
                "calls of the bad one",
                _paths,
                {
                    # An ejection takes a moment to be known to Envoy's workers.
                    f"/{code}": Between(2, 4) if _GRPC_FAILURES.get(code, 0) >= least else 5
                    for code in _GRPC_STATUSES
                },
            )
        ],
    )


COUNTED = [
    _by_grpc_status("5xx", 1),
    _by_grpc_status("gateway", 2),
    Scenario(
        "outlier_reset_is_a_gateways",
        "a reset counts as a 503, and so among gateway failures",
        rule="5 connect failure/reset/protocol error counts as 503",
        upstreams={"bad": reset(), "good": 200},
        policy=boot(
            [],
            [
                _cluster(
                    "a",
                    "bad",
                    "good",
                    enforcing_consecutive_5xx=0,
                    consecutive_gateway_failure=2,
                    enforcing_consecutive_gateway_failure=100,
                )
            ],
        ),
        calls=[times(12, get(), pause=0.01)],
        expect=[hits(bad=2)],
    ),
    Scenario(
        "outlier_unejected_by_checks",
        "by default the next health check that passes ends an ejection",
        rule="5 with active health checks",
        upstreams={"bad": Upstream([500, 200], health=200), "good": Upstream(health=200)},
        policy=boot([], [{**_cluster("a", "bad", "good", consecutive_5xx=1), "health_checks": [health_check()]}]),
        calls=[
            Until(get(), lambda outcome: outcome.status == 500, every=0.01),
            Until(get(), lambda outcome: outcome.text == "bad", within=8),
        ],
        expect=[status(500, 200)],
    ),
    Scenario(
        "outlier_runtime_times",
        "runtime keys of times are in milliseconds",
        rule="5 runtime outlier_detection.<field>",
        upstreams={"bad": [500, 200], "good": 200},
        policy=boot(
            [],
            [_cluster("a", "bad", "good", consecutive_5xx=1)],
            layered_runtime={
                "layers": [
                    {
                        "name": "s",
                        "static_layer": {
                            "outlier_detection.interval_ms": 100,
                            "outlier_detection.base_ejection_time_ms": 200,
                        },
                    }
                ]
            },
        ),
        calls=[
            Until(get(), lambda outcome: outcome.status == 500, every=0.01),
            Until(get(), lambda outcome: outcome.text == "bad", within=8),
        ],
        expect=[status(500, 200)],
    ),
    Scenario(
        "outlier_time_grows",
        "without a max_ejection_time each ejection is longer than the one before by base_ejection_time",
        rule="5 max_ejection_time, max(300 s, base)",
        upstreams={"bad": 500, "good": 200},
        policy=boot([], [_cluster("a", "bad", "good", consecutive_5xx=1, interval="0.1s", base_ejection_time="0.4s")]),
        calls=[*[Until(get(), lambda outcome: outcome.status == 500, within=8, every=0.02)] * 3],
        expect=[
            see(
                "second",
                lambda run: round(run.at("bad").requests[2].arrived - run.at("bad").requests[1].arrived, 3),
                Between(0.75, 5),
            )
        ],
    ),
    Scenario(
        "outlier_failure_percentage_at_the_threshold",
        "a failure percentage that is the threshold is enough",
        rule="5 eject if 100 - success_rate >= threshold",
        upstreams={**dict.fromkeys("abcd", 200), "x": 500},
        policy=boot(
            [],
            [
                _cluster(
                    "a",
                    *"abcdx",
                    enforcing_failure_percentage=100,
                    failure_percentage_threshold=100,
                    **_PERCENTAGES,
                )
            ],
        ),
        calls=[times(60, get()), pause(0.8), times(5, get())],
        expect=[spread(Where(lambda seen: "x" not in seen, "nothing to x"), first=60)],
    ),
    Scenario(
        "outlier_local_origin_rates",
        "split mode: success rates of connections are enforced, their failure percentages are not",
        rule="5 defaults, split mode",
        upstreams={**dict.fromkeys("abcd", 200), "x": Upstream(kind="refused")},
        policy=boot(
            [route("rate", "/rate"), route("percentage")],
            [
                _cluster("rate", *"abcdx", **_SPLIT, success_rate_request_volume=3),
                _cluster(
                    "percentage",
                    *"abcdx",
                    **_SPLIT,
                    enforcing_local_origin_success_rate=0,
                    failure_percentage_request_volume=3,
                ),
            ],
        ),
        calls=[times(60, get("/rate")), times(60, get()), pause(0.8), times(5, get("/rate")), times(5, get())],
        expect=[
            see("rate", lambda run: [one.status for one in run.outcomes[120:125]], [200] * 5),
            see("percentage", lambda run: sorted(one.status for one in run.outcomes[125:]), [200] * 4 + [503]),
        ],
    ),
]

_GATEWAY = {
    "enforcing_consecutive_5xx": 0,
    "consecutive_gateway_failure": 2,
    "enforcing_consecutive_gateway_failure": 100,
}
_QUICK = {"interval": "0.1s", "base_ejection_time": "0.1s"}

COUNTERS = [
    Scenario(
        "outlier_unknown_status_is_no_failure",
        "a status above 599 is no failure",
        rule="5 any non-5xx response zeroes both counters",
        upstreams={"bad": Reply(600), "good": 200},
        policy=boot([], [_cluster("a", "bad", "good", consecutive_5xx=2)]),
        calls=[times(12, get(), pause=0.01)],
        expect=[hits(bad=6)],
    ),
    Scenario(
        "outlier_success_between_gateway_failures",
        "a success starts the count of gateway failures anew",
        rule="5 any non-5xx response zeroes both counters",
        upstreams={"bad": lambda request: 503 if request.number % 2 else 200, "good": 200},
        policy=boot([], [_cluster("a", "bad", "good", **_GATEWAY)]),
        calls=[times(16, get(), pause=0.01)],
        expect=[hits(bad=8)],
    ),
    Scenario(
        "outlier_detected_in_vain",
        "a host that could not be ejected is counted anew, and ejected when there is room",
        rule="5 on hitting the threshold the counter restarts at 0 whether or not the host was ejected",
        upstreams={"a": [500, 500, 500, 200], "b": 500},
        policy=boot([], [_cluster("a", "a", "b", consecutive_5xx=3, **{**_QUICK, "max_ejection_percent": 50})]),
        calls=[
            times(6, get(), pause=0.01),
            Until(get(), lambda outcome: outcome.text == "a", within=8),
            times(20, get(), pause=0.02),
        ],
        expect=[
            see(
                "in a row from a",
                lambda run: max(len(run_of) for run_of in "".join(o.text for o in run.outcomes[6:]).split("b")),
                Between(3, 30),
            )
        ],
    ),
    Scenario(
        "outlier_counts_end_with_an_ejection",
        "who comes back has no failures behind him, of whatever kind",
        rule="5 un-ejection resets consecutive counters",
        upstreams={"bad": [503, 503, 500, 200], "good": 200},
        policy=boot(
            [],
            [
                _cluster(
                    "a", "bad", "good", consecutive_5xx=3, **{**_GATEWAY, "enforcing_consecutive_5xx": 100}, **_QUICK
                )
            ],
        ),
        calls=[
            times(4, get(), pause=0.01),
            Until(get(), lambda outcome: outcome.status == 500, within=8),
            times(6, get(), pause=0.01),
        ],
        expect=[spread({"bad": 3, "good": 3}, first=5)],
    ),
    Scenario(
        "outlier_alternative_response",
        "a timeout that is answered with 204 on the caller's wish is told as 204",
        rule="5 x-envoy-upstream-rq-timeout-alt-response makes a timeout report 204",
        upstreams={"bad": hang(), "good": 200},
        policy=boot([route(timeout="0.1s")], [_cluster("a", "bad", "good", consecutive_5xx=2)], manager=INTERNAL),
        calls=[times(12, get("/", {"x-envoy-upstream-rq-timeout-alt-response": "1"}), pause=0.01)],
        expect=[hits(bad=6)],
    ),
]

SCENARIOS = [*DEFAULTS, *COUNTED, *COUNTERS]
