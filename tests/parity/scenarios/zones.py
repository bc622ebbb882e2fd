"""Zone aware routing: load stays in the own zone as far as it goes (semantics 6.5).

The local cluster's hosts are addresses that nobody calls. Shares are bounded at four standard deviations or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bootstrap import EDS as EDS_TYPE
from ..bootstrap import (
    Document,
    boot,
    cluster,
    discovery,
    eds_cluster,
    endpoint,
    load_assignment,
    locality,
    panic,
    runtime,
)
from ..expect import Between
from ..look import hits, spread, status
from ..model import Scenario, get, times, write
from .balancing import policy_of, unhealthy

UPSTREAMS = dict.fromkeys("abcdef", 200)
NODE = {"id": "parity", "cluster": "parity", "locality": {"region": "r", "zone": "1"}}
MANAGER = {"cluster_manager": {"local_cluster_name": "us"}}


def zone(number: int, *endpoints: str | Document, **fields: Any) -> Document:
    return locality(*endpoints, locality={"region": "r", "zone": str(number)}, **fields)


def peers(*counts: int, sick: Sequence[int] = ()) -> list[Document]:
    """The local cluster's localities: so many hosts in zone 1, 2, ...; those of `sick` zones are unhealthy."""
    return [
        zone(
            number,
            *(
                endpoint("a", host=f"127.0.{number}.{one + 1}", health="UNHEALTHY" if number in sick else None)
                for one in range(count)
            ),
        )
        for number, count in enumerate(counts, 1)
        if count
    ]


def us(*counts: int, sick: Sequence[int] = ()) -> Document:
    return cluster("us", localities=peers(*counts, sick=sick))


PAIRS = [zone(1, "a", "b"), zone(2, "c", "d"), zone(3, "e", "f")]
FIVE = [zone(1, "a", "b"), zone(2, "c", "d", "e")]


def served(
    name: str,
    about: str,
    local: Document,
    called: Document,
    count: int,
    *looks: Any,
    node: Document = NODE,
    **top: Any,
) -> Scenario:
    return Scenario(
        f"zones_{name}", about, rule="6.5 zone aware", upstreams=UPSTREAMS,
        policy=boot(clusters=[called, local], node=node, **MANAGER, **top),
        calls=[times(count, get())], expect=looks,
    )  # fmt: skip


def to(localities: Sequence[Document] = PAIRS, **fields: Any) -> Document:
    return cluster("a", localities=localities, **fields)


def by_policy(kind: str = "round_robin.v3.RoundRobin", **zone_aware: Any) -> Document:
    return policy_of(kind, locality_lb_config={"zone_aware_lb_config": zone_aware})


def at_least(size: int, **fields: Any) -> Document:
    return {"common_lb_config": {"zone_aware_lb_config": {"min_cluster_size": size, **fields}}}


AT_HOME = spread({"a": 6, "b": 6})
EVEN = spread(dict.fromkeys("abcdef", 2))
_HALF = {"a": Between(66, 134), "b": Between(66, 134), "c": 0, "d": 0, "e": Between(66, 134), "f": Between(66, 134)}

