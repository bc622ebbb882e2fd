"""Outlier detection (semantics 5): what counts against a host, when it is ejected, for how long."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, http2, outlier, panic, retry, route
from ..expect import Between, Where
from ..look import body, hits, see, spread, status, tally
from ..model import Call, Scenario, Several, Until, get, pause, times, together
from ..upstreams.replies import Reply, Upstream, hang, raw, reset

# Nobody in panic, changes seen at once: what is left is the ejection itself.
ALONE = panic(0)


def _calls(count: int, call: Call) -> Several:
    """Calls one after the other, with time in between for an ejection to be known to Envoy's workers."""
    return times(count, call, pause=0.01)


def _watched(*hosts: str, **detection: Any) -> dict[str, Any]:
    """Cluster `a` over the hosts, with these fields of outlier detection."""
    return cluster("a", list(hosts), **outlier(**detection), **ALONE)


def _counts(
    name: str, about: str, rule: str, bad: Any, hits_of_bad: Any, calls: int = 20, **detection: Any
) -> Scenario:
    """Two hosts; how often the bad one is called before it is let alone."""
    timeout = detection.pop("timeout", "0.2s")
    return Scenario(
        f"outlier_{name}",
        about,
        rule=f"5 {rule}",
        upstreams={"bad": bad, "good": 200},
        policy=boot([route(timeout=timeout)], [_watched("bad", "good", **detection)]),
        calls=[_calls(calls, get())],
        expect=[hits(bad=hits_of_bad)],
    )


THREE = {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100}
GATEWAY = {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100}

CONSECUTIVE = [
    _counts("consecutive_5xx", "the third 5xx in a row ejects", "consecutive_5xx", 500, 3, **THREE),
    _counts(
        "success_starts_anew",
        "a success in between starts the count anew",
        "any non-5xx response zeroes the counters",
        lambda request: 200 if request.number % 3 == 0 else 503,
        10,
        **THREE,
    ),
    _counts("404_is_no_failure", "a 4xx is no failure", "5xx", 404, 10, **THREE),
    _counts("gateway_failure", "gateway failures are 502, 503 and 504", "gateway", [502, 504], 2, **GATEWAY),
    _counts(
        "gateway_not_500",
        "a 500 is none, and starts their count anew",
        "gateway",
        [502, 500, 503, 501] * 5,
        10,
        **GATEWAY,
    ),
    _counts(
        "gateway_is_not_enforced",
        "by default gateway failures eject nobody",
        "enforcing 0 %",
        503,
        10,
        consecutive_gateway_failure=2,
    ),
    _counts(
        "not_enforced", "enforcing_consecutive_5xx 0: seen, not ejected", "enforcing_*", 500, 10, consecutive_5xx=2
    ),
    _counts("resets_count", "a reset counts as 503", "reset counts as 503", reset(), 3, **THREE),
    _counts("garbage_counts", "what is no HTTP counts too", "protocol error", raw(b"nonsense\r\n\r\n"), 3, **THREE),
    _counts("timeouts_count", "a timeout counts as 504", "timeout 504", hang(), 2, calls=8, **GATEWAY),
    Scenario(
        "outlier_refused_counts",
        "a refused connection counts as a gateway failure",
        rule="5 connect failure counts as 503",
        upstreams={"bad": Upstream(kind="refused"), "good": 200},
        policy=boot([], [_watched("bad", "good", **GATEWAY)]),
        calls=[_calls(20, get())],
        expect=[tally({200: 18, 503: 2})],
    ),
    Scenario(
        "outlier_overflow_does_not_count",
        "what a breaker refuses counts against nobody",
        rule="5 circuit-breaker overflow: nothing",
        policy=boot(
            [route()],
            [
                cluster(
                    "a",
                    circuit_breakers={"thresholds": [{"max_requests": 1}]},
                    **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100),
                    **ALONE,
                )
            ],
        ),
        upstreams={"a": {"/slow": Reply(delay=0.5), "*": 200}},
        calls=[together(get("/slow"), get("/full"), stagger=0.2), get("/after")],
        expect=[status(200, 503, 200), see("x", lambda run: run.outcomes[1].text[-8:], "overflow")],
    ),
    Scenario(
        "outlier_application_gives_up",
        "a caller that goes away counts against nobody",
        rule="5 downstream cancel: nothing",
        upstreams={"a": {"/slow": hang(), "*": 200}},
        policy=boot([], [_watched("a", consecutive_5xx=1, enforcing_consecutive_5xx=100)]),
        calls=[get("/slow", timeout=0.2), pause(0.1), get("/after")],
        expect=[status("timeout", 200)],
    ),
    Scenario(
        "outlier_every_try_counts",
        "each try counts, also one that a retry made good",
        rule="5 every attempt is reported",
        upstreams={"bad": 503, "good": 200},
        policy=boot([route(retry_policy=retry("5xx", 1))], [_watched("bad", "good", **THREE)]),
        calls=[_calls(20, get())],
        expect=[status(*[200] * 20), hits(bad=3, good=20)],
    ),
]

