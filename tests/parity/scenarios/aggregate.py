"""Aggregate clusters: several clusters as one, with failover by priority (semantics 8.1)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import (
    CDS,
    boot,
    cluster,
    discovery,
    endpoint,
    from_file,
    health_check,
    locality,
    panic,
    retry,
    route,
    thresholds,
    typed,
)
from ..expect import Between
from ..look import body, hits, status, tally
from ..model import Scenario, Until, get, times, wait_for, write
from ..upstreams.replies import Upstream

Document = dict[str, Any]

BOTH = {"a": 200, "b": 200}
UNHEALTHY = "UNHEALTHY"


def aggregate(*clusters: str, name: str = "all", **fields: Any) -> Document:
    kind = typed("extensions.clusters.aggregate.v3.ClusterConfig", clusters=list(clusters))
    custom = {"name": "envoy.clusters.aggregate", "typed_config": kind}
    return {"name": name, "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s", "cluster_type": custom, **fields}


def policy(*clusters: Document, action: Document | None = None, **fields: Any) -> Document:
    return boot([route("all", **(action or {}))], [aggregate("a", "b", **fields), *clusters])


PREVIOUS = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": typed(
        "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=1
    ),
}

SCENARIOS = [
    Scenario(
        "aggregate_first_takes_all",
        "the first cluster takes all calls as long as it is healthy",
        rule="8.1 aggregate",
        upstreams=BOTH,
        policy=policy(cluster("a"), cluster("b")),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=6, b=0)],
    ),
    Scenario(
        "aggregate_second_takes_over",
        "with nobody healthy in the first cluster the second takes all",
        rule="8.1 aggregate",
        upstreams=BOTH,
        policy=policy(cluster("a", [endpoint("a", health=UNHEALTHY)]), cluster("b")),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=0, b=6)],
    ),
    Scenario(
        "aggregate_empty_first",
        "a cluster without hosts is passed over",
        rule="8.1 aggregate",
        upstreams=BOTH,
        policy=policy(cluster("a", []), cluster("b")),
        calls=[times(4, get())],
        expect=[status(*[200] * 4), hits(a=0, b=4)],
    ),
    Scenario(
        "aggregate_shares_by_health",
        "half of the first cluster healthy: it keeps 70 % of the calls",
        rule="8.1 aggregate, 6.4",
        upstreams=BOTH,
        policy=policy(cluster("a", ["a", endpoint("b", health=UNHEALTHY)]), cluster("b")),
        calls=[times(200, get())],
        expect=[tally({200: 200}), hits(a=Between(112, 168), b=Between(32, 88))],
    ),
    Scenario(
        "aggregate_priorities_of_the_first_come_first",
        "all priorities of the first cluster come before the second cluster",
        rule="8.1 aggregate",
        upstreams={"a": 200, "b": 200, "c": 200},
        policy=policy(
            cluster("a", localities=[locality(endpoint("a", health=UNHEALTHY)), locality("c", priority=1)]),
            cluster("b"),
        ),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=0, b=0, c=6)],
    ),
    Scenario(
        "aggregate_degraded_come_last",
        "degraded hosts of the first cluster get nothing while the second is healthy",
        rule="8.1 aggregate, 6.4",
        upstreams=BOTH,
        policy=policy(cluster("a", [endpoint("a", health="DEGRADED")]), cluster("b")),
        calls=[times(6, get())],
        expect=[status(*[200] * 6), hits(a=0, b=6)],
    ),
    Scenario(
        "aggregate_total_panic",
        "nobody healthy anywhere: all clusters get calls, by their number of hosts",
        rule="8.1 aggregate, 6.3",
        upstreams=BOTH,
        policy=policy(cluster("a", [endpoint("a", health=UNHEALTHY)]), cluster("b", [endpoint("b", health=UNHEALTHY)])),
        calls=[times(100, get())],
        expect=[tally({200: 100}), hits(a=Between(30, 70), b=Between(30, 70))],
    ),
    Scenario(
        "aggregate_no_panic_in_a_member",
        "a member whose panic threshold is 0 has no host to give, though the aggregate panics",
        rule="8.1 aggregate, 6.3",
        upstreams=BOTH,
        policy=policy(
            cluster("a", [endpoint("a", health=UNHEALTHY)], **panic(0)),
            cluster("b", [endpoint("b", health=UNHEALTHY)]),
        ),
        calls=[times(100, get())],
        expect=[tally({200: Between(30, 70), 503: Between(30, 70)}), hits(a=0, b=Between(30, 70))],
    ),
    Scenario(
        "aggregate_nobody",
        "no hosts at all: 503 no healthy upstream",
        rule="8.1 aggregate",
        policy=policy(cluster("a", []), cluster("b", [])),
        calls=[get()],
        expect=[status(503), body("no healthy upstream"), hits(a=0)],
    ),
    Scenario(
        "aggregate_missing_member",
        "a member that is not there is left out",
        rule="8.1 aggregate",
        upstreams={"b": 200},
        policy=policy(cluster("b")),
        calls=[times(3, get())],
        expect=[status(200, 200, 200), hits(b=3)],
    ),
    Scenario(
        "aggregate_of_aggregates",
        "an aggregate that is a member has no hosts of its own, and counts for nothing",
        rule="8.1 aggregate",
        upstreams=BOTH,
        policy=boot(
            [route("all")],
            [aggregate("x", "b"), aggregate("a", name="x"), cluster("a", [endpoint("a")]), cluster("b")],
        ),
        calls=[times(3, get())],
        expect=[status(200, 200, 200), hits(a=0, b=3)],
    ),
    Scenario(
        "aggregate_retry_elsewhere",
        "with previous_priorities a retry goes to the second cluster",
        rule="8.1 aggregate, 3.6 retry_priority",
        upstreams={"a": 503, "b": 200},
        policy=policy(cluster("a"), cluster("b"), action={"retry_policy": retry("5xx", 1, retry_priority=PREVIOUS)}),
        calls=[times(3, get())],
        expect=[status(200, 200, 200), hits(a=3, b=3)],
    ),
    Scenario(
        "aggregate_thresholds_are_the_members",
        "max_requests of the aggregate has no effect, the member's has, and there is no failover for it",
        rule="8.1 aggregate, 4",
        upstreams=BOTH,
        policy=boot(
            [route("all", "/all"), route("full", "/full")],
            [
                aggregate("a", "b", **thresholds(max_requests=0)),
                aggregate("c", "b", name="full"),
                cluster("a"),
                cluster("b"),
                cluster("c", ["a"], **thresholds(max_requests=0)),
            ],
        ),
        calls=[get("/all"), get("/full")],
        expect=[status(200, 503), hits(a=1, b=0)],
    ),
    Scenario(
        "aggregate_follows_health_checks",
        "a member that fails its health check is left, and taken again",
        rule="8.1 aggregate, 6.2",
        upstreams={"a": Upstream(200, health=503), "b": 200},
        policy=policy(cluster("a", health_checks=[health_check()], **panic(0)), cluster("b")),
        calls=[wait_for(lambda run: len(run.at("a").checks) > 1), Until(get(), lambda outcome: outcome.text == "b")],
        expect=[status(200), hits(a=0)],
    ),
    Scenario(
        "aggregate_members_come_and_go",
        "discovered members count while they are there",
        rule="8.1 aggregate, 8.3 CDS",
        upstreams=BOTH,
        policy=boot(
            [route("all")],
            [aggregate("a", "b"), cluster("b")],
            dynamic_resources={"cds_config": from_file("cds.yaml")},
        ),
        files={"cds.yaml": discovery(CDS)},
        calls=[
            get(),
            write("cds.yaml", discovery(CDS, cluster("a"))),
            Until(get(), lambda outcome: outcome.text == "a"),
            write("cds.yaml", discovery(CDS)),
            Until(get(), lambda outcome: outcome.text == "b"),
        ],
        expect=[status(200, 200, 200)],
    ),
]
