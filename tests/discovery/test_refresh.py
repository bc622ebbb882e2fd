"""STATIC, STRICT_DNS and LOGICAL_DNS over a scripted resolver in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.discovery import start
from ambassador_lib.discovery.refresh import RefreshTimes
from ambassador_lib.policy.model.cluster import HealthCheck, RefreshRate
from ambassador_lib.policy.model.core import Locality, Metadata
from ambassador_lib.runtime.control import ControlThread


def discover(kit: Any, cluster: Any, story: Callable[[Any, Any], Awaitable[None]], **options: Any) -> None:
    """Start discovery for `cluster` on a loop of its own and let `story(upstream, discovery)` happen."""

    async def main() -> None:
        upstream = kit.upstream(cluster)
        discovery = start(
            upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control, **options
        )
        try:
            await kit.clock.settle()
            await story(upstream, discovery)
        finally:
            discovery.stop(0)
            await kit.control.close()

    asyncio.run(main())


def test_static_hosts_are_there_at_once(kit: Any) -> None:
    """A STATIC cluster is published before `start` returns and watches nothing."""
    upstream = kit.upstream(kit.cluster(["10.0.0.1", "10.0.0.2"]))
    discovery = start(upstream, clock=kit.clock, random=kit.random)
    assert kit.keys(upstream) == ["10.0.0.1:80", "10.0.0.2:80"]
    assert discovery.gate.is_open
    assert not ControlThread.shared().is_running
    assert discovery.stop()


def test_ip_literals_need_no_lookup(kit: Any) -> None:
    """A DNS cluster of addresses alone asks nobody and starts no watch."""
    upstream = kit.upstream(kit.cluster(["10.0.0.1", "::1"], type="STRICT_DNS"))
    discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver)
    assert kit.keys(upstream) == ["10.0.0.1:80", "[::1]:80"]
    assert discovery.gate.is_open
    assert kit.resolver.questions == []
    assert not ControlThread.shared().is_running


def test_everything_listed_reaches_the_hosts(kit: Any) -> None:
    """Port, weight, priority, locality, health and metadata of an endpoint hold for each of its addresses."""
    metadata = Metadata(filter_metadata={"envoy.lb": {"stage": "canary"}})
    listed = kit.endpoint(
        "a.test", 8080, hostname="real.test", load_balancing_weight=3, health_status="DEGRADED", metadata=metadata
    )
    group = kit.locality([listed], locality=Locality(region="r", zone="z"), load_balancing_weight=7, priority=1)
    kit.resolver.set("a.test", ["10.0.0.1", "10.0.0.2"])

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == ["10.0.0.1:8080", "10.0.0.2:8080"]
        for host in upstream.hosts:
            assert (host.hostname, host.weight, host.priority) == ("real.test", 3, 1)
            assert (host.locality, host.locality_weight) == (("r", "z", ""), 7)
            assert (host.health_status, host.metadata) == ("DEGRADED", metadata)

    discover(kit, kit.cluster(group, type="STRICT_DNS", dns_lookup_family="V4_ONLY"), story)


def test_a_host_is_known_by_its_dns_name(kit: Any) -> None:
    """Without `Endpoint.hostname` the DNS name is the host's name; a STATIC host has none."""
    kit.resolver.set("a.test", ["10.0.0.1"])

    async def story(upstream: Any, discovery: Any) -> None:
        assert [host.hostname for host in upstream.hosts] == ["a.test"]

    discover(kit, kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY"), story)
    static = kit.upstream(kit.cluster(["10.0.0.1"]))
    start(static, clock=kit.clock, random=kit.random)
    assert static.hosts[0].hostname == ""


def test_endpoints_of_one_name_share_its_lookups(kit: Any) -> None:
    """Two ports of one name cost one question, and both are there with the first answer."""
    kit.resolver.set("a.test", ["10.0.0.1"])
    cluster = kit.cluster(
        [kit.endpoint("a.test", 1), kit.endpoint("a.test", 2)], type="STRICT_DNS", dns_lookup_family="V4_ONLY"
    )

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == ["10.0.0.1:1", "10.0.0.1:2"]
        assert len(kit.resolver.questions) == 1

    discover(kit, cluster, story)


@pytest.mark.parametrize(
    ("family", "found", "questions"),
    [
        ("AUTO", ["[::1]:80"], ["V6"]),
        ("V6_ONLY", ["[::1]:80"], ["V6"]),
        ("V4_ONLY", ["10.0.0.1:80"], ["V4"]),
        ("V4_PREFERRED", ["10.0.0.1:80"], ["V4"]),
        ("ALL", ["[::1]:80", "10.0.0.1:80"], ["BOTH"]),
    ],
)
def test_lookup_families(kit: Any, family: str, found: list[str], questions: list[str]) -> None:
    """AUTO takes AAAA and leaves A alone where there is any; the others ask what their names say."""
    kit.resolver.set("a.test", ["10.0.0.1"], "V4")
    kit.resolver.set("a.test", ["::1"], "V6")
    kit.resolver.set("a.test", ["::1", "10.0.0.1"], "BOTH")

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == found
        assert [asked for _, asked in kit.resolver.questions] == questions

    discover(kit, kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family=family), story)