# fmt: off
SCENARIOS = [
    served("direct", "as many upstream hosts here as callers: all stays here", us(1, 1, 1), to(), 12, AT_HOME),
    served("residual", "twice as many callers here as hosts: half stays, the rest goes where there is room",
           us(2, 1), to(), 400, hits(**_HALF)),
    served("sampled", "the rest is shared by zones as they have room",
           us(3, 1), to(), 900,
           hits(a=Between(140, 260), b=Between(140, 260), c=Between(18, 82), d=Between(18, 82),
                e=Between(140, 260), f=Between(140, 260))),
    served("small", "five hosts are too few", us(1, 1), to(FIVE), 10, spread(dict.fromkeys("abcde", 2))),
    served("min_cluster_size", "five are enough for min_cluster_size 5",
           us(1, 2), to(FIVE, **at_least(5)), 12, AT_HOME),
    served("min_cluster_size_runtime", "the runtime key beats min_cluster_size", us(1, 2),
           to(FIVE), 12, AT_HOME, **runtime(**{"upstream.zone_routing.min_cluster_size": 5})),
    served("new_style", "the same inside load_balancing_policy",
           us(1, 2), to(FIVE, **by_policy(min_cluster_size=5)), 12, AT_HOME),
    served("random", "the same for RANDOM", us(1, 1, 1), to(lb_policy="RANDOM"), 12, hits(c=0, d=0, e=0, f=0)),
    served("least_request", "the same for LEAST_REQUEST",
           us(1, 1, 1), to(lb_policy="LEAST_REQUEST"), 12, hits(c=0, d=0, e=0, f=0)),
    served("ring_hash", "consistent hashing does not look at zones",
           us(1, 1, 1), to(lb_policy="RING_HASH"), 120,
           hits(**{name: Between(1, 60) for name in "abcdef"})),
    served("disabled", "the runtime key upstream.zone_routing.enabled 0 switches it off",
           us(1, 1, 1), to(), 12, EVEN, **runtime(**{"upstream.zone_routing.enabled": 0})),
    served("enabled_half", "routing_enabled: half of the picks look at zones",
           us(1, 1, 1), to(**at_least(6, routing_enabled={"value": 50})), 600,
           hits(c=Between(14, 86), e=Between(14, 86), a=Between(140, 260), b=Between(140, 260))),
    served("no_place", "without a place of its own nothing is local",
           us(1, 1, 1), to(), 12, EVEN, node={"id": "parity", "cluster": "parity"}),
    served("other_region", "a place is region, zone and sub-zone",
           us(1, 1, 1), to(), 12, EVEN, node={**NODE, "locality": {"region": "x", "zone": "1"}}),
    served("not_local", "a local cluster that has nobody here does not count", us(0, 1, 1), to(), 12, EVEN),
    served("one_local_zone", "a local cluster of one zone does not count", us(2), to(), 12, EVEN),
    served("one_zone", "nor does it if the cluster that is called has one zone",
           us(1, 1), to([zone(2, *"abcdef")]), 12, EVEN),
    served("nobody_here", "without hosts here all goes where there is room",
           us(1, 1), to([zone(2, "a", "b"), zone(3, "c", "d", "e", "f")]), 120,
           hits(a=0, b=0, c=30, d=30, e=30, f=30)),
    served("force_local_zone", "force_local_zone: all stays here, whoever the callers are",
           us(2), to(FIVE, **by_policy(min_cluster_size=1, force_local_zone={})), 12, AT_HOME),
    served("force_local_zone_too_few", "unless there are fewer than min_size",
           us(2, 1), to(**by_policy(force_local_zone={"min_size": 3})), 400, hits(**_HALF)),
    served("by_weight", "locality_basis HEALTHY_HOSTS_WEIGHT counts weights in place of hosts",
           us(2, 1),
           to([zone(1, endpoint("a", weight=4), endpoint("b", weight=4)), zone(2, "c", "d"), zone(3, "e", "f")],
              **by_policy(locality_basis="HEALTHY_HOSTS_WEIGHT")), 12, AT_HOME),
    served("unhealthy_here", "only healthy hosts count: half as many here as callers",
           us(1, 1), to([zone(1, "a", unhealthy("b")), zone(2, "c", "d", "e")], **at_least(4)), 400,
           hits(a=Between(160, 240), b=0, c=Between(20, 104), d=Between(20, 104), e=Between(20, 104))),
    served("panic", "in panic zones do not count",
           us(1, 1, 1), to([zone(1, "a", "b"), zone(2, unhealthy("c"), unhealthy("d")),
                            zone(3, unhealthy("e"), unhealthy("f"))], **at_least(1)), 12, EVEN),
    served("local_panic", "nor do they if the local cluster panics", us(1, 1, 1, sick=[1, 2]), to(), 12, EVEN),
    served("local_panic_fails", "fail_traffic_on_panic minds the local cluster's panic, too",
           us(1, 1, 1, sick=[1, 2]), to(**at_least(6, fail_traffic_on_panic=True)), 2,
           status(503, 503), hits(a=0, c=0, e=0)),
    served("local_panic_threshold", "it is the called cluster's threshold that counts",
           us(1, 1, 1, sick=[2, 3]), to(**panic(20)), 400,
           hits(a=Between(26, 108), b=Between(26, 108), c=Between(26, 108), e=Between(26, 108))),
    served("second_priority", "only the first priority looks at zones",
           us(1, 1, 1),
           to([zone(1, unhealthy("a"), priority=0), zone(1, "b", "c", priority=1), zone(2, "d", "e", "f", priority=1)],
              **at_least(1)), 10, spread(dict.fromkeys("bcdef", 2))),
    served("by_locality_weight", "localities by weight come first",
           us(1, 1, 1), to([zone(n, *pair, load_balancing_weight=1) for n, pair in enumerate(("ab", "cd", "ef"), 1)],
                           common_lb_config={"locality_weighted_lb_config": {}}), 12, EVEN),
    Scenario(
        "zones_of_itself", "calls to the local cluster itself do not look at zones", rule="6.5 zone aware",
        upstreams=UPSTREAMS,
        policy=boot(clusters=[to()], node=NODE, cluster_manager={"local_cluster_name": "a"}),
        calls=[times(12, get())], expect=[EVEN],
    ),
    Scenario(
        "zones_change", "when the local cluster changes, so do the shares", rule="6.5 zone aware",
        upstreams=UPSTREAMS,
        files={"eds.yaml": discovery(EDS_TYPE, load_assignment("us", localities=peers(0, 1, 1)))},
        policy=boot(clusters=[to(), eds_cluster("us")], node=NODE, **MANAGER),
        calls=[
            times(12, get("/before")),
            write("eds.yaml", discovery(EDS_TYPE, load_assignment("us", localities=peers(1, 1, 1)), version="2")),
            times(60, get("/while"), pause=0.01),
            times(30, get("/after")),
        ],
        expect=[hits(c=Between(2, 30), e=Between(2, 30), a=Between(17, 60), b=Between(17, 60))],
    ),
]
# fmt: on
