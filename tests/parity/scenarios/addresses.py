"""Hosts with several addresses: the first that answers is taken (semantics 8.1, 8.2)."""

from __future__ import annotations

from typing import Any

from ..bootstrap import at, boot, cluster, endpoint
from ..look import body, connections, hits, status, took
from ..model import Scenario, get, times
from ..upstreams.replies import Upstream

Document = dict[str, Any]


def more(*upstreams: str) -> Document:
    return {"additional_addresses": [{"address": at(name)} for name in upstreams]}


def several(first: str, *others: str, **fields: Any) -> Document:
    return boot(clusters=[cluster("a", [endpoint(first, **more(*others))], **fields)])


SCENARIOS = [
    Scenario(
        "addresses_logical_dns_all",
        "a LOGICAL_DNS host with an IPv6 and an IPv4 address is reached at the one that answers",
        rule="8.1 LOGICAL_DNS, ALL",
        policy=boot(
            clusters=[cluster("a", [endpoint("a", host="localhost")], kind="LOGICAL_DNS", dns_lookup_family="ALL")]
        ),
        calls=[times(3, get())],
        expect=[status(200, 200, 200), hits(a=3), connections(a=1)],
    ),
    Scenario(
        "addresses_refused_is_followed",
        "an address that refuses is followed by the next, at once and within one try",
        rule="8.1 additional_addresses",
        upstreams={"a": 200, "gone": Upstream(kind="refused")},
        policy=several("gone", "a"),
        calls=[get()],
        expect=[status(200), hits(a=1), took(0, 0.28)],
    ),
    Scenario(
        "addresses_silent_is_joined",
        "an address that does not answer is joined by the next after 0.3 s",
        rule="8.1 additional_addresses",
        upstreams={"a": 200, "silent": Upstream(kind="backlog")},
        policy=several("silent", "a", connect_timeout="3s"),
        calls=[get()],
        expect=[status(200), hits(a=1), took(0.25, 1.5)],
    ),
    Scenario(
        "addresses_first_is_preferred",
        "where the first address answers, the others are not tried",
        rule="8.1 additional_addresses",
        upstreams={"a": 200, "b": 200},
        policy=several("a", "b"),
        calls=[times(4, get())],
        expect=[status(*[200] * 4), hits(a=4, b=0), connections(b=0)],
    ),
    Scenario(
        "addresses_all_refused",
        "all of them refuse: one failed try",
        rule="8.1 additional_addresses",
        upstreams={"gone": Upstream(kind="refused"), "too": Upstream(kind="refused")},
        policy=several("gone", "too"),
        calls=[get()],
        expect=[
            status(503),
            body("upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"),
        ],
    ),
]