@pytest.mark.parametrize(("family", "other"), [("AUTO", "V4"), ("V4_PREFERRED", "V6")])
@pytest.mark.parametrize("first", ["NoSuchName", "ResolveFailed", "nothing"])
def test_the_second_family_steps_in(kit: Any, family: str, other: str, first: str) -> None:
    """Where the preferred family gives no address, for whatever reason, the other is asked."""
    preferred = "V6" if other == "V4" else "V4"
    kit.resolver.set("a.test", [] if first == "nothing" else getattr(kit, first)("a.test"), preferred)
    kit.resolver.set("a.test", ["10.0.0.1"], other)

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == ["10.0.0.1:80"]

    discover(kit, kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family=family), story)


def strict(kit: Any, **fields: Any) -> Any:
    return kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY", **fields)


def logical(kit: Any, **fields: Any) -> Any:
    return kit.cluster(["a.test"], type="LOGICAL_DNS", dns_lookup_family="V4_ONLY", **fields)


def test_membership_follows_the_answers(kit: Any) -> None:
    """Every 5 s after an answer the name is asked again; hosts that stay are the same objects."""
    kit.resolver.set("a.test", [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.3"]])

    async def story(upstream: Any, discovery: Any) -> None:
        stays = upstream.hosts[1]
        await kit.clock.advance(4.9)
        assert kit.keys(upstream) == ["10.0.0.1:80", "10.0.0.2:80"]
        await kit.clock.advance(0.2)
        assert kit.keys(upstream) == ["10.0.0.2:80", "10.0.0.3:80"]
        assert upstream.hosts[0] is stays

    discover(kit, strict(kit), story)


def test_rotated_answers_change_nothing(kit: Any) -> None:
    """The same addresses in another order are no change of a STRICT_DNS cluster."""
    kit.resolver.set("a.test", [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]])

    async def story(upstream: Any, discovery: Any) -> None:
        before = upstream.hosts
        await kit.clock.advance(5.1)
        assert len(kit.resolver.questions) == 2
        assert upstream.hosts is before

    discover(kit, strict(kit), story)


def test_strict_dns_drops_the_hosts_of_a_name_that_is_gone(kit: Any) -> None:
    """NXDOMAIN and NODATA empty a STRICT_DNS cluster, and count as answers for the next lookup."""
    kit.resolver.set("a.test", [["10.0.0.1"], kit.NoSuchName("a.test"), ["10.0.0.2"]])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(2.1)
        assert kit.keys(upstream) == []
        await kit.clock.advance(2.0)
        assert kit.keys(upstream) == ["10.0.0.2:80"]

    rates = {"dns_refresh_rate": 2.0, "dns_failure_refresh_rate": RefreshRate(base_interval=60.0)}
    discover(kit, strict(kit, **rates), story)


def test_logical_dns_keeps_the_address_of_a_name_that_is_gone(kit: Any) -> None:
    """NXDOMAIN and NODATA are failures of a LOGICAL_DNS cluster: the last address stays."""
    kit.resolver.set("a.test", [["10.0.0.1"], kit.NoSuchName("a.test")])
    kit.random.value = 0.5

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(5.1)
        assert len(kit.resolver.questions) == 2
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        await kit.clock.advance(1.0)
        assert len(kit.resolver.questions) == 3  # the failure rate holds: half of 2 s

    discover(kit, logical(kit, dns_failure_refresh_rate=RefreshRate(base_interval=2.0)), story)


@pytest.mark.parametrize("kind", [strict, logical])
def test_failures_keep_the_hosts(kit: Any, kind: Any) -> None:
    """SERVFAIL and timeouts leave everything as it is."""
    kit.resolver.set("a.test", [["10.0.0.1"], kit.ResolveFailed("SERVFAIL")])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(20.1)
        assert len(kit.resolver.questions) == 5  # without dns_failure_refresh_rate the pace stays
        assert kit.keys(upstream) == ["10.0.0.1:80"]

    discover(kit, kind(kit), story)


def test_logical_dns_is_one_host_at_the_first_address(kit: Any) -> None:
    """A new first address replaces the host's; health and ejections are the host's and stay."""
    kit.resolver.set("a.test", [["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]])

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        await kit.clock.advance(5.1)
        assert kit.keys(upstream) == ["10.0.0.2:80"]

    discover(kit, logical(kit), story)


def test_logical_dns_keeps_the_other_addresses_for_when_the_first_does_not_answer(kit: Any) -> None:
    """They follow the answers, and what was made ready for the host with others is made anew."""
    kit.resolver.set("a.test", [["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]])

    async def story(upstream: Any, discovery: Any) -> None:
        (host,) = upstream.hosts
        assert host.alternates == (("10.0.0.2", 80),)
        host.dialled()["made"] = "ready"
        await kit.clock.advance(5.1)
        assert upstream.hosts == (host,)
        assert host.alternates == ()
        assert host.dialled() == {}

    discover(kit, logical(kit), story)


def test_failures_back_off_exponentially(kit: Any) -> None:
    """`dns_failure_refresh_rate` doubles while lookups fail, and an answer sets it back."""
    failure = kit.ResolveFailed("SERVFAIL")
    kit.resolver.set("a.test", [failure, failure, failure, ["10.0.0.1"], failure, ["10.0.0.1"]])
    kit.random.value = 0.999
    asked: list[float] = []
    resolve = kit.resolver.resolve

    async def timed(name: str, family: Any) -> Any:
        asked.append(kit.clock.now - 1000.0)
        return await resolve(name, family)

    kit.resolver.resolve = timed

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(20.0)
        gaps = [round(after - before) for before, after in pairwise(asked)]
        assert gaps[:5] == [1, 2, 4, 5, 1]

    discover(kit, strict(kit, dns_failure_refresh_rate=RefreshRate(base_interval=1.0, max_interval=5.0)), story)


def test_ttl_decides_where_the_policy_says_so(kit: Any) -> None:
    """`respect_dns_ttl`: the next lookup comes after the TTL; a TTL of 0 falls back to the refresh rate."""
    kit.resolver.set("a.test", [kit.Answer(("10.0.0.1",), 30.0), kit.Answer(("10.0.0.1",), 0.0), ["10.0.0.1"]])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(29.9)
        assert len(kit.resolver.questions) == 1
        await kit.clock.advance(0.2)
        assert len(kit.resolver.questions) == 2
        await kit.clock.advance(5.0)
        assert len(kit.resolver.questions) == 3

    discover(kit, strict(kit, respect_dns_ttl=True), story)


def test_a_resolver_that_breaks_is_a_failed_lookup(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Any exception of an injected resolver is logged and keeps the hosts; the lookups go on."""
    kit.resolver.set("a.test", [["10.0.0.1"], RuntimeError("bug"), ["10.0.0.2"]])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(5.1)
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        await kit.clock.advance(5.1)
        assert kit.keys(upstream) == ["10.0.0.2:80"]

    discover(kit, strict(kit), story)
    assert "the resolver broke on a.test" in caplog.text


def test_an_outage_is_said_once(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The first failed lookup warns, those after it do not repeat it."""
    kit.resolver.set("a.test", kit.ResolveFailed("SERVFAIL"))

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(60.0)

    discover(kit, strict(kit), story)
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]


class Ticket:
    woken = 0

    def wake(self) -> None:
        self.woken += 1


@pytest.mark.parametrize("outcome", ["success", "NoSuchName", "ResolveFailed"])
def test_the_gate_opens_after_the_first_resolution(kit: Any, outcome: str) -> None:
    """Callers wait until the first lookup is over, whatever came of it."""
    ticket = Ticket()

    async def story(upstream: Any, discovery: Any) -> None:
        discovery.gate.add(ticket)
        assert (discovery.gate.is_open, ticket.woken) == (False, 0)
        answer = ["10.0.0.1"] if outcome == "success" else getattr(kit, outcome)("a.test")
        kit.resolver.table["a.test", "V4"].set_result(answer)
        await kit.clock.settle()
        assert (discovery.gate.is_open, ticket.woken) == (True, 1)

    async def main() -> None:
        kit.resolver.set("a.test", asyncio.get_running_loop().create_future())
        upstream = kit.upstream(strict(kit))
        discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control)
        await kit.clock.settle()
        await story(upstream, discovery)
        await kit.control.close()

    asyncio.run(main())


def test_the_gate_waits_for_every_name(kit: Any) -> None:
    """A cluster of several names is ready when each has had its answer."""

    async def main() -> None:
        kit.resolver.set("a.test", ["10.0.0.1"])
        slow = asyncio.get_running_loop().create_future()
        kit.resolver.set("b.test", slow)
        upstream = kit.upstream(kit.cluster(["a.test", "b.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY"))
        discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control)
        await kit.clock.settle()
        assert not discovery.gate.is_open
        slow.set_result(kit.ResolveFailed("timeout"))
        await kit.clock.settle()
        assert discovery.gate.is_open
        await kit.control.close()

    asyncio.run(main())


def test_wait_for_warm_on_init_false(kit: Any) -> None:
    """The policy can let callers in before anything is known."""

    async def story(upstream: Any, discovery: Any) -> None:
        assert discovery.gate.is_open

    cluster = strict(kit, wait_for_warm_on_init=False)
    upstream = kit.upstream(cluster)

    async def main() -> None:
        kit.resolver.set("a.test", asyncio.get_running_loop().create_future())
        discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control)
        await story(upstream, discovery)
        await kit.control.close()

    asyncio.run(main())


def test_an_engine_that_does_not_dial_needs_no_addresses(kit: Any) -> None:
    """Over a mock or an ASGI app names stand for themselves, nothing is resolved and nothing checked."""
    check = HealthCheck(
        timeout=1.0,
        interval=1.0,
        unhealthy_threshold=1,
        healthy_threshold=1,
        http_health_check=HealthCheck.HttpHealthCheck(path="/"),
    )
    upstream = kit.upstream(strict(kit, health_checks=(check,)), health_checked=False)
    discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, dials=False)
    assert kit.keys(upstream) == ["a.test:80"]
    assert not upstream.hosts[0].flags
    assert discovery.gate.is_open
    assert kit.resolver.questions == []
    assert not ControlThread.shared().is_running


def test_stop_lets_waiting_callers_go(kit: Any) -> None:
    """Whoever waits for a client that is being closed is woken."""

    async def main() -> None:
        kit.resolver.set("a.test", asyncio.get_running_loop().create_future())
        discovery = start(
            kit.upstream(strict(kit)), clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control
        )
        ticket = Ticket()
        discovery.gate.add(ticket)
        discovery.stop(0)
        assert ticket.woken == 1
        await kit.control.close()

    asyncio.run(main())


@given(
    failures=st.integers(1, 10_000),
    base=st.floats(0.001, 100),
    factor=st.floats(1, 100),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_failure_delays_stay_in_bounds(failures: int, base: float, factor: float, draw: float) -> None:
    """However long an outage lasts, the next lookup is between 1 ms and the maximum away."""

    class Drawn:
        def random(self) -> float:
            return draw

        def getrandbits(self, k: int, /) -> int:
            raise NotImplementedError

    times = RefreshTimes(failure_base=base, failure_max=base * factor)
    assert 0.001 <= times.after_failure(failures, Drawn()) <= max(0.001, base * factor) + 0.001


@given(ttl=st.none() | st.floats(0, 86400), jitter=st.floats(0, 10), draw=st.floats(0, 1, exclude_max=True))
def test_success_delays_are_ttl_or_rate_plus_jitter(ttl: float | None, jitter: float, draw: float) -> None:
    """`dns_jitter` adds less than itself to the TTL, or to the refresh rate where there is none."""

    class Drawn:
        def random(self) -> float:
            return draw

        def getrandbits(self, k: int, /) -> int:
            raise NotImplementedError

    base = ttl or 5.0
    delay = RefreshTimes(respect_ttl=True, jitter=jitter).after_success(ttl, Drawn())
    assert max(0.001, base) <= delay <= max(0.001, base + jitter)