GATE = [
    Scenario(
        "outlier_small_clusters_by_default",
        "max_ejection_percent is 10: of two hosts none is ever ejected",
        rule="5 ejection gate",
        upstreams={"bad": 500, "good": 200},
        policy=boot([], [cluster("a", ["bad", "good"], outlier_detection={"consecutive_5xx": 2}, **ALONE)]),
        calls=[_calls(20, get())],
        expect=[tally({200: 10, 500: 10})],
    ),
    Scenario(
        "outlier_always_eject_one",
        "always_eject_one_host: one is, whatever the percentage says, and no second",
        rule="5 always_eject_one_host",
        upstreams={"a": 500, "b": 500},
        policy=boot(
            [],
            [
                cluster(
                    "a",
                    ["a", "b"],
                    outlier_detection={"consecutive_5xx": 2, "always_eject_one_host": True},
                    **ALONE,
                )
            ],
        ),
        calls=[_calls(20, get())],
        expect=[
            see("fewer", lambda run: min(len(run.at(name).requests) for name in "ab"), 2),
            see("more", lambda run: max(len(run.at(name).requests) for name in "ab"), 18),
        ],
    ),
    Scenario(
        "outlier_max_ejection_percent",
        "70 % of four: two go, for a third would be 75 %",
        rule="5 (already_ejected + 1) * 100 / total <= max_ejection_percent",
        upstreams=dict.fromkeys("abcd", 500),
        policy=boot(
            [],
            [_watched(*"abcd", consecutive_5xx=1, enforcing_consecutive_5xx=100, max_ejection_percent=70)],
        ),
        calls=[_calls(24, get())],
        expect=[
            see("out", lambda run: sorted(len(one.requests) for one in run.upstreams.values())[:2], [1, 1]),
            see("in", lambda run: sum(sorted(len(one.requests) for one in run.upstreams.values())[2:]), 22),
        ],
    ),
    Scenario(
        "outlier_all_ejected",
        "when all are out and nobody panics: 503 no healthy upstream",
        rule="5, 6.3",
        upstreams={"a": 500, "b": 500},
        policy=boot([], [_watched("a", "b", consecutive_5xx=1, enforcing_consecutive_5xx=100)]),
        calls=[_calls(5, get())],
        expect=[status(500, 500, 503, 503, 503), body("no healthy upstream"), hits(a=1, b=1)],
    ),
    Scenario(
        "outlier_panic",
        "with the default panic threshold ejected hosts are used once too few are left",
        rule="5 and panic routes to it anyway; 6.3",
        upstreams={"a": 500},
        policy=boot(
            [],
            [
                cluster(
                    "a",
                    outlier_detection={"consecutive_5xx": 1, "max_ejection_percent": 100},
                    common_lb_config={"update_merge_window": "0s"},
                )
            ],
        ),
        calls=[_calls(4, get())],
        expect=[status(500, 500, 500, 500), hits(a=4)],
    ),
]

BACK = [
    Scenario(
        "outlier_comes_back",
        "after base_ejection_time, at a tick of the interval, the host is back",
        rule="5 un-ejection on an interval tick",
        upstreams={"bad": [500, 200], "good": 200},
        policy=boot(
            [],
            [
                _watched(
                    "bad",
                    "good",
                    consecutive_5xx=1,
                    enforcing_consecutive_5xx=100,
                    interval="0.1s",
                    base_ejection_time="0.6s",
                )
            ],
        ),
        calls=[
            Until(get(), lambda outcome: outcome.status == 500),
            _calls(4, get()),
            Until(get(), lambda outcome: outcome.text == "bad", within=8),
        ],
        expect=[
            see("ejected", lambda run: [outcome.text for outcome in run.outcomes[1:5]], ["good"] * 4),
            see(
                "for",
                lambda run: round(run.at("bad").requests[1].arrived - run.at("bad").requests[0].arrived, 2),
                Between(0.55, 4),
            ),
        ],
    ),
    Scenario(
        "outlier_longer_each_time",
        "each ejection is longer than the one before, up to max_ejection_time",
        rule="5 multiplier",
        upstreams={"bad": 500, "good": 200},
        policy=boot(
            [],
            [
                _watched(
                    "bad",
                    "good",
                    consecutive_5xx=1,
                    enforcing_consecutive_5xx=100,
                    interval="0.3s",
                    base_ejection_time="0.4s",
                    max_ejection_time="0.8s",
                )
            ],
        ),
        calls=[*[Until(get(), lambda outcome: outcome.status == 500, within=8, every=0.02)] * 4],
        expect=[
            see(
                "for",
                lambda run: [
                    round(after.arrived - before.arrived, 2)
                    for before, after in zip(run.at("bad").requests, run.at("bad").requests[1:], strict=False)
                ],
                # 0.4, then 0.8, then 0.8 (the cap), each up to a tick longer
                [Between(0.35, 1.0), Between(0.75, 2.0), Between(0.75, 2.0)],
            )
        ],
    ),
]


