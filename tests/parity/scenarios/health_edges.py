"""Intervals, payloads and edges of health checks, and what counts in the shares of the healthy (semantics 6)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from ..bootstrap import Document, at, boot, cluster, endpoint, health_check, locality, panic
from ..expect import Between
from ..look import body, connections, hits, see, spread, status
from ..model import Look, Run, Scenario, Until, get, health, pause, times, wait_for
from ..upstreams.replies import Reply, Upstream, hang


def checks(upstream: str, count: int) -> Any:
    return wait_for(lambda run: len(run.at(upstream).checks) >= count)


def checked(*hosts: str | Document, percent: float = 0, more: Document | None = None, **check: Any) -> Document:
    common = panic(percent, **(more or {}))
    return boot(clusters=[cluster("a", list(hosts or ["a"]), health_checks=[health_check(**check)], **common)])


def tcp(send: str | Document | None, receive: Sequence[str]) -> Document:
    texts = [{"text": one.encode().hex()} for one in receive]
    # Over a connection each: an upstream that closes one which is kept has failed its check.
    each = health_check(timeout="0.3s", reuse_connection=False)
    check = {key: value for key, value in each.items() if key != "http_health_check"}
    text = {"text": send.encode().hex()} if isinstance(send, str) else send
    payload = {} if text is None else {"send": text}
    checks = [{**check, "tcp_health_check": {**payload, "receive": texts}}]
    return boot(clusters=[cluster("a", health_checks=checks, **panic(0))])


def counted(upstream: str, low: int, high: int) -> Look:
    return see("checks", lambda run: len(run.at(upstream).checks), Between(low, high))


def degraded(healthy: int, others: int, count: int, expected: Any, about: str) -> Scenario:
    names = [f"h{number}" for number in range(healthy + others)]
    endpoints = [endpoint(name, health="DEGRADED" if number >= healthy else None) for number, name in enumerate(names)]

    def share(run: Run) -> float:
        return sum(len(run.at(name).requests) for name in names[:healthy]) / count

    return Scenario(
        f"degraded_{healthy}_of_{healthy + others}",
        about,
        rule="6.4 one priority",
        upstreams=dict.fromkeys(names, 200),
        policy=boot(clusters=[cluster("a", endpoints)]),
        calls=[times(count, get())],
        expect=[see("healthy share", share, expected)],
    )


SCENARIOS = [
    Scenario(
        "hc_no_traffic_interval",
        "before any traffic checks come at no_traffic_interval, afterwards at interval",
        rule="6.1 no_traffic_interval",
        upstreams={"a": Upstream(health=200)},
        policy=checked(interval="0.1s", no_traffic_interval="20s"),
        calls=[pause(0.5), wait_for(lambda run: run.notes.setdefault("quiet", len(run.at("a").checks))), get()],
        expect=[see("while quiet", lambda run: run.notes["quiet"], 1), status(200)],
    ),
    Scenario(
        "hc_interval_after_traffic",
        "after the first call checks come at interval, from the check that was due",
        rule="6.1 interval",
        upstreams={"a": Upstream(health=200)},
        policy=checked(interval="0.1s", no_traffic_interval="0.4s"),
        calls=[get(), checks("a", 6)],
        expect=[
            see(
                "gap",
                lambda run: min(
                    later.arrived - earlier.arrived
                    for earlier, later in zip(run.at("a").checks[1:], run.at("a").checks[2:], strict=False)
                ),
                Between(0.05, 0.35),
            )
        ],
    ),
    Scenario(
        "hc_no_traffic_is_a_minute",
        "no_traffic_interval is 60 s unless set: without traffic no second check comes",
        rule="6.2 no traffic + default interval",
        upstreams={"a": Upstream(health=200)},
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    health_checks=[
                        {key: value for key, value in health_check().items() if key != "no_traffic_interval"}
                    ],
                )
            ]
        ),
        calls=[pause(0.6)],
        expect=[counted("a", 1, 1)],
    ),
    Scenario(
        "hc_unhealthy_interval",
        "an unhealthy host is checked at unhealthy_interval",
        rule="6.1 unhealthy_interval",
        upstreams={"a": Upstream(health=503), "b": Upstream(health=200)},
        policy=checked("a", "b", interval="30s", no_traffic_interval="0.3s", unhealthy_interval="0.1s"),
        calls=[get(), checks("a", 8)],
        expect=[status(200), counted("b", 1, 4)],
    ),
    Scenario(
        "hc_unhealthy_edge_interval",
        "a host on its way to unhealthy is checked at unhealthy_edge_interval",
        rule="6.1 unhealthy_edge_interval",
        upstreams={"a": Upstream(health=[200, hang()])},
        policy=checked(
            timeout="0.1s",
            interval="0.2s",
            no_traffic_interval="0.2s",
            unhealthy_threshold=2,
            unhealthy_edge_interval="0.1s",
            unhealthy_interval="30s",
        ),
        calls=[Until(get(), lambda outcome: outcome.status == 503, within=8), pause(0.5)],
        expect=[body("no healthy upstream"), counted("a", 3, 3)],
    ),
    Scenario(
        "hc_healthy_edge_interval",
        "a host on its way to healthy is checked at healthy_edge_interval",
        rule="6.1 healthy_edge_interval",
        upstreams={"a": Upstream(health=[503, 200]), "b": Upstream(health=200)},
        policy=checked(
            "a",
            "b",
            interval="30s",
            no_traffic_interval="0.3s",
            healthy_threshold=4,
            unhealthy_interval="0.1s",
            healthy_edge_interval="0.1s",
        ),
        calls=[get(), Until(get(), lambda outcome: outcome.text == "a", within=8)],
        expect=[body("a"), counted("a", 5, 5)],
    ),
    Scenario(
        "hc_timeout_costs_the_connection",
        "a check without an answer closes its connection, the next one has its own",
        rule="6.2 timeout closes the HC connection",
        upstreams={"a": Upstream(health=[200, hang(), 200])},
        policy=checked(timeout="0.2s", unhealthy_threshold=3),
        calls=[checks("a", 4)],
        expect=[see("connections", lambda run: [check.connection for check in run.at("a").checks[:4]], [1, 1, 2, 2])],
    ),
    Scenario(
        "hc_degraded_until_it_does_not_say_so",
        "x-envoy-degraded counts until a check without it",
        rule="6.2 degraded_active_hc",
        upstreams={"a": Upstream(health=Reply(200, {"x-envoy-degraded": "1"})), "b": Upstream(health=200)},
        policy=checked("a", "b", percent=0),
        calls=[
            get(),
            health("a", 200),
            wait_for(lambda run: run.notes.setdefault("a", len(run.at("a").checks)) + 2 < len(run.at("a").checks)),
            pause(0.3),
            times(8, get()),
        ],
        expect=[spread({"a": 4, "b": 4}, first=1)],
    ),
    Scenario(
        "hc_response_buffer_size",
        "what is looked for in an answer must be within response_buffer_size",
        rule="6.1 response_buffer_size",
        upstreams={
            "a": Upstream(health=Reply(body="." * 10 + "fine")),
            "b": Upstream(health=Reply(body="." * 40 + "fine")),
        },
        policy=checked(
            "a",
            "b",
            http={"receive": [{"text": b"fine".hex()}], "response_buffer_size": 20},
        ),
        calls=[times(4, get())],
        expect=[spread({"a": 4})],
    ),
    Scenario(
        "hc_tcp_payload",
        "a TCP check sends its payload and passes when the answer has what it waits for",
        rule="6.1 tcp_health_check.send/receive",
        upstreams={"a": Upstream(greeting=b"+PONG and more\r\n")},
        policy=tcp("PING\r\n", ["PONG", "more"]),
        calls=[get()],
        expect=[status(502)],  # the host is used, though what it says is no HTTP
    ),
    Scenario(
        "hc_tcp_payload_missing",
        "a TCP check that does not get what it waits for has failed",
        rule="6.1 tcp_health_check.send/receive",
        upstreams={"a": Upstream(greeting=b"-ERR\r\n")},
        policy=tcp("PING\r\n", ["PONG"]),
        calls=[get()],
        expect=[status(503), body("no healthy upstream")],
    ),
    Scenario(
        "hc_tcp_payload_in_binary",
        "what a TCP check sends is its text: a payload in binary is not sent, and the upstream waits for it for ever",
        rule="6.1 tcp_health_check.send/receive",
        upstreams={"a": Upstream(greeting=b"+PONG\r\n")},
        policy=tcp({"binary": base64.b64encode(b"PING\r\n").decode()}, ["PONG"]),
        calls=[get()],
        expect=[status(503), body("no healthy upstream")],
    ),
    Scenario(
        "hc_address_of_its_own",
        "an endpoint's health_check_config.address is where it is checked",
        rule="6.1 health_check_config",
        upstreams={"a": 200, "other": Upstream(health=200)},
        policy=checked(endpoint("a", health_check_config={"address": at("other")})),
        calls=[get()],
        expect=[status(200), hits(a=1), connections(a=1), counted("other", 1, 9)],
    ),
    Scenario(
        "draining_hosts_do_not_count",
        "draining hosts are in no share: one of two others is no panic",
        rule="6.2 excluded from every denominator",
        upstreams=dict.fromkeys("abcd", 200),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    [
                        "a",
                        endpoint("b", health="UNHEALTHY"),
                        endpoint("c", health="DRAINING"),
                        endpoint("d", health="DRAINING"),
                    ],
                )
            ]
        ),
        calls=[times(8, get())],
        expect=[spread({"a": 8})],
    ),
    Scenario(
        "draining_hosts_do_not_shift_the_load",
        "draining hosts of a priority do not move its load to the next",
        rule="6.4 healthy/eligible",
        upstreams=dict.fromkeys("abc", 200),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    localities=[
                        locality("a", endpoint("b", health="DRAINING")),
                        locality("c", priority=1),
                    ],
                )
            ]
        ),
        calls=[times(20, get())],
        expect=[spread({"a": 20})],
    ),
    Scenario(
        "unchecked_hosts_do_not_count",
        "ignore_new_hosts_until_first_hc: hosts without a first check are in no share",
        rule="6.2 ignore_new_hosts_until_first_hc",
        upstreams={"a": Upstream(health=200), "b": Upstream(health=200)},
        policy=checked("a", "b", more={"ignore_new_hosts_until_first_hc": True}),
        calls=[times(4, get())],
        expect=[spread({"a": 2, "b": 2})],
    ),
    Scenario(
        "panic_share_is_cut_to_a_whole",
        "a threshold of 33.9 is 33: one of three is no panic",
        rule="6.3 truncated to int",
        upstreams=dict.fromkeys("abc", 200),
        policy=boot(
            clusters=[
                cluster(
                    "a",
                    ["a", endpoint("b", health="UNHEALTHY"), endpoint("c", health="UNHEALTHY")],
                    **panic(33.9),
                )
            ]
        ),
        calls=[times(9, get())],
        expect=[spread({"a": 9})],
    ),
    degraded(1, 3, 400, Between(0.25, 0.45), "one healthy, three degraded: 35 to 65"),
]
