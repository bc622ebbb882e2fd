"""Active health checks of a cluster, with scripted probes in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ambassador_lib.algorithms.health import CheckResult
from ambassador_lib.discovery import health_check as health_check_module
from ambassador_lib.discovery import start
from ambassador_lib.discovery.health_check import rules_of
from ambassador_lib.policy.model.balancing import CommonLbConfig
from ambassador_lib.policy.model.cluster import Endpoint, HealthCheck, OutlierDetection
from ambassador_lib.upstream.host import HealthFlag

PASSED, REFUSED, UNREACHABLE = CheckResult.PASSED, CheckResult.REFUSED, CheckResult.UNREACHABLE
HANGS = object()


def http_check(**fields: Any) -> HealthCheck:
    given = {"timeout": 1.0, "interval": 10.0, "unhealthy_threshold": 1, "healthy_threshold": 1} | fields
    return HealthCheck(http_health_check=HealthCheck.HttpHealthCheck(path="/hc"), **given)


class ScriptedProbes:
    """Probes by host address (or address and number of the check); tests change `outcomes` and read the rest."""

    def __init__(self) -> None:
        self.outcomes: dict[Any, Any] = {}
        self.made: list[str] = []
        self.asked: list[tuple[str, float]] = []
        self.closed: list[str] = []

    def bind(self, checks: tuple[HealthCheck, ...], clock: Any) -> Callable[[HealthCheck, Any], Any]:
        probes = self

        def make(check: HealthCheck, host: Any) -> Any:
            index = next(number for number, each in enumerate(checks) if each is check)
            probes.made.append(host.address)

            class Probe:
                outlives_timeouts = False

                async def check(self, deadline: Any) -> CheckResult:
                    probes.asked.append((host.address, clock.now - 1000.0))
                    key = (host.address, index)
                    outcome = probes.outcomes.get(key, probes.outcomes.get(host.address, PASSED))
                    if outcome is HANGS:
                        await asyncio.get_running_loop().create_future()
                    if isinstance(outcome, Exception):
                        raise outcome
                    return outcome

                async def close(self) -> None:
                    probes.closed.append(host.address)

            return Probe()

        return make

    def times(self, address: str = "10.0.0.1") -> list[float]:
        return [round(moment, 3) for asked, moment in self.asked if asked == address]


@pytest.fixture
def probes() -> ScriptedProbes:
    return ScriptedProbes()


@pytest.fixture
def check(kit: Any, probes: ScriptedProbes, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a cluster under checks and let a story happen."""

    def run(cluster: Any, story: Callable[[Any, Any], Awaitable[None]]) -> None:
        monkeypatch.setattr(
            health_check_module, "_probes_of", lambda _, clock, *__: probes.bind(cluster.health_checks, clock)
        )

        async def main() -> None:
            upstream = kit.upstream(cluster)
            discovery = start(upstream, clock=kit.clock, random=kit.random, resolver=kit.resolver, control=kit.control)
            try:
                await kit.clock.settle()
                await story(upstream, discovery)
            finally:
                await kit.control.close()

        asyncio.run(main())

    return run


def flags(upstream: Any, index: int = 0) -> HealthFlag:
    return upstream.hosts[index].flags


def test_a_new_host_is_unhealthy_until_its_first_check(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """Hosts of a checked cluster start failed, one passed check makes them healthy."""
    probes.outcomes["10.0.0.1"] = HANGS

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream, 0) == HealthFlag.FAILED_ACTIVE_HC
        assert flags(upstream, 1) == HealthFlag(0)

    check(kit.cluster(["10.0.0.1", "10.0.0.2"], health_checks=(http_check(),)), story)