def _five(**scripts: Any) -> dict[str, Any]:
    return {**dict.fromkeys("abcde", 200), **scripts}


SWEEPS = [
    Scenario(
        "outlier_failure_percentage",
        "failure_percentage: a host that fails three in four goes at the next interval",
        rule="5 failure percentage",
        upstreams=_five(a=lambda request: 200 if request.number % 4 == 0 else 500),
        policy=boot(
            [],
            [
                _watched(
                    *"abcde",
                    enforcing_failure_percentage=100,
                    failure_percentage_threshold=50,
                    failure_percentage_request_volume=5,
                    interval="1s",
                )
            ],
        ),
        calls=[_calls(60, get()), pause(1.5), _calls(20, get())],
        # The sweep may come in between; one of its halves tells enough.
        expect=[hits(a=Between(5, 12)), spread(Where(lambda seen: "a" not in seen, "nothing to a"), first=60)],
    ),
    Scenario(
        "outlier_failure_percentage_needs_hosts",
        "with fewer hosts than failure_percentage_minimum_hosts nobody goes",
        rule="5 minimum_hosts",
        upstreams={"a": 500, "b": 200},
        policy=boot(
            [],
            [
                _watched(
                    "a",
                    "b",
                    enforcing_failure_percentage=100,
                    failure_percentage_threshold=50,
                    failure_percentage_request_volume=2,
                    failure_percentage_minimum_hosts=3,
                    interval="0.2s",
                )
            ],
        ),
        calls=[_calls(20, get()), pause(0.6), _calls(10, get())],
        expect=[hits(a=15, b=15)],
    ),
    Scenario(
        "outlier_success_rate",
        "success rate: of five hosts the one far below the others goes",
        rule="5 success rate",
        upstreams=_five(a=500),
        policy=boot(
            [],
            [
                _watched(
                    *"abcde",
                    enforcing_success_rate=100,
                    success_rate_request_volume=5,
                    success_rate_minimum_hosts=5,
                    interval="1s",
                )
            ],
        ),
        calls=[_calls(60, get()), pause(1.5), _calls(20, get())],
        expect=[hits(a=Between(5, 12)), spread(Where(lambda seen: "a" not in seen, "nothing to a"), first=60)],
    ),
    Scenario(
        "outlier_success_rate_needs_requests",
        "below success_rate_request_volume nobody goes",
        rule="5 request_volume",
        upstreams=_five(a=500),
        policy=boot(
            [],
            [_watched(*"abcde", enforcing_success_rate=100, success_rate_request_volume=100, interval="0.3s")],
        ),
        calls=[_calls(30, get()), pause(0.7), _calls(20, get())],
        expect=[hits(a=10)],
    ),
]

SPLIT = {"split_external_local_origin_errors": True, "consecutive_local_origin_failure": 2}

LOCAL = [
    Scenario(
        "outlier_grpc_status_in_the_head",
        "a gRPC request's grpc-status in the head counts; to any other request it is a 200",
        rule="5 grpc-status header is mapped",
        upstreams={
            "bad": Upstream(Reply(200, {"grpc-status": "14"}, body=b""), kind="http2"),
            "good": Upstream(kind="http2"),
        },
        policy=boot([], [{**_watched("bad", "good", **THREE), **http2()}]),
        calls=[_calls(10, get()), _calls(12, get("/", {"content-type": "application/grpc"}))],
        expect=[hits(bad=8)],
    ),
    Scenario(
        "outlier_split_refused",
        "split mode: refused connections are counted apart, and eject",
        rule="5 split mode: connect failures feed the local-origin counter",
        upstreams={"bad": Upstream(kind="refused"), "good": 200},
        policy=boot(
            [],
            [_watched("bad", "good", enforcing_consecutive_local_origin_failure=100, consecutive_5xx=1, **SPLIT)],
        ),
        calls=[_calls(20, get())],
        expect=[tally({200: 18, 503: 2})],
    ),
    Scenario(
        "outlier_split_not_by_5xx",
        "split mode: refused connections do not count as 5xx",
        rule="5 split mode: responses feed 5xx only",
        upstreams={"bad": Upstream(kind="refused"), "good": 200},
        policy=boot([], [_watched("bad", "good", **THREE, **SPLIT)]),
        calls=[_calls(20, get())],
        expect=[tally({200: 10, 503: 10})],
    ),
    Scenario(
        "outlier_split_accepting_hosts",
        "split mode: a host that accepts and then resets, or is silent, never gets to a second failure in a row",
        rule="5 split mode: accepts then closes never reaches a threshold",
        upstreams={"bad": reset(), "good": 200},
        policy=boot(
            [route(timeout="0.2s")],
            [_watched("bad", "good", enforcing_consecutive_local_origin_failure=100, **THREE, **SPLIT)],
        ),
        calls=[_calls(16, get())],
        expect=[tally({200: 8, 503: 8}), hits(bad=8)],
    ),
]

SCENARIOS = [*CONSECUTIVE, *GATE, *BACK, *SWEEPS, *LOCAL]
