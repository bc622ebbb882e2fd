"""Names and the server that knows them: what its answers and silences do to a cluster (semantics 8.1, 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bootstrap import at, boot, cluster, endpoint, route, typed
from ..expect import Between
from ..look import body, connections, flags, hits, see, spread, status, tally
from ..model import Look, Scenario, Step, Until, get, script, times, wait_for
from ..upstreams.replies import NXDOMAIN, SERVFAIL, Names, Upstream

Document = dict[str, Any]
HERE, GONE = Names(["127.0.0.1"]), Names(["127.0.0.7"])  # nobody listens at the second
NODATA = Names()
SIX_AND_FOUR = Names(["127.0.0.1", "::1"])


def named(kind: str = "STRICT_DNS", name: str = "svc.test", **fields: Any) -> Document:
    """One name, asked for every 0.2 s at the upstream `dns`; Host tells the address where it is rewritten."""
    resolver = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": typed(
            "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            resolvers=[at("dns")],
            dns_resolver_options={"no_default_search_domain": True},
        ),
    }
    options = {"dns_refresh_rate": "0.2s", "typed_dns_resolver_config": resolver, **fields}
    return boot([route()], [cluster("a", [endpoint("a", host=name)], kind=kind, **options)])


def asked(more: int) -> Step:
    """Wait until the name server has been asked so many times more."""

    def note(run: Any) -> bool:
        seen = len(run.at("dns").requests)
        return bool(seen >= run.notes.setdefault("from", seen) + more)

    return wait_for(note)


def _pace(run: Any) -> float:
    """Seconds from one question to the next, in the mean."""
    arrivals = [request.arrived for request in run.at("dns").requests if request.method == "A"]
    return round(float(arrivals[-1] - arrivals[0]) / (len(arrivals) - 1), 3)


def until(code: int) -> Step:
    return Until(get(), lambda outcome: outcome.status == code, within=8.0)


def questions(*expected: str) -> Look:
    """The first questions, as `A svc.test`."""
    count = len(expected)
    return see("questions", lambda run: [request.line for request in run.at("dns").requests[:count]], list(expected))


def story(
    name: str,
    about: str,
    first: Names,
    calls: Sequence[Step],
    expect: Sequence[Look],
    rule: str = "8.2",
    upstreams: dict[str, Any] | None = None,
    policy: Document | None = None,
    **fields: Any,
) -> Scenario:
    """A cluster of one name; `a` listens at all its addresses unless `upstreams` says otherwise."""
    return Scenario(
        name,
        about,
        rule=rule,
        upstreams={"dns": Upstream(first, kind="dns"), **(upstreams or {"a": 200})},
        policy=policy or named(**fields),
        calls=calls,
        expect=expect,
    )


NO_HOST = "no healthy upstream"
NO_CONNECTION = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
HALF = tally({200: 4, 503: 4})


def _failures() -> list[Scenario]:
    return [
        story(
            f"dns_{word}_{kind[:-4].lower()}",
            f"{kind}: {about} {'removes the hosts' if emptied else 'keeps the hosts'}",
            HERE,
            [get(), script("dns", said), until(503) if emptied else asked(5), get()],
            [status(200, 503, 503), body(NO_HOST)] if emptied else [status(200, 200), hits(a=2)],
            rule=rule,
            kind=kind,
        )
        for word, about, said, rule, by_kind in [
            ("nxdomain", "NXDOMAIN", NXDOMAIN, "8.2 NXDOMAIN", {"STRICT_DNS": True, "LOGICAL_DNS": False}),
            ("nodata", "an answer without addresses", NODATA, "8.2 NODATA", {"STRICT_DNS": True, "LOGICAL_DNS": False}),
            ("servfail", "SERVFAIL", SERVFAIL, "8.2 SERVFAIL", {"STRICT_DNS": False, "LOGICAL_DNS": False}),
            ("refused", "REFUSED", Names(code=5), "8.2 REFUSED", {"STRICT_DNS": False, "LOGICAL_DNS": False}),
        ]
        for kind, emptied in by_kind.items()
    ]


def _families() -> list[Scenario]:
    return [
        story(
            f"dns_family_{family.lower()}",
            f"dns_lookup_family {family}: {about}",
            SIX_AND_FOUR,
            [get()],
            [status(code), questions(*asked_for), hits(a=1 if code == 200 else 0)],
            rule="8.2 dns_lookup_family",
            dns_lookup_family=family,
        )
        for family, about, asked_for, code in [
            ("AUTO", "IPv6 first, IPv4 only where there is none", ["AAAA svc.test"], 503),
            ("V4_PREFERRED", "IPv4 first", ["A svc.test"], 200),
            ("V4_ONLY", "IPv4 and nothing else", ["A svc.test"], 200),
            ("V6_ONLY", "IPv6 and nothing else", ["AAAA svc.test"], 503),
        ]
    ]


SCENARIOS = [
    *_failures(),
    *_families(),
    story(
        "dns_family_auto_falls_back",
        "AUTO: a name without an IPv6 address is asked for its IPv4 one",
        HERE,
        [get()],
        [status(200), questions("AAAA svc.test", "A svc.test")],
        rule="8.2 dns_lookup_family",
    ),
    story(
        "dns_family_v6_only_without_one",
        "V6_ONLY: a name without an IPv6 address has no hosts",
        HERE,
        [get()],
        [status(503), body(NO_HOST), questions("AAAA svc.test")],
        rule="8.2 dns_lookup_family",
        dns_lookup_family="V6_ONLY",
    ),
    story(
        "dns_family_all_strict",
        "ALL: each address of either family is a host of its own",
        SIX_AND_FOUR,
        [times(8, get())],
        [HALF, hits(a=4)],
        rule="8.2 dns_lookup_family ALL",
        dns_lookup_family="ALL",
    ),
    story(
        "dns_localhost_auto",
        "localhost has both loopback addresses, whatever the system's file of hosts says: AUTO takes the IPv6 one",
        NXDOMAIN,
        [get()],
        [status(503), flags("UF"), hits(a=0)],
        rule="8.2 AUTO, localhost",
        policy=boot([], [cluster("a", [endpoint("a", host="localhost")], kind="STRICT_DNS")]),
    ),
    story(
        "dns_every_address_is_a_host",
        "STRICT_DNS: every address is a host",
        Names(["127.0.0.1", "127.0.0.7"]),
        [times(8, get())],
        [HALF, hits(a=4)],
        rule="8.1 STRICT_DNS",
    ),
    story(
        "dns_logical_has_one_host",
        "LOGICAL_DNS: the first address is the one host",
        Names(["127.0.0.1", "127.0.0.7"]),
        [times(4, get())],
        [status(*[200] * 4), hits(a=4), connections(a=1)],
        rule="8.1 LOGICAL_DNS",
        kind="LOGICAL_DNS",
    ),
    story(
        "dns_strict_change",
        "STRICT_DNS: another address takes the place of the old one with the next answer",
        HERE,
        [get(), script("dns", GONE), until(503), script("dns", HERE), until(200)],
        [status(200, 503, 200), connections(a=2)],
        rule="8.2 address set changes",
    ),
    story(
        "dns_logical_change",
        "LOGICAL_DNS: another address is where the next call goes, though there is a connection to the old one",
        HERE,
        [get(), script("dns", GONE), asked(5), get()],
        [status(200, 503), body(NO_CONNECTION), hits(a=1)],
        rule="8.2 address set changes",
        kind="LOGICAL_DNS",
    ),
    story(
        "dns_name_that_comes_up",
        "a name that is not known at the start: no hosts, until it is",
        NXDOMAIN,
        [get(), script("dns", HERE), until(200)],
        [status(503, 200), hits(a=1)],
        rule="8.2 startup",
    ),
    story(
        "dns_logical_name_that_comes_up",
        "the same for LOGICAL_DNS",
        NXDOMAIN,
        [get(), script("dns", HERE), until(200)],
        [status(503, 200), hits(a=1)],
        rule="8.2 startup",
        kind="LOGICAL_DNS",
    ),
    story(
        "dns_failure_refresh_rate",
        "dns_failure_refresh_rate: after a failure the name is asked for again sooner",
        SERVFAIL,
        [get(), script("dns", HERE), until(200)],
        [status(503, 200), hits(a=1)],
        rule="8.2 dns_failure_refresh_rate",
        dns_refresh_rate="60s",
        dns_failure_refresh_rate={"base_interval": "0.1s", "max_interval": "0.2s"},
    ),
    story(
        "dns_ttl_is_heeded",
        "respect_dns_ttl: the next question comes when the answer has expired",
        Names(["127.0.0.1"], ttl=1),
        [get(), script("dns", NXDOMAIN), until(503)],
        [status(200, 503), body(NO_HOST)],
        rule="8.2 respect_dns_ttl",
        dns_refresh_rate="60s",
        respect_dns_ttl=True,
    ),
    story(
        "dns_ttl_is_not_heeded",
        "otherwise dns_refresh_rate alone counts",
        Names(["127.0.0.1"], ttl=60),
        [get(), script("dns", NXDOMAIN), until(503)],
        [status(200, 503), body(NO_HOST)],
        rule="8.2 dns_refresh_rate",
    ),
    story(
        "dns_ttl_of_nothing",
        "an answer that is too old at once is followed by dns_refresh_rate, as if it said nothing",
        Names(["127.0.0.1"], ttl=0),
        [get(), asked(6)],
        [status(200), see("pace", _pace, Between(0.15, 3))],
        rule="8.2 TTL 0 falls back to dns_refresh_rate",
        respect_dns_ttl=True,
    ),
    story(
        "dns_logical_nodata_is_a_failure",
        "LOGICAL_DNS: a name without addresses counts as a failure, and is asked for again sooner",
        NXDOMAIN,
        [get(), script("dns", HERE), until(200)],
        [status(503, 200), hits(a=1)],
        rule="8.2 update_failure",
        kind="LOGICAL_DNS",
        dns_refresh_rate="60s",
        dns_failure_refresh_rate={"base_interval": "0.1s", "max_interval": "0.2s"},
    ),
    story(
        "dns_round_robin_stays_put",
        "an answer with the same addresses leaves hosts and their connections alone",
        HERE,
        [get(), asked(5), get()],
        [status(200, 200), connections(a=1), spread({"a": 2})],
        rule="8.2 dns_refresh_rate",
    ),
]
