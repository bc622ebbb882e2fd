"""Who gets a try: retries' choice of hosts, newcomers, panic, load, what is dropped (semantics 3.6, 4 to 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bootstrap import (
    EDS,
    Document,
    boot,
    cluster,
    discovery,
    eds_cluster,
    endpoint,
    load_assignment,
    locality,
    outlier,
    panic,
    protocol_options,
    retry,
    route,
    thresholds,
    typed,
)
from ..expect import Between, Where
from ..look import body, details, flags, got, hits, order, see, spread, status, tally, took
from ..model import Run, Scenario, Until, get, pause, script, times, together, write
from ..upstreams.replies import Reply

PLAIN = dict.fromkeys("abcdef", 200)
BAD = dict.fromkeys("abcdef", 503)
NO_HOST = "no healthy upstream"
MANY = thresholds(max_retries=1000)


def policy_of(kind: str, **fields: Any) -> Document:
    """The field `load_balancing_policy` with one policy."""
    config = typed(f"extensions.load_balancing_policies.{kind}", **fields)
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": kind, "typed_config": config}}]}}


def predicate(kind: str, attempts: int = 8, **fields: Any) -> Document:
    config = typed(f"extensions.retry.host.{kind}", **fields)
    return {
        "retry_host_predicate": [{"name": "x", "typed_config": config}],
        "host_selection_retry_max_attempts": attempts,
    }


def priorities(every: int) -> Document:
    config = typed("extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=every)
    return {"retry_priority": {"name": "x", "typed_config": config}}


def unhealthy(name: str, **fields: Any) -> Document:
    return endpoint(name, health="UNHEALTHY", **fields)


# --- which host a retry goes to ---------------------------------------------------------------------------------------


def _tries(
    name: str, about: str, members: Mapping[str, Any], choice: Document, expected: Any, calls: int = 3
) -> Scenario:
    """`calls` calls of seven tries each; `expected` of the order of hosts."""
    return Scenario(
        f"retry_choice_{name}",
        about,
        rule="3.6 host choice on retry",
        upstreams=BAD,
        policy=boot([route(retry_policy=retry("5xx", 6, base="0.001s", **choice))], [cluster("a", **members, **MANY)]),
        calls=[times(calls, get())],
        expect=[order(expected)],
    )


def by_call(rule: str, holds: Any) -> Where:
    """What holds of the seven tries of each call."""
    return Where(lambda found: all(holds(found[at : at + 7]) for at in range(0, len(found), 7)), rule)


LEVELS = {
    "localities": [
        locality("a", "b", priority=0),
        locality("c", "d", priority=1),
        locality("e", "f", priority=2),
    ]
}
LEVEL_OF = dict(zip("abcdef", "001122", strict=True))


def levels(expected: str) -> Where:
    return by_call(
        f"priorities {expected}", lambda tries: "".join(LEVEL_OF[name] for name in tries) == expected
    )  # fmt: skip


LABELLED = {
    "endpoints": [
        endpoint("a", lb={"canary": True, "z": "1"}),
        endpoint("b", lb={"canary": "true", "z": ["1", "2"]}),
        endpoint("c"),
    ]
}
CHOICES = [
    _tries("previous_priorities", "each retry goes to a priority that was not tried; then all over again",
           LEVELS, priorities(1), levels("0120120")),
    _tries("previous_priorities_every_two", "priorities are left out after every second try",
           LEVELS, priorities(2), levels("0011220")),
    _tries("previous_priorities_every_three", "priorities are left out after every third try",
           LEVELS, priorities(3), levels("0001112")),
    _tries("priorities_stay", "without a retry priority all tries stay on the best one",
           LEVELS, {}, levels("0000000")),
    _tries("canary", "omit_canary_hosts: only `canary: true` is a canary",
           LABELLED, predicate("omit_canary_hosts.v3.OmitCanaryHostsPredicate"),
           by_call("no retry on a", lambda tries: "a" not in tries[1:])),
    _tries("metadata", "omit_host_metadata: hosts with these labels, in a list too, get no retry",
           LABELLED, predicate("omit_host_metadata.v3.OmitHostMetadataConfig",
                               metadata_match={"filter_metadata": {"envoy.lb": {"z": "1"}}}),
           by_call("retries on c", lambda tries: tries[1:] == "cccccc")),
    _tries("metadata_empty", "omit_host_metadata without labels rejects nobody",
           LABELLED, predicate("omit_host_metadata.v3.OmitHostMetadataConfig"),
           by_call("all in turn", lambda tries: len(set(tries[:3])) == 3 and tries[:3] == tries[3:6])),
]  # fmt: skip

# --- panic, priorities, localities ------------------------------------------------------------------------------------


def _served(name: str, about: str, rule: str, clusters: Document, calls: int, *looks: Any, **top: Any) -> Scenario:
    return Scenario(
        name, about, rule=rule, upstreams=PLAIN, policy=boot(clusters=[clusters], **top), calls=[times(calls, get())],
        expect=looks,
    )  # fmt: skip


FAIL_IN_PANIC = {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}
SICK = ["a", unhealthy("b"), unhealthy("c")]
BY_LOCALITY = {"locality_weighted_lb_config": {}}
ZONES = [
    locality("a", locality={"zone": "z1"}, load_balancing_weight=3),
    locality("b", locality={"zone": "z2"}, load_balancing_weight=1),
]
HEALTH = [
    _served("panic_fails", "fail_traffic_on_panic: in panic there is no host", "6.3 fail_traffic_on_panic",
            cluster("a", SICK, common_lb_config=FAIL_IN_PANIC), 4,
            status(503, 503, 503, 503), body(NO_HOST), flags("UH", "UH", "UH", "UH"), hits(a=0, b=0, c=0)),
    _served("panic_fails_new_style", "the same inside load_balancing_policy", "6.3 fail_traffic_on_panic",
            cluster("a", SICK, **policy_of("random.v3.Random", locality_lb_config=FAIL_IN_PANIC)), 2,
            status(503, 503), hits(a=0, b=0, c=0)),
    _served("panic_threshold_runtime", "the runtime key upstream.healthy_panic_threshold beats the cluster's",
            "6.3 runtime", cluster("a", SICK, **panic(60)), 12, spread({"a": 12}),
            layered_runtime={"layers": [{"name": "s", "static_layer": {"upstream.healthy_panic_threshold": 20}}]}),
    _served("priority_health_by_weight", "weighted_priority_health: a priority is as well as its healthy hosts weigh",
            "6.4 weighted_priority_health",
            cluster("a", localities=[locality(endpoint("a", weight=1), unhealthy("b", weight=9), priority=0),
                                     locality("c", priority=1)],
                    assignment={"policy": {"weighted_priority_health": True}}),
            300, hits(a=Between(17, 72), b=0, c=Between(228, 283))),
    _served("panic_not_by_weight", "weighted hosts that can take all the load keep the priority from panic",
            "6.4 weighted_priority_health",
            cluster("a", [endpoint("a", weight=9), unhealthy("b"), unhealthy("c")],
                    assignment={"policy": {"weighted_priority_health": True}}), 9, spread({"a": 9})),
    _served("locality_new_style", "localities by weight inside load_balancing_policy", "7 load_balancing_policy",
            cluster("a", localities=ZONES, **policy_of("round_robin.v3.RoundRobin", locality_lb_config=BY_LOCALITY)),
            40, spread({"a": 30, "b": 10})),
    _served("wrr_locality", "wrr_locality: localities by weight, and turns inside", "7 wrr_locality",
            cluster("a", localities=ZONES, **policy_of(
                "wrr_locality.v3.WrrLocality",
                endpoint_picking_policy=policy_of(
                    "client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"
                )["load_balancing_policy"],
            )), 40, spread({"a": 30, "b": 10})),
]  # fmt: skip

# --- load and age -----------------------------------------------------------------------------------------------------

BUSY = [together(get(), get(), stagger=0.05), pause(0.1), times(10, get())]


def _busy(run: Run) -> dict[str, int]:
    """How the quick host was preferred."""
    return {name: len(run.at(name).requests) for name in ("a", "b")}


LOAD = [
    Scenario(
        "least_request_full_scan",
        "FULL_SCAN: never a host that has more to do than another",
        rule="7 selection_method",
        upstreams={"a": [Reply(delay=1.2), 200], "b": [Reply(delay=1.2), 200], **dict.fromkeys("cde", 200)},
        policy=boot(
            clusters=[
                cluster("a", list("ab"), **policy_of("least_request.v3.LeastRequest", selection_method="FULL_SCAN"))
            ]
        ),
        calls=[together(get(), get(), stagger=0.1)],
        expect=[hits(a=1, b=1), status(200, 200)],
    ),
    Scenario(
        "least_request_bias_zero",
        "active_request_bias 0: weights alone count, whatever the hosts are doing",
        rule="7 active_request_bias",
        upstreams={"a": Reply(delay=0.5), "b": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    [endpoint("a", weight=3), endpoint("b", weight=1)],
                    lb_policy="LEAST_REQUEST",
                    least_request_lb_config={"active_request_bias": {"default_value": 0, "runtime_key": "bias"}},
                )
            ]
        ),
        calls=[together(get(), count=16, stagger=0.01)],
        expect=[hits(a=12, b=4)],
    ),
    Scenario(
        "least_request_bias",
        "active_request_bias 1: a host with requests in flight loses weight",
        rule="7 active_request_bias",
        upstreams={"a": Reply(delay=0.8), "b": 200},
        policy=boot(
            clusters=[
                cluster("a", [endpoint("a", weight=3), endpoint("b", weight=1)], lb_policy="LEAST_REQUEST")
            ]
        ),
        calls=[together(get(), count=16, stagger=0.02)],
        expect=[see("a", lambda run: len(run.at("a").requests), Between(2, 9))],
    ),
]  # fmt: skip

# --- what is refused --------------------------------------------------------------------------------------------------


def _dropping(numerator: int, denominator: str = "HUNDRED") -> Document:
    share = {"numerator": numerator, "denominator": denominator}
    return cluster("a", assignment={"policy": {"drop_overloads": [{"category": "x", "drop_percentage": share}]}})


def _runtime(**values: Any) -> Document:
    layer = {key.replace("__", "."): value for key, value in values.items()}
    return {"layered_runtime": {"layers": [{"name": "s", "static_layer": layer}]}}


DROPS = [
    _served("drop_all", "drop_overloads of everything: every request is refused, with a word of its own",
            "8.4 drop_overloads", _dropping(1_000_000, "MILLION"), 2, status(503, 503), flags("UDO", "UDO"),
            details("unconditional_drop_overload", "unconditional_drop_overload"), body("unconditional drop overload"),
            got({"x-envoy-unconditional-drop-overload": "true", "x-envoy-overloaded": None}), hits(a=0)),
    _served("drop_half", "drop_overloads of half", "8.4 drop_overloads", _dropping(50), 100,
            tally({200: Between(28, 72), 503: Between(28, 72)}),
            see("texts", lambda run: sorted({outcome.text for outcome in run.outcomes}), ["a", "drop overload"]),
            see("flags", lambda run: sorted({outcome.flags for outcome in run.outcomes}), ["-", "DO"]),
            see("word", lambda run: sorted({str(outcome.header("x-envoy-drop-overload")) for outcome in run.outcomes}),
                ["None", "true"])),
    _served("drop_nothing", "drop_overloads of nothing", "8.4 drop_overloads", _dropping(0), 20, tally({200: 20})),
    _served("maintenance_mode", "the runtime key upstream.maintenance_mode.<cluster> refuses before anything else",
            "12.1 maintenance mode", _dropping(100), 2, status(503, 503), flags("UO", "UO"),
            details("maintenance_mode", "maintenance_mode"), body("maintenance mode"),
            got({"x-envoy-overloaded": "true"}), hits(a=0), **_runtime(upstream__maintenance_mode__a=100)),
    _served("maintenance_mode_of_another", "maintenance is a cluster's own", "12.1 maintenance mode",
            cluster("a"), 5, tally({200: 5}), **_runtime(upstream__maintenance_mode__b=100)),
]  # fmt: skip

SLOW = {"a": Reply(delay=0.4), "b": Reply(delay=0.4)}
PER_HOST = {"circuit_breakers": {"per_host_thresholds": [{"max_connections": 1}]}}
LIMITS = [
    Scenario(
        "limits_per_host",
        "per_host_thresholds: one connection to each host, the other requests wait",
        rule="4 per_host_thresholds",
        upstreams=SLOW,
        policy=boot(clusters=[cluster("a", ["a", "b"], **PER_HOST)]),
        calls=[together(get(), count=4)],
        expect=[
            tally({200: 4}),
            hits(a=2, b=2),
            see("last", lambda run: round(max(outcome.elapsed for outcome in run.outcomes), 2), Between(0.75, 2.0)),
            see("connections", lambda run: [run.at(name).connections for name in "ab"], [1, 1]),
        ],
    ),
    Scenario(
        "limits_per_host_other_priority",
        "per_host_thresholds hold for their own priority",
        rule="4 per_host_thresholds",
        upstreams=SLOW,
        policy=boot(
            clusters=[
                cluster("a", circuit_breakers={"per_host_thresholds": [{"priority": "HIGH", "max_connections": 1}]})
            ]
        ),
        calls=[together(get(), count=3)],
        expect=[
            tally({200: 3}),
            see("last", lambda run: round(max(outcome.elapsed for outcome in run.outcomes), 2), Between(0.35, 0.75)),
        ],
    ),
    Scenario(
        "limits_pools_none",
        "max_connection_pools 0: no host may be connected to",
        rule="4 max_connection_pools",
        upstreams=SLOW,
        policy=boot(clusters=[cluster("a", **thresholds(max_connection_pools=0))]),
        calls=[get()],
        expect=[status(503), body(NO_HOST), hits(a=0)],
    ),
    Scenario(
        "limits_pools_one",
        "max_connection_pools 1: of two hosts the one that was connected to first goes on serving",
        rule="4 max_connection_pools",
        upstreams={"a": 200, "b": 200},
        policy=boot(clusters=[cluster("a", ["a", "b"], **thresholds(max_connection_pools=1))]),
        calls=[times(8, get())],
        expect=[
            tally({200: 4, 503: 4}),
            see("hosts", lambda run: sorted(len(run.at(name).requests) for name in "ab"), [0, 4]),
        ],
    ),
    Scenario(
        "limits_runtime",
        "the runtime key circuit_breakers.<cluster>.default.max_requests beats the threshold",
        rule="4 runtime",
        upstreams=SLOW,
        policy=boot(
            clusters=[cluster("a", **thresholds(max_requests=1))],
            **_runtime(circuit_breakers__a__default__max_requests=3),
        ),
        calls=[together(get(), count=5)],
        expect=[tally({200: 3, 503: 2})],
    ),
    Scenario(
        "limits_runtime_budget",
        "runtime keys make a retry budget where there is none",
        rule="4 runtime",
        upstreams={"a": Reply(503, delay=0.2)},
        policy=boot(
            [route(retry_policy=retry("5xx", 1, base="0.001s"))],
            [cluster("a")],
            **_runtime(
                circuit_breakers__a__default__retry_budget__budget_percent=0,
                circuit_breakers__a__default__retry_budget__min_retry_concurrency=1,
            ),
        ),
        calls=[together(get(), count=4)],
        expect=[tally({503: 4}), hits(a=5)],
    ),
    Scenario(
        "retry_runtime_off",
        "the runtime key upstream.use_retry 0: nothing is retried",
        rule="3.5 upstream.use_retry",
        upstreams={"a": [503, 200]},
        policy=boot([route(retry_policy=retry("5xx", 3))], [cluster("a")], **_runtime(upstream__use_retry=0)),
        calls=[get()],
        expect=[status(503), hits(a=1)],
    ),
    Scenario(
        "retry_runtime_base",
        "the runtime key upstream.base_retry_backoff_ms is the base where the policy has none",
        rule="3.3 upstream.base_retry_backoff_ms",
        upstreams={"a": 503},
        policy=boot(
            [route(retry_policy=retry("5xx", 12, base=None))],
            [cluster("a", **MANY)],
            **_runtime(upstream__base_retry_backoff_ms=1),
        ),
        calls=[get()],
        expect=[status(503), hits(a=13), took(0, 0.7)],
    ),
]

# --- outlier detection ------------------------------------------------------------------------------------------------

DEGRADED = Reply(200, {"x-envoy-degraded": "true"})


def _matching(*headers: Document) -> Document:
    return protocol_options(outlier_detection={"error_matcher": {"http_response_headers_match": {"headers": headers}}})


FOUR_HUNDREDS = {"name": ":status", "string_match": {"prefix": "4"}}
EJECTING = {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100}
CALM = panic(0)
OUTLIERS = [
    Scenario(
        "outlier_degraded",
        "detect_degraded_hosts: a host that says so takes its degraded share, and after a while its full one",
        rule="5 detect_degraded_hosts",
        upstreams={"a": DEGRADED, "b": 200, "c": 200, "d": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a", list("abcd"), **outlier(detect_degraded_hosts=True, base_ejection_time="0.6s"), **panic(50)
                )
            ]
        ),
        calls=[
            times(4, get()),
            pause(0.1),
            times(12, get()),
            script("a", 200),
            pause(1.2),
            times(12, get()),
        ],
        expect=[
            spread({"b": 4, "c": 4, "d": 4}, 4, 16),
            spread({"a": 3, "b": 3, "c": 3, "d": 3}, 16),
        ],
    ),
    Scenario(
        "outlier_degraded_unheard",
        "without detect_degraded_hosts nobody listens to x-envoy-degraded",
        rule="5 detect_degraded_hosts",
        upstreams={"a": DEGRADED, "b": 200},
        policy=boot(clusters=[cluster("a", ["a", "b"], **outlier())]),
        calls=[times(20, get())],
        expect=[spread({"a": 10, "b": 10})],
    ),
    Scenario(
        "outlier_error_matcher",
        "error_matcher: a response that matches is an error, whatever its status",
        rule="5 error_matcher",
        upstreams={"a": 404},
        policy=boot(clusters=[cluster("a", **outlier(**EJECTING), **_matching(FOUR_HUNDREDS), **CALM)]),
        calls=[times(5, get(), pause=0.02)],  # an ejection takes its time to Envoy's workers
        expect=[status(404, 404, 404, 503, 503), hits(a=3)],
    ),
    Scenario(
        "outlier_error_matcher_alone",
        "error_matcher: a response that does not match is none, not even a 503",
        rule="5 error_matcher",
        upstreams={"a": 503},
        policy=boot(clusters=[cluster("a", **outlier(**EJECTING), **_matching(FOUR_HUNDREDS), **CALM)]),
        calls=[times(6, get())],
        expect=[hits(a=6)],
    ),
    Scenario(
        "outlier_runtime",
        "the runtime key outlier_detection.consecutive_5xx beats the cluster's",
        rule="5 runtime",
        upstreams={"a": 500},
        policy=boot(
            clusters=[cluster("a", **outlier(**EJECTING), **CALM)], **_runtime(outlier_detection__consecutive_5xx=2)
        ),
        calls=[times(4, get())],
        expect=[status(500, 500, 503, 503), hits(a=2)],
    ),
]

SLOW_START = {"slow_start_config": {"slow_start_window": "20s", "min_weight_percent": {"value": 10}}}
NEWCOMERS = [
    Scenario(
        "slow_start_equals",
        "slow start: hosts of the same age share as ever",
        rule="6.6 slow start",
        upstreams={"a": 200, "b": 200},
        policy=boot(clusters=[cluster("a", ["a", "b"], round_robin_lb_config=SLOW_START)]),
        calls=[times(40, get())],
        expect=[hits(a=Between(17, 23), b=Between(17, 23))],
    ),
    *(
        Scenario(
            f"slow_start_{name}",
            f"slow start under {name}: a newcomer begins with a tenth of its weight and ends with all",
            rule="6.6 slow start",
            upstreams={"a": 200, "b": 200},
            policy=boot(clusters=[eds_cluster(**fields)], node={"id": "x", "cluster": "x"}),
            files={"eds.yaml": discovery(EDS, load_assignment("a", ["a"]))},
            calls=[
                pause(2.1),
                write("eds.yaml", discovery(EDS, load_assignment("a", ["a", "b"]))),
                Until(get(), lambda outcome: outcome.text == "b"),
                times(33, get()),
                pause(2.1),
                times(40, get()),
            ],
            expect=[
                spread({"a": Between(21, 32), "b": Between(1, 12)}, -73, -40),
                spread({"a": Between(10, 30), "b": Between(10, 30)}, -40),
            ],
        )
        for name, fields in (
            ("round_robin", {"round_robin_lb_config": {"slow_start_config": {"slow_start_window": "2s"}}}),
            (
                "least_request",
                {
                    "lb_policy": "LEAST_REQUEST",
                    "least_request_lb_config": {"slow_start_config": {"slow_start_window": "2s"}},
                },
            ),
        )
    ),
]

SCENARIOS = [*CHOICES, *HEALTH, *LOAD, *DROPS, *LIMITS, *OUTLIERS, *NEWCOMERS]