def test_the_gate_waits_for_the_first_round(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """Callers wait until every host's first check has ended, a timeout included."""
    probes.outcomes["10.0.0.1"] = HANGS

    async def story(upstream: Any, discovery: Any) -> None:
        assert not discovery.gate.is_open
        await kit.clock.advance(1.0)
        assert discovery.gate.is_open
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC | HealthFlag.ACTIVE_HC_TIMEOUT

    check(kit.cluster(["10.0.0.1", "10.0.0.2"], health_checks=(http_check(),)), story)


def test_the_gate_waits_for_resolution_and_then_for_checks(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """In a DNS cluster the hosts of the first answer are checked before anybody is let in."""
    kit.resolver.set("a.test", ["10.0.0.1"])
    probes.outcomes["10.0.0.1"] = HANGS
    cluster = kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY", health_checks=(http_check(),))

    async def story(upstream: Any, discovery: Any) -> None:
        assert kit.keys(upstream) == ["10.0.0.1:80"]
        assert not discovery.gate.is_open
        await kit.clock.advance(1.0)
        assert discovery.gate.is_open

    check(cluster, story)


def test_the_gate_opens_where_a_name_gives_no_host_to_check(kit: Any, check: Any) -> None:
    """A cluster that resolves to nothing has nothing to wait for."""
    cluster = kit.cluster(["a.test"], type="STRICT_DNS", dns_lookup_family="V4_ONLY", health_checks=(http_check(),))

    async def story(upstream: Any, discovery: Any) -> None:
        assert discovery.gate.is_open

    check(cluster, story)


def test_without_traffic_checks_are_rare(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """`no_traffic_interval`, 60 s by default, holds until there was traffic; the wait under way runs out first."""

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(61.0)
        upstream.traffic_seen = True
        await kit.clock.advance(80.0)
        assert probes.times() == [0.0, 60.0, 120.0, 130.0, 140.0]

    check(kit.cluster(["10.0.0.1"], health_checks=(http_check(),)), story)


def test_unhealthy_hosts_have_intervals_of_their_own(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """`unhealthy_edge_interval` below the threshold, then `unhealthy_interval`, then `healthy_edge_interval`."""
    rules = http_check(
        unhealthy_threshold=2,
        healthy_threshold=2,
        unhealthy_interval=3.0,
        unhealthy_edge_interval=2.0,
        healthy_edge_interval=1.0,
    )

    async def story(upstream: Any, discovery: Any) -> None:
        upstream.traffic_seen = True
        probes.outcomes["10.0.0.1"] = UNREACHABLE
        await kit.clock.advance(63.5)  # checks at 60 (1 of 2), 62 (failed)
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC
        probes.outcomes["10.0.0.1"] = PASSED
        await kit.clock.advance(13.0)  # 65 (1 of 2), 66 (healthy), 76
        assert flags(upstream) == HealthFlag(0)
        assert probes.times() == [0.0, 60.0, 62.0, 65.0, 66.0, 76.0]

    check(kit.cluster(["10.0.0.1"], health_checks=(rules,)), story)


def test_several_checks_must_all_pass(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """One failed check of several is enough to be unhealthy."""
    checks = (http_check(no_traffic_interval=1.0), http_check(no_traffic_interval=1.0))
    probes.outcomes["10.0.0.1", 1] = REFUSED

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC
        probes.outcomes["10.0.0.1", 1] = PASSED
        await kit.clock.advance(1.0)
        assert flags(upstream) == HealthFlag(0)
        probes.outcomes["10.0.0.1", 0] = REFUSED
        await kit.clock.advance(1.0)
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC

    check(kit.cluster(["10.0.0.1"], health_checks=checks), story)


def test_a_degraded_host_is_marked(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """A pass with `x-envoy-degraded` marks the host until a pass without."""
    probes.outcomes["10.0.0.1"] = CheckResult.DEGRADED

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream) == HealthFlag.DEGRADED_ACTIVE_HC
        probes.outcomes["10.0.0.1"] = PASSED
        await kit.clock.advance(60.0)
        assert flags(upstream) == HealthFlag(0)

    check(kit.cluster(["10.0.0.1"], health_checks=(http_check(),)), story)


def test_unchecked_hosts_can_be_left_out(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """`ignore_new_hosts_until_first_hc`: pending until the first check, whatever its result."""
    probes.outcomes["10.0.0.1"] = HANGS

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC | HealthFlag.PENDING_ACTIVE_HC
        await kit.clock.advance(1.0)
        assert HealthFlag.PENDING_ACTIVE_HC not in flags(upstream)

    common = CommonLbConfig(ignore_new_hosts_until_first_hc=True)
    check(kit.cluster(["10.0.0.1"], health_checks=(http_check(),), common_lb_config=common), story)


def test_endpoints_can_opt_out(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """`disable_active_health_check`: never asked, healthy from the start, and nobody waits for it."""
    opted_out = kit.endpoint(
        "10.0.0.1", health_check_config=Endpoint.HealthCheckConfig(disable_active_health_check=True)
    )

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream) == HealthFlag(0)
        assert discovery.gate.is_open
        assert probes.asked == []

    check(kit.cluster([opted_out], health_checks=(http_check(),)), story)


@pytest.mark.parametrize(("setting", "ejected"), [(None, False), (False, True)])
def test_a_passing_check_ends_an_ejection(
    kit: Any, probes: ScriptedProbes, check: Any, setting: bool | None, ejected: bool
) -> None:
    """An ejected host that passes is back, unless `successful_active_health_check_uneject_host` is false."""
    outlier = OutlierDetection(
        consecutive_5xx=1, max_ejection_percent=100, successful_active_health_check_uneject_host=setting
    )

    async def story(upstream: Any, discovery: Any) -> None:
        upstream.record(upstream.hosts[0], 503, kit.clock.now)
        assert flags(upstream) == HealthFlag.FAILED_OUTLIER_CHECK
        await kit.clock.advance(5.0)
        assert (HealthFlag.FAILED_OUTLIER_CHECK in flags(upstream)) == ejected

    rules = http_check(no_traffic_interval=5.0)
    check(kit.cluster(["10.0.0.1"], health_checks=(rules,), outlier_detection=outlier), story)


def dns_cluster(kit: Any, kind: str = "STRICT_DNS") -> Any:
    return kit.cluster(
        ["a.test"],
        type=kind,
        dns_lookup_family="V4_ONLY",
        dns_refresh_rate=5.0,
        health_checks=(http_check(no_traffic_interval=2.0),),
    )


def test_hosts_that_appear_are_checked(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """A host of a later DNS answer is checked at once."""
    kit.resolver.set("a.test", [["10.0.0.1"], ["10.0.0.1", "10.0.0.2"]])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(5.0)
        assert probes.times("10.0.0.2") == [5.0]
        assert flags(upstream, 1) == HealthFlag(0)

    check(dns_cluster(kit), story)


def test_a_host_that_is_gone_serves_until_it_fails(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """What DNS no longer lists stays while it passes; with its first failure it goes, and its checks end."""
    kit.resolver.set("a.test", [["10.0.0.1"], ["10.0.0.2"]])

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(7.0)
        assert kit.keys(upstream) == ["10.0.0.2:80", "10.0.0.1:80"]
        probes.outcomes["10.0.0.1"] = UNREACHABLE
        await kit.clock.advance(2.0)
        assert kit.keys(upstream) == ["10.0.0.2:80"]
        asked = len(probes.times("10.0.0.1"))
        await kit.clock.advance(10.0)
        assert len(probes.times("10.0.0.1")) == asked
        assert "10.0.0.1" in probes.closed

    check(dns_cluster(kit), story)


def test_a_logical_host_keeps_its_health_when_its_address_moves(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """LOGICAL_DNS: the new address inherits the old one's health and is checked in its place."""
    kit.resolver.set("a.test", [["10.0.0.1"], ["10.0.0.2"]])
    probes.outcomes["10.0.0.2"] = HANGS

    async def story(upstream: Any, discovery: Any) -> None:
        await kit.clock.advance(5.5)
        assert kit.keys(upstream) == ["10.0.0.2:80"]
        assert flags(upstream) == HealthFlag(0)
        assert probes.times("10.0.0.2") == [5.0]

    check(dns_cluster(kit, "LOGICAL_DNS"), story)


def test_a_probe_that_breaks_is_a_failed_check(
    kit: Any, probes: ScriptedProbes, check: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in one check is logged and ends nothing."""
    probes.outcomes["10.0.0.1"] = RuntimeError("bug")

    async def story(upstream: Any, discovery: Any) -> None:
        assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC
        probes.outcomes["10.0.0.1"] = PASSED
        await kit.clock.advance(60.0)
        assert flags(upstream) == HealthFlag(0)

    check(kit.cluster(["10.0.0.1"], health_checks=(http_check(),)), story)
    assert "health check of 10.0.0.1:80 broke" in caplog.text


def test_a_host_that_traffic_failed_recovers_by_its_checks(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """`x-envoy-immediate-health-check-fail`: out, and excluded, until the checks pass again."""

    async def story(upstream: Any, discovery: Any) -> None:
        host = upstream.hosts[0]
        upstream.set_flag(host, HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, True)
        await kit.clock.advance(1.0)
        assert HealthFlag.FAILED_ACTIVE_HC in host.flags
        await kit.clock.advance(1.0)
        assert host.flags == HealthFlag(0)

    rules = http_check(no_traffic_interval=1.0, healthy_threshold=2)
    check(kit.cluster(["10.0.0.1"], health_checks=(rules,)), story)


def test_stopping_closes_the_probes(kit: Any, probes: ScriptedProbes, check: Any) -> None:
    """When the watch ends, every probe's connection is dropped, also that of a check under way."""
    probes.outcomes["10.0.0.1"] = HANGS

    async def story(upstream: Any, discovery: Any) -> None:
        discovery.stop(0)
        await kit.control.close()
        assert sorted(set(probes.closed)) == ["10.0.0.1", "10.0.0.2"]

    check(kit.cluster(["10.0.0.1", "10.0.0.2"], health_checks=(http_check(),)), story)


def test_defaults_of_the_intervals() -> None:
    """Unset intervals fall back as the proto says."""
    rules = rules_of(http_check(unhealthy_interval=7.0))
    assert (rules.interval, rules.healthy_edge_interval) == (10.0, 10.0)
    assert (rules.unhealthy_interval, rules.unhealthy_edge_interval) == (7.0, 7.0)
    assert (rules.no_traffic_interval, rules.no_traffic_healthy_interval) == (60.0, 60.0)
    assert (rules.initial_jitter, rules.interval_jitter, rules.interval_jitter_percent) == (0.0, 0.0, 0)


@pytest.mark.parametrize("healthy", [True, False])
def test_a_host_that_failed_in_traffic_begins_anew(kit: Any, probes: ScriptedProbes, check: Any, healthy: bool) -> None:
    """After an immediate failure the host needs its whole `healthy_threshold` of checks, whatever it had passed."""
    gone = HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL

    async def story(upstream: Any, discovery: Any) -> None:
        if not healthy:  # one pass short of its recovery
            probes.outcomes["10.0.0.1"] = REFUSED
            await kit.clock.advance(10.0)
            probes.outcomes["10.0.0.1"] = PASSED
            await kit.clock.advance(10.0)
            assert flags(upstream) == HealthFlag.FAILED_ACTIVE_HC
        upstream.immediate_health_check_fail(upstream.hosts[0])
        await kit.clock.settle()
        assert flags(upstream) == gone
        await kit.clock.advance(10.0)
        assert flags(upstream) == gone
        await kit.clock.advance(10.0)
        assert flags(upstream) == HealthFlag(0)

    rules = http_check(healthy_threshold=2, no_traffic_interval=10.0)
    check(kit.cluster(["10.0.0.1"], health_checks=(rules,)), story)
