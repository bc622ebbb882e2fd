"""Fields of hosts, their checks, their ejection and their names that are seldom set (semantics 5, 6, 8)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import (
    EDS,
    Document,
    at,
    boot,
    cluster,
    discovery,
    eds_cluster,
    endpoint,
    health_check,
    load_assignment,
    locality,
    outlier,
    panic,
    protocol_options,
    route,
    typed,
)
from ..expect import Between, Where
from ..look import bodies, hits, lines, received, see, spread, status
from ..model import Look, Run, Scenario, Until, get, health, kill, pause, post, times, together, wait_for, write
from ..upstreams.replies import Names, Upstream, hang
from .dns import named

PIPE = {"endpoint": {"address": {"pipe": {"path": "${file:a.sock}"}}}}
NO_HOST = "no healthy upstream"
LOCALHOST = Names(["127.0.0.1"])


def _checked(**check: Any) -> Document:
    return cluster("a", health_checks=[health_check(**check)], **panic(0))


def _lasting(of: str, low: float, high: float, count: int, *, checks: bool = False) -> Look:
    """Seconds from the first request (or health check) to the one `count` later."""

    def seen(run: Run) -> float:
        arrivals = run.at(of).checks if checks else run.at(of).requests
        return round(arrivals[count].arrived - arrivals[0].arrived, 3)

    return see("lasting", seen, Between(low, high))


def _enough(of: str, count: int, *, checks: bool = False) -> Any:
    return wait_for(lambda run: len(run.at(of).checks if checks else run.at(of).requests) > count)


def _payloads(name: str, about: str, healthy: bool, **payloads: Any) -> Scenario:
    """A TCP check of an upstream that says `pong` to whatever it is sent."""
    checked = health_check(timeout="0.3s", reuse_connection=False, tcp_health_check=payloads)
    del checked["http_health_check"]
    return Scenario(
        f"hc_tcp_binary_{name}",
        about,
        rule="6.1 payloads",
        upstreams={"a": Upstream(greeting=b"pong")},
        policy=boot(clusters=[cluster("a", health_checks=[checked], **panic(0))]),
        calls=[get()],
        expect=[see("healthy", lambda run: run.outcomes[0].text != NO_HOST, healthy)],
    )


def _spread_of_first_checks(run: Run) -> float:
    first = [server.checks[0].arrived for server in run.upstreams.values()]
    return round(max(first) - min(first), 3)


PIPES = [
    Scenario(
        "pipe_upstream",
        "a host may be a Unix socket",
        rule="8.1 pipe",
        upstreams={"a": Upstream(pipe="a.sock")},
        policy=boot(clusters=[cluster("a", [PIPE])]),
        calls=[get("/x"), post("/y", b"body")],
        expect=[status(200, 200), lines("GET /x", "POST /y"), received("", "body")],
    ),
    Scenario(
        "pipe_upstream_refused",
        "where nobody listens at the socket that is a failed connection",
        rule="8.1 pipe",
        upstreams={"a": Upstream(pipe="a.sock"), "b": 200},
        policy=boot([route(retry_policy={"retry_on": "connect-failure"})], [cluster("a", [PIPE])]),
        calls=[get(), kill("a"), get()],
        expect=[
            status(200, 503),
            hits(a=1),
            bodies("a", Where(lambda text: "remote connection failure" in text, "a failed connection")),
        ],
    ),
    Scenario(
        "pipe_upstream_checked",
        "a host behind a Unix socket is checked as any other",
        rule="6.1",
        upstreams={"a": Upstream(pipe="a.sock", health=503)},
        policy=boot(clusters=[cluster("a", [PIPE], health_checks=[health_check()], **panic(0))]),
        calls=[get(), health("a", 200), Until(get(), lambda outcome: outcome.status == 200)],
        expect=[bodies(NO_HOST, "a")],
    ),
]

PING = {"text": b"ping".hex()}
PONG, OTHER = {"binary": "cG9uZw=="}, {"binary": "d2hhdA=="}

CHECKS = [
    _payloads("received", "what is expected may be written as binary", True, send=PING, receive=[PONG]),
    _payloads("not_received", "and has to come", False, send=PING, receive=[OTHER]),
    _payloads(
        "not_sent", "a TCP check sends its text alone: no binary", False, send={"binary": "cGluZw=="}, receive=[PONG]
    ),
    Scenario(
        "hc_http_binary_sent",
        "an HTTP check sends a binary as any body",
        rule="6.1 payloads",
        upstreams={"a": Upstream(health=200)},
        policy=boot(clusters=[_checked(http={"method": "POST", "send": PONG})]),
        calls=[_enough("a", 0, checks=True), get()],
        expect=[status(200), see("sent", lambda run: run.at("a").checks[0].body, b"pong")],
    ),
    Scenario(
        "hc_no_traffic_healthy_interval",
        "no_traffic_healthy_interval: a healthy host without traffic is checked that often",
        rule="6.1 no_traffic_healthy_interval",
        upstreams={"a": Upstream(health=200)},
        policy=boot(clusters=[_checked(no_traffic_interval="60s", no_traffic_healthy_interval="0.05s")]),
        calls=[_enough("a", 3, checks=True)],
        expect=[_lasting("a", 0.1, 5, 3, checks=True)],
    ),
    Scenario(
        "hc_no_traffic_healthy_interval_is_for_the_healthy",
        "a host that is not healthy is checked at no_traffic_interval all the same",
        rule="6.1 no_traffic_healthy_interval",
        upstreams={"a": Upstream(health=[503, 503, 200])},
        policy=boot(clusters=[_checked(no_traffic_interval="0.05s", no_traffic_healthy_interval="60s")]),
        calls=[_enough("a", 2, checks=True), pause(0.4), get()],
        expect=[status(200), see("checks", lambda run: len(run.at("a").checks), 3)],
    ),
    Scenario(
        "hc_initial_jitter",
        "initial_jitter: the first checks of several hosts are spread over so much time",
        rule="6.1 initial_jitter",
        upstreams={name: Upstream(health=200) for name in "abcdefgh"},
        policy=boot(
            clusters=[cluster("a", list("abcdefgh"), health_checks=[health_check(initial_jitter="0.8s")], **panic(0))]
        ),
        calls=[wait_for(lambda run: all(run.at(name).checks for name in "abcdefgh"))],
        expect=[see("spread", _spread_of_first_checks, Between(0.2, 5))],
    ),
    *(
        Scenario(
            f"hc_{field}",
            f"{field}: random time on top of each interval",
            rule=f"6.1 {field}",
            upstreams={"a": Upstream(health=200)},
            policy=boot(clusters=[_checked(**{"interval": "0.05s", "no_traffic_interval": "0.05s", field: value})]),
            calls=[_enough("a", 5, checks=True)],
            # 0.25 s of intervals; of five times up to 0.3 s on top, less than 0.15 s once in 3800 runs.
            expect=[_lasting("a", 0.4, 10, 5, checks=True)],
        )
        for field, value in (("interval_jitter", "0.3s"), ("interval_jitter_percent", 600))
    ),
    Scenario(
        "hc_uneject_not_by_checks",
        "successful_active_health_check_uneject_host false: a passing check does not end an ejection",
        rule="5 with active health checks",
        upstreams={"a": Upstream({"/bad": 500, "*": 200}, health=200), "b": Upstream(health=200)},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", "b"],
                    health_checks=[health_check()],
                    **outlier(
                        consecutive_5xx=1,
                        enforcing_consecutive_5xx=100,
                        successful_active_health_check_uneject_host=False,
                    ),
                    **panic(0),
                )
            ]
        ),
        calls=[times(2, get("/bad")), pause(0.5), times(6, get())],
        expect=[see("a", lambda run: [one.path for one in run.at("a").requests], ["/bad"])],
    ),
]


def _five(**scripts: Any) -> dict[str, Any]:
    return {name: scripts.get(name, 200) for name in "abcde"}


EJECTED = [
    Scenario(
        "outlier_stdev_factor",
        "success_rate_stdev_factor: three deviations below the mean is further than a bad one of five can get",
        rule="5 success rate",
        upstreams=_five(a=500),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    list("abcde"),
                    **outlier(
                        enforcing_success_rate=100,
                        success_rate_request_volume=2,
                        success_rate_stdev_factor=3000,
                        interval="0.3s",
                    ),
                    **panic(0),
                )
            ]
        ),
        calls=[times(30, get()), pause(0.8), times(10, get())],
        expect=[hits(a=8)],
    ),
    Scenario(
        "outlier_failure_percentage_local_origin",
        "enforcing_failure_percentage_local_origin: who refuses too many connections goes at the end of the interval",
        rule="5 split mode",
        upstreams={**_five(), "a": Upstream(kind="refused")},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    list("abcde"),
                    **outlier(
                        split_external_local_origin_errors=True,
                        enforcing_failure_percentage_local_origin=100,
                        failure_percentage_request_volume=2,
                        interval="0.3s",
                    ),
                    **panic(0),
                )
            ]
        ),
        calls=[times(30, get()), pause(0.8), times(10, get())],
        expect=[see("later", lambda run: [outcome.status for outcome in run.outcomes[30:]], [200] * 10)],
    ),
    Scenario(
        "outlier_max_ejection_time_jitter",
        "max_ejection_time_jitter: of six that were ejected at once not all come back at once",
        rule="5 duration",
        upstreams={name: [500, 200] for name in "abcdef"},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    list("abcdef"),
                    **outlier(
                        consecutive_5xx=1,
                        enforcing_consecutive_5xx=100,
                        interval="0.05s",
                        base_ejection_time="0.05s",
                        max_ejection_time_jitter="3s",
                    ),
                    **panic(0),
                )
            ]
        ),
        calls=[times(6, get()), pause(0.5), times(18, get())],
        expect=[
            see(
                "back",
                lambda run: len({outcome.text for outcome in run.outcomes[6:] if outcome.status == 200}),
                Between(0, 5),
            )
        ],
    ),
]


ANSWERS = {"a": 418, "b": 500, "c": 200}


def _matched(name: str, about: str, predicate: Document, expected: str) -> Scenario:
    """Three clusters of one host each, which answer 418, 500 and 200: what matches ejects them with the first call."""
    fields = {
        **outlier(consecutive_5xx=1, enforcing_consecutive_5xx=100),
        **panic(0),
        **protocol_options(outlier_detection={"error_matcher": predicate}),
    }
    return Scenario(
        f"error_matcher_{name}",
        about,
        rule="5 error_matcher",
        upstreams=ANSWERS,
        policy=boot([route(one, f"/{one}") for one in ANSWERS], [cluster(one, **fields) for one in ANSWERS]),
        calls=[step for one in ANSWERS for step in (get(f"/{one}"), pause(0.02), get(f"/{one}"))],
        expect=[see("ejected", _ejected, expected)],
    )


def _ejected(run: Run) -> str:
    again = run.outcomes[1::2]
    return "".join(name for name, outcome in zip(ANSWERS, again, strict=True) if outcome.text == NO_HOST)


def _of_status(code: str) -> Document:
    return {"http_response_headers_match": {"headers": [{"name": ":status", "string_match": {"exact": code}}]}}


MATCHED = [
    _matched(
        "or", "or_match: one of the rules is enough",
        {"or_match": {"rules": [_of_status("418"), _of_status("200")]}}, "ac",
    ),
    _matched(
        "and", "and_match: all rules have to hold",
        {"and_match": {"rules": [_of_status("418"), {"not_match": _of_status("200")}]}}, "a",
    ),
    _matched("not", "not_match: what the rule does not match", {"not_match": _of_status("200")}, "ab"),
    _matched(
        "any", "any_match: every response, here within a rule",
        {"and_match": {"rules": [{"any_match": True}, _of_status("500")]}}, "b",
    ),
]  # fmt: skip


def _over_tcp(name: str, about: str, **fields: Any) -> Scenario:
    """The name server listens on TCP alone."""
    options = {"dns_refresh_rate": "60s", "dns_lookup_family": "V4_ONLY", **fields}
    return Scenario(
        f"dns_over_tcp_{name}",
        about,
        rule="8.2",
        upstreams={"dns": Upstream(LOCALHOST, kind="dns over tcp"), "a": 200},
        policy=boot(clusters=[cluster("a", [endpoint("a", host="svc.test.")], kind="STRICT_DNS", **options)]),
        calls=[get()],
        expect=[status(200), hits(a=1), lines("A svc.test", upstream="dns")],
    )


NAMES = [
    Scenario(
        "dns_jitter",
        "dns_jitter: random time on top of each dns_refresh_rate",
        rule="8.2 dns_jitter",
        upstreams={"dns": Upstream(LOCALHOST, kind="dns"), "a": 200},
        policy=named(dns_refresh_rate="0.05s", dns_jitter="0.3s", dns_lookup_family="V4_ONLY"),
        calls=[get(), _enough("dns", 5)],
        expect=[_lasting("dns", 0.4, 10, 5)],
    ),
    Scenario(
        "dns_without_waiting",
        "wait_for_warm_on_init false: calls are taken before the name is known",
        rule="8.2 startup",
        upstreams={"dns": Upstream(Names(silent=True), kind="dns"), "a": 200},
        policy=named(wait_for_warm_on_init=False, dns_lookup_family="V4_ONLY"),
        calls=[_enough("dns", 0), get()],
        expect=[
            bodies(NO_HOST),
            see(
                "waited",
                lambda run: round(run.outcomes[0].started - run.at("dns").requests[0].arrived, 3),
                Between(-1, 2),
            ),
        ],
    ),
    _over_tcp(
        "of_cluster", "use_tcp_for_dns_lookups of the cluster", dns_resolvers=[at("dns")], use_tcp_for_dns_lookups=True
    ),
    _over_tcp(
        "of_resolver",
        "use_tcp_for_dns_lookups among the options of a resolver",
        dns_resolution_config={"resolvers": [at("dns")], "dns_resolver_options": {"use_tcp_for_dns_lookups": True}},
    ),
    _over_tcp(
        "of_typed_resolver",
        "use_tcp_for_dns_lookups among the options of a resolver that is given by its type",
        typed_dns_resolver_config={
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": typed(
                "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                resolvers=[at("dns")],
                dns_resolver_options={"use_tcp_for_dns_lookups": True},
            ),
        },
    ),
]

DISCOVERED = [
    Scenario(
        "eds_by_older_path",
        "path of a ConfigSource: the file, watched as path_config_source is",
        rule="8.3",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            clusters=[cluster("a", kind="EDS", eds_cluster_config={"eds_config": {"path": "${file:eds.yaml}"}})]
        ),
        files={"eds.yaml": discovery(EDS, load_assignment("a", ["a"]))},
        calls=[
            get(),
            write("eds.yaml", discovery(EDS, load_assignment("a", ["b"]))),
            Until(get(), lambda outcome: outcome.text == "b"),
        ],
        expect=[bodies("a", "b")],
    ),
    Scenario(
        "eds_removed_though_checks_pass",
        "ignore_health_on_host_removal: a host that is gone from the file gets nothing, whatever its check says",
        rule="6.2 hosts removed by EDS",
        upstreams={name: Upstream(health=200) for name in "ab"},
        policy=boot(
            clusters=[eds_cluster("a", health_checks=[health_check()], ignore_health_on_host_removal=True, **panic(0))]
        ),
        files={"eds.yaml": discovery(EDS, load_assignment("a", ["a", "b"]))},
        calls=[
            times(4, get()),
            write("eds.yaml", discovery(EDS, load_assignment("a", ["a"]))),
            pause(0.4),
            times(8, get()),
        ],
        expect=[spread({"a": 8}, 4)],
    ),
    Scenario(
        "locality_by_sub_zone",
        "localities that differ in their sub_zone alone are two, each with its weight",
        rule="6.5",
        upstreams={"a": 200, "b": 200},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    localities=[
                        locality("a", locality={"zone": "z", "sub_zone": "1"}, load_balancing_weight=1),
                        locality("b", locality={"zone": "z", "sub_zone": "2"}, load_balancing_weight=9),
                    ],
                    common_lb_config={"locality_weighted_lb_config": {}},
                )
            ]
        ),
        calls=[times(40, get())],
        expect=[spread({"a": Between(3, 5), "b": Between(35, 37)})],
    ),
    Scenario(
        "least_request_choices",
        "choice_count: with many draws the one idle host of three is always found",
        rule="7 LEAST_REQUEST",
        upstreams={name: {"/hang": hang(), "*": 200} for name in "abc"},
        policy=boot(
            clusters=[
                cluster("a", list("abc"), lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 40})
            ]
        ),
        calls=[
            together(
                *[get("/hang", timeout=1.2)] * 2,
                times(12, get()),
                stagger=0.15,
            )
        ],
        expect=[see("idle", lambda run: sorted(len(run.at(name).requests) for name in "abc"), [1, 1, 12])],
    ),
]

SCENARIOS = [*PIPES, *CHECKS, *EJECTED, *MATCHED, *NAMES, *DISCOVERED]
