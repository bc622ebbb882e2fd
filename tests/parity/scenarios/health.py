"""Health checks, panic, priorities, localities, degraded hosts, slow start (semantics 6)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import boot, cluster, endpoint, health_check, locality, panic, route
from ..expect import Between
from ..look import body, flags, got, hits, see, spread, status, tally
from ..model import Scenario, Until, get, health, pause, times, wait_for
from ..upstreams.replies import Reply, Upstream, close, hang


def _checked(answer: Any = 200, **fields: Any) -> Upstream:
    return Upstream(200, health=answer, **fields)


def _with_checks(*hosts: Any, **check: Any) -> dict[str, Any]:
    return cluster("a", list(hosts), health_checks=[health_check(**check)], **panic(0))


def _sees(upstream: str, count: int) -> Any:
    return wait_for(lambda run: len(run.at(upstream).checks) >= count)


CHECKS = [
    Scenario(
        "check_bad_from_the_start",
        "a host whose first check fails gets nothing, from the first call on",
        rule="6.2 a new host starts failed; init waits for the first round",
        upstreams={"a": _checked(), "b": _checked(503)},
        policy=boot([], [_with_checks("a", "b")]),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=6, b=0)],
    ),
    Scenario(
        "check_goes_bad_and_recovers",
        "a host that begins to fail its check is taken out, and comes back when it passes",
        rule="6.2",
        upstreams={"a": _checked(), "b": _checked()},
        policy=boot([], [_with_checks("a", "b")]),
        calls=[
            times(4, get()),
            health("b", 503),
            pause(0.6),
            times(4, get()),
            health("b", 200),
            Until(get(), lambda outcome: outcome.text == "b"),
        ],
        expect=[
            spread({"a": 2, "b": 2}, last=4),
            spread({"a": 4}, first=4, last=8),
            see("last", lambda run: run.outcomes[-1].text, "b"),
        ],
    ),
    Scenario(
        "check_request",
        "what a check looks like: GET, the cluster's name as host, Envoy/HC",
        rule="6.1 http_health_check.host",
        upstreams={"a": _checked()},
        policy=boot([], [_with_checks("a")]),
        calls=[get()],
        expect=[
            see(
                "check",
                lambda run: (
                    [run.at("a").checks[0].line]
                    + [run.at("a").checks[0].header(name) for name in ("host", "user-agent")]
                ),
                ["GET /health", "a", "Envoy/HC"],
            )
        ],
    ),
    Scenario(
        "check_request_of_ones_own",
        "path, host, method and headers of a check can be set",
        rule="6.1 http_health_check",
        upstreams={"a": _checked(health_path="/ready")},
        policy=boot(
            [],
            [
                _with_checks(
                    "a",
                    path="/ready?deep=1",
                    http={
                        "host": "hc.test",
                        "method": "HEAD",
                        "request_headers_to_add": [{"header": {"key": "x-check", "value": "1"}}],
                        "request_headers_to_remove": ["user-agent"],
                    },
                )
            ],
        ),
        calls=[get()],
        expect=[
            see(
                "check",
                lambda run: (
                    [run.at("a").checks[0].line]
                    + [run.at("a").checks[0].header(name) for name in ("host", "x-check", "user-agent")]
                ),
                ["HEAD /ready?deep=1", "hc.test", "1", None],
            )
        ],
    ),
    Scenario(
        "check_hostname_of_the_endpoint",
        "an endpoint's health_check_config.hostname is the host of its check",
        rule="6.1 endpoint override",
        upstreams={"a": _checked()},
        policy=boot([], [_with_checks(endpoint("a", health_check_config={"hostname": "one.test"}))]),
        calls=[get()],
        expect=[see("host", lambda run: run.at("a").checks[0].header("host"), "one.test")],
    ),
    Scenario(
        "check_port_of_its_own",
        "an endpoint's health_check_config.port_value is where it is checked",
        rule="6.1 health_check_config.port_value",
        upstreams={"a": 200, "b": 200, "probe": _checked(503)},
        policy=boot(
            [],
            [_with_checks(endpoint("a", health_check_config={"port_value": "${port:probe}"}), "b")],
        ),
        calls=[times(4, get())],
        expect=[see("a", lambda run: len([one for one in run.at("a").requests if one.path == "/"]), 0)],
    ),
    Scenario(
        "check_disabled_for_an_endpoint",
        "disable_active_health_check leaves an endpoint alone",
        rule="6.1 disable_active_health_check",
        upstreams={"a": _checked(503), "b": _checked()},
        policy=boot([], [_with_checks(endpoint("a", health_check_config={"disable_active_health_check": True}), "b")]),
        calls=[times(4, get())],
        expect=[hits(a=2, b=2), see("checks", lambda run: len(run.at("a").checks), 0)],
    ),
    Scenario(
        "check_bad_status_at_once",
        "a wrong status is unhealthy at once, whatever unhealthy_threshold says",
        rule="6.2 ignoring unhealthy_threshold",
        upstreams={"a": _checked(), "b": _checked([200, 200, 404])},
        policy=boot([], [_with_checks("a", "b", unhealthy_threshold=50)]),
        calls=[_sees("b", 4), pause(0.2), times(4, get())],
        expect=[hits(a=4, b=0)],
    ),
    Scenario(
        "check_retriable_statuses",
        "retriable_statuses count towards the threshold instead",
        rule="6.1 retriable_statuses",
        upstreams={"a": _checked(), "b": _checked([200, 503, 200])},
        policy=boot(
            [],
            [_with_checks("a", "b", unhealthy_threshold=2, http={"retriable_statuses": [{"start": 500, "end": 600}]})],
        ),
        calls=[_sees("b", 3), times(4, get())],
        expect=[hits(a=2, b=2)],
    ),
    Scenario(
        "check_expected_statuses",
        "expected_statuses replace 200; the end of a range is not in it",
        rule="6.1 expected_statuses half-open",
        upstreams={"a": _checked(204), "b": _checked(200), "c": _checked(299), "d": _checked(300)},
        policy=boot([], [_with_checks(*"abcd", http={"expected_statuses": [{"start": 201, "end": 300}]})]),
        calls=[times(6, get())],
        expect=[hits(a=3, b=0, c=3, d=0)],
    ),
    Scenario(
        "check_silence",
        "a check that gets no answer within its timeout has failed",
        rule="6.2 timeouts",
        upstreams={"a": _checked(), "b": _checked(hang())},
        policy=boot([], [_with_checks("a", "b", timeout="0.2s")]),
        calls=[times(4, get())],
        expect=[hits(a=4, b=0)],
    ),
    Scenario(
        "check_refused",
        "a refused check has failed",
        rule="6.2 connect errors",
        upstreams={"a": _checked(), "b": Upstream(kind="refused")},
        policy=boot([], [_with_checks("a", "b")]),
        calls=[times(4, get())],
        expect=[status(*[200] * 4), hits(a=4)],
    ),
    Scenario(
        "check_unhealthy_threshold",
        "unhealthy_threshold 3: two broken checks in a row are forgiven",
        rule="6.1 unhealthy_threshold",
        upstreams={"a": _checked(), "b": _checked([200, close(), close(), 200])},
        policy=boot([], [_with_checks("a", "b", unhealthy_threshold=3)]),
        calls=[_sees("b", 5), times(4, get())],
        expect=[hits(a=2, b=2)],
    ),
    Scenario(
        "check_first_success_is_enough",
        "the first check of all: one success makes a host healthy, whatever healthy_threshold says",
        rule="6.2 first check",
        upstreams={"a": _checked(), "b": _checked()},
        policy=boot([], [_with_checks("a", "b", healthy_threshold=50)]),
        calls=[times(4, get())],
        expect=[hits(a=2, b=2)],
    ),
    Scenario(
        "check_healthy_threshold_after_a_failure",
        "after a failed first check healthy_threshold applies in full",
        rule="6.2 fail, fail, ok, ok",
        upstreams={"a": _checked(), "b": _checked([503, 200])},
        policy=boot([], [_with_checks("a", "b", healthy_threshold=4)]),
        calls=[_sees("b", 3), get(), get(), Until(get(), lambda outcome: outcome.text == "b")],
        expect=[
            see("before", lambda run: {outcome.text for outcome in run.outcomes[:2]}, {"a"}),
            see(
                "checks",
                lambda run: (
                    len([one for one in run.at("b").checks if one.arrived < run.at("b").requests[0].arrived]) >= 5
                ),
                True,
            ),
        ],
    ),
    Scenario(
        "check_new_connection_each_time",
        "reuse_connection: false checks over a connection of its own each time",
        rule="6.1 reuse_connection",
        upstreams={"a": _checked()},
        policy=boot([], [_with_checks("a", reuse_connection=False)]),
        calls=[_sees("a", 3)],
        expect=[see("one each", lambda run: len({one.connection for one in run.at("a").checks}) >= 3, True)],
    ),
    Scenario(
        "check_connection_is_reused",
        "otherwise checks share a connection, apart from the calls' own",
        rule="6.1 reuse_connection",
        upstreams={"a": _checked()},
        policy=boot([], [_with_checks("a")]),
        calls=[get(), _sees("a", 4)],
        expect=[
            see("checks", lambda run: len({one.connection for one in run.at("a").checks}), 1),
            see("apart", lambda run: run.at("a").connections, 2),
        ],
    ),
    Scenario(
        "check_all_must_pass",
        "of two checks both must pass",
        rule="6.1 more than one: all",
        upstreams={"a": {"/one": 200, "/two": 200, "*": 200}, "b": {"/one": 200, "/two": 503, "*": 200}},
        policy=boot(
            [],
            [
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[health_check("/one", name="one"), health_check("/two", name="two")],
                    **panic(0),
                )
            ],
        ),
        calls=[times(4, get("/call"))],
        expect=[spread({"a": 4})],
    ),
    Scenario(
        "check_tcp",
        "a TCP check without payload asks for a connection alone",
        rule="6.1 tcp_health_check",
        upstreams={"a": 200, "b": Upstream(kind="refused")},
        policy=boot(
            [],
            [
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[
                        {key: value for key, value in health_check().items() if key != "http_health_check"}
                        | {"tcp_health_check": {}}
                    ],
                    **panic(0),
                )
            ],
        ),
        calls=[times(4, get())],
        expect=[status(*[200] * 4), hits(a=4)],
    ),
    Scenario(
        "check_none_passes",
        "no host passes: 503 no healthy upstream, or in panic all of them",
        rule="6.3 0 of n",
        upstreams={"a": _checked(503), "b": _checked(503)},
        policy=boot(
            [route("panic", "/panic"), route()],
            [
                _with_checks("a", "b"),
                cluster("panic", ["a", "b"], health_checks=[health_check()]),
            ],
        ),
        calls=[get("/"), times(4, get("/panic"))],
        expect=[status(503, *[200] * 4), hits(a=2, b=2)],
    ),
    Scenario(
        "check_degraded",
        "a passing check with x-envoy-degraded leaves a host what the others leave",
        rule="6.2 degraded_active_hc",
        upstreams={
            "a": _checked(Reply(200, {"x-envoy-degraded": "true"})),
            "b": _checked(),
            "c": _checked(),
            "d": _checked(),
        },
        policy=boot([], [_with_checks(*"abcd")]),
        calls=[times(12, get())],
        expect=[hits(a=0)],
    ),
    Scenario(
        "check_immediate_fail",
        "x-envoy-immediate-health-check-fail in an answer takes the host out until a check passes; the caller sees it",
        rule="3.9 x-envoy-immediate-health-check-fail",
        upstreams={
            "a": Upstream(Reply(200, {"x-envoy-immediate-health-check-fail": "true"}), health=200),
            "b": _checked(),
        },
        policy=boot([], [_with_checks("a", "b", interval="30s", no_traffic_interval="30s")]),
        calls=[times(8, get())],
        expect=[hits(a=1, b=7), status(*[200] * 8)],
    ),
    Scenario(
        "check_immediate_fail_without_checks",
        "without active checks the header means nothing",
        rule="3.9 ignored without HC",
        upstreams={"a": Reply(200, {"x-envoy-immediate-health-check-fail": "true"}), "b": 200},
        policy=boot([], [cluster("a", ["a", "b"])]),
        calls=[times(8, get())],
        expect=[hits(a=4, b=4)],
    ),
]

HUNDRED = 300
"""Calls for shares by chance: at 300 the deviation of a share is at most 3 %."""


def _shares(name: str, about: str, rule: str, hosts: dict[str, Any], localities: list[Any], **fields: Any) -> Scenario:
    """Shares of 300 calls; hosts not named get nothing."""
    calls = fields.pop("calls", HUNDRED)
    return Scenario(
        name,
        about,
        rule=rule,
        upstreams=dict.fromkeys(sorted(_names(localities)), 200),
        policy=boot([], [cluster("a", localities=localities, **fields)]),
        calls=[times(calls, get())],
        expect=[spread(hosts), tally({200: calls})],
    )


def _names(localities: list[Any]) -> set[str]:
    places = [one["endpoint"]["address"]["socket_address"] for group in localities for one in group["lb_endpoints"]]
    return {place["port_value"].removeprefix("${port:").removesuffix("}") for place in places}


def _sick(name: str) -> dict[str, Any]:
    return endpoint(name, health="UNHEALTHY")


def _faint(name: str) -> dict[str, Any]:
    return endpoint(name, health="DEGRADED")


def _share(percent: float, within: float = 12) -> Between:
    return Between(HUNDRED * (percent - within) / 100, HUNDRED * (percent + within) / 100)


CLASSES = [
    _shares(
        "status_kinds",
        "UNKNOWN and HEALTHY hosts are used, UNHEALTHY, TIMEOUT and DRAINING ones are not",
        "6.2 health classes",
        {"a": 10, "b": 10},
        [
            locality(
                endpoint("a", health="UNKNOWN"),
                endpoint("b", health="HEALTHY"),
                endpoint("c", health="DRAINING"),
                endpoint("d", health="TIMEOUT"),
                _sick("e"),
            )
        ],
        calls=20,
        **panic(0),
    ),
    _shares(
        "panic_below_half",
        "one of four healthy: below 50 % all four are used",
        "6.3 default 50",
        dict.fromkeys("abcd", 5),
        [locality("a", _sick("b"), _sick("c"), _sick("d"))],
        calls=20,
    ),
    _shares(
        "panic_not_at_half",
        "exactly half is no panic",
        "6.3 exactly 50 % is not panic",
        {"a": 10, "b": 10},
        [locality("a", "b", _sick("c"), _sick("d"))],
        calls=20,
    ),
    _shares(
        "panic_off",
        "a threshold of 0 keeps to the one healthy host",
        "6.3 0 disables",
        {"a": 20},
        [locality("a", _sick("b"), _sick("c"), _sick("d"))],
        calls=20,
        **panic(0),
    ),
    _shares(
        "panic_threshold",
        "a threshold of 60 is not met by one half",
        "6.3 healthy_panic_threshold",
        dict.fromkeys("abcd", 5),
        [locality("a", "b", _sick("c"), _sick("d"))],
        calls=20,
        **panic(60),
    ),
    Scenario(
        "empty_cluster",
        "a cluster without endpoints: 503 no healthy upstream, UH",
        rule="6.3 an empty cluster",
        policy=boot([], [cluster("a", [])]),
        calls=[get()],
        expect=[status(503), body("no healthy upstream"), flags("UH"), got({"content-type": "text/plain"})],
    ),
    _shares(
        "degraded_after_half",
        "two healthy, two degraded: 70 to 30",
        "6.4 one priority",
        {"a": _share(35), "b": _share(35), "c": _share(15), "d": _share(15)},
        [locality("a", "b", _faint("c"), _faint("d"))],
    ),
    _shares(
        "degraded_alone",
        "all degraded: all are used",
        "6.4 all degraded: even",
        {"a": 10, "b": 10},
        [locality(_faint("a"), _faint("b"))],
        calls=20,
    ),
]

PRIORITIES = [
    _shares(
        "priority_first",
        "three of four healthy is enough for everything",
        "6.4 75 % / 100 %",
        dict.fromkeys("abc", 20),
        [locality("a", "b", "c", _sick("d")), locality("e", priority=1)],
        calls=60,
    ),
    _shares(
        "priority_half",
        "one half healthy: 70 to 30",
        "6.4 50 % / 100 %",
        {"a": _share(70), "c": _share(30)},
        [locality("a", _sick("b")), locality("c", priority=1)],
    ),
    _shares(
        "priority_quarter",
        "a quarter healthy: 35 to 65",
        "6.4 25 % / 100 %",
        {"a": _share(35), "e": _share(65)},
        [locality("a", _sick("b"), _sick("c"), _sick("d")), locality("e", priority=1)],
    ),
    _shares(
        "priority_none",
        "none healthy: everything to the next; gaps in the numbers do not matter",
        "6.4 0 % / 100 %; gaps",
        {"b": 20},
        [locality(_sick("a")), locality("b", priority=2)],
        calls=20,
    ),
    _shares(
        "priority_overprovisioning",
        "overprovisioning_factor 100: three of four healthy is 75 to 25",
        "6.4 factor 100",
        {"a": _share(25), "b": _share(25), "c": _share(25), "e": _share(25)},
        [locality("a", "b", "c", _sick("d")), locality("e", priority=1)],
        assignment={"policy": {"overprovisioning_factor": 100}},
    ),
    _shares(
        "priority_panic",
        "too few everywhere: all priorities panic, shares by hosts",
        "6.4 25 % / 25 %",
        {name: _share(12.5, 9) for name in "abcdefgh"},
        [
            locality("a", _sick("b"), _sick("c"), _sick("d")),
            locality("e", _sick("f"), _sick("g"), _sick("h"), priority=1),
        ],
    ),
    _shares(
        "priority_degraded_last",
        "healthy hosts of all priorities come before degraded ones",
        "6.4 P0 half healthy, half degraded",
        {"a": _share(70), "c": _share(30)},
        [locality("a", _faint("b")), locality("c", priority=1)],
    ),
]

WEIGHTED: dict[str, Any] = {"common_lb_config": {"locality_weighted_lb_config": {}}}
ZONES = [{"zone": "one"}, {"zone": "two"}, {"zone": "three"}]

LOCALITIES = [
    _shares(
        "locality_weights_alone",
        "locality weights alone do nothing: hosts of one priority are pooled",
        "6.5 locality weights alone do nothing",
        {"a": 10, "b": 10},
        [
            locality("a", locality=ZONES[0], load_balancing_weight=1),
            locality("b", locality=ZONES[1], load_balancing_weight=9),
        ],
        calls=20,
    ),
    _shares(
        "locality_weighted",
        "locality_weighted_lb_config: localities by weight; one without a weight gets nothing",
        "6.5 locality_weighted_lb_config",
        {"a": 5, "b": 15},
        [
            locality("a", locality=ZONES[0], load_balancing_weight=1),
            locality("b", locality=ZONES[1], load_balancing_weight=3),
            locality("c", locality=ZONES[2]),
        ],
        calls=20,
        **WEIGHTED,
    ),
    _shares(
        "locality_availability",
        "a half-healthy locality weighs 0.7",
        "6.5 weight * min(1, 1.4 * availability)",
        {"a": _share(41), "c": _share(59)},
        [
            locality("a", _sick("b"), locality=ZONES[0], load_balancing_weight=1),
            locality("c", locality=ZONES[1], load_balancing_weight=1),
        ],
        **WEIGHTED,
    ),
]

SCENARIOS = [*CHECKS, *CLASSES, *PRIORITIES, *LOCALITIES]
