from __future__ import annotations

from threading import Barrier, Thread

import pytest

from ambassador_lib.call import Attempt
from ambassador_lib.policy.model.balancing import CommonLbConfig
from ambassador_lib.policy.model.cluster import Endpoint, HealthCheck
from ambassador_lib.upstream.host import MAX_DESTINATIONS, HealthFlag, Host, HostSpec

CHECKS = (HealthCheck(timeout=1, interval=1, unhealthy_threshold=1, healthy_threshold=1),)


def spec(port: int, **fields) -> HostSpec:
    return HostSpec("10.0.0.1", port, "", **fields)


@pytest.mark.parametrize(("address", "key"), [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80")])
def test_a_hosts_key_is_its_address_and_port(address: str, key: str) -> None:
    """IPv6 addresses stand in brackets."""
    assert HostSpec(address, 80, "name").key == key
    assert Host(HostSpec(address, 80, "name"), 0.0).key == key


def test_hosts_survive_a_refresh(make_upstream) -> None:
    """A host whose address stays is the same object with its state, described anew."""
    upstream = make_upstream([spec(1), spec(2)])
    kept = upstream.hosts[1]
    upstream.set_flag(kept, HealthFlag.FAILED_OUTLIER_CHECK, True)
    upstream.update_hosts([spec(2, weight=7, health_status="DEGRADED"), spec(3)], 5.0)
    assert upstream.hosts[0] is kept
    assert kept.flags == HealthFlag.FAILED_OUTLIER_CHECK | HealthFlag.DEGRADED_EDS_HEALTH
    assert (kept.weight, kept.healthy_since, upstream.hosts[1].healthy_since) == (7, 0.0, 5.0)


def test_health_that_discovery_takes_back_is_gone(make_upstream) -> None:
    """`health_status` is discovery's own flag: the next update replaces it."""
    upstream = make_upstream([spec(1, health_status="DRAINING")])
    upstream.update_hosts([spec(1)], 0.0)
    assert not upstream.hosts[0].flags


def test_the_connections_of_a_host_that_fails_are_given_up(make_upstream) -> None:
    """Each failure counts once, of health checks and of outlier detection, for every priority; recovery does not."""
    upstream = make_upstream([spec(1), spec(2)])
    gauges = [limits.host(upstream.hosts[0].key) for limits in upstream.limits.values()]
    other = upstream.limits["DEFAULT"].host(upstream.hosts[1].key)
    for flag in (HealthFlag.FAILED_ACTIVE_HC, HealthFlag.FAILED_OUTLIER_CHECK):
        for on in (True, True, False):
            upstream.set_flag(upstream.hosts[0], flag, on)
    upstream.set_flag(upstream.hosts[0], HealthFlag.DEGRADED_ACTIVE_HC, True)
    assert [gauge.drains for gauge in gauges] == [2, 2]
    assert other.drains == 0


@pytest.mark.parametrize("ignores", [True, False])
def test_ignore_health_on_host_removal(make_upstream, ignores: bool) -> None:
    """A host that discovery drops serves until a check fails, unless its health is to be ignored then."""
    upstream = make_upstream([spec(1)], health_checks=CHECKS, ignore_health_on_host_removal=ignores)
    upstream.set_flag(upstream.hosts[0], HealthFlag.FAILED_ACTIVE_HC, False)
    upstream.update_hosts([], 0.0)
    assert len(upstream.hosts) == (0 if ignores else 1)


def test_an_address_listed_twice_is_one_host(make_upstream) -> None:
    """The first entry of an address counts."""
    upstream = make_upstream([spec(1, weight=2), spec(1, weight=3)])
    assert [host.weight for host in upstream.hosts] == [2]


def test_listeners_hear_of_comings_and_goings_alone(make_upstream) -> None:
    """`on_membership` is called when hosts came or went, not for new weights or health, and not under the lock."""
    upstream = make_upstream([spec(1)])
    heard = []
    upstream.on_membership(lambda: heard.append(len(upstream.hosts)) or upstream.update_hosts([*specs], 0.0))
    specs = [spec(1), spec(2)]
    upstream.update_hosts(specs, 0.0)
    upstream.update_hosts([spec(1, weight=5), spec(2)], 0.0)
    upstream.set_flag(upstream.hosts[0], HealthFlag.FAILED_ACTIVE_HC, True)
    assert heard == [2]
    specs = [spec(2)]
    upstream.update_hosts(specs, 0.0)
    assert heard == [2, 1]


def test_a_new_host_waits_for_its_first_check(make_upstream) -> None:
    """Semantics 6.2: with active health checks a host starts unhealthy, unless the endpoint opts out."""
    opted_out = spec(2, health_check_config=Endpoint.HealthCheckConfig(disable_active_health_check=True))
    upstream = make_upstream([spec(1), opted_out], health_checks=CHECKS)
    assert [host.flags for host in upstream.hosts] == [HealthFlag.FAILED_ACTIVE_HC, HealthFlag(0)]


def test_unchecked_hosts_can_be_left_out_of_percentages(make_upstream) -> None:
    """`ignore_new_hosts_until_first_hc` marks new hosts as pending, which excludes them."""
    upstream = make_upstream(
        [spec(1)], health_checks=CHECKS, common_lb_config=CommonLbConfig(ignore_new_hosts_until_first_hc=True)
    )
    assert upstream.hosts[0].flags == HealthFlag.FAILED_ACTIVE_HC | HealthFlag.PENDING_ACTIVE_HC


def test_a_checked_host_outlives_discovery_until_a_check_fails(make_upstream) -> None:
    """Semantics 6.2: a removed host that passes its checks stays in rotation; its first failure removes it."""
    upstream = make_upstream([spec(1), spec(2)], health_checks=CHECKS)
    staying, _ = upstream.hosts
    upstream.set_flag(staying, HealthFlag.FAILED_ACTIVE_HC, False)
    heard = []
    upstream.on_membership(lambda: heard.append(upstream.hosts))
    upstream.update_hosts([], 1.0)
    assert upstream.hosts == (staying,)
    assert upstream.pick(1.0) is staying
    upstream.set_flag(staying, HealthFlag.FAILED_ACTIVE_HC, True)
    assert (upstream.hosts, upstream.pick(2.0)) == ((), None)
    assert heard == [(staying,), ()]


def test_a_host_that_comes_back_stays(make_upstream) -> None:
    """Listed again, a host no longer leaves with its next failed check."""
    upstream = make_upstream([spec(1)], health_checks=CHECKS)
    host = upstream.hosts[0]
    upstream.set_flag(host, HealthFlag.FAILED_ACTIVE_HC, False)
    upstream.update_hosts([], 1.0)
    upstream.update_hosts([spec(1)], 2.0)
    upstream.set_flag(host, HealthFlag.FAILED_ACTIVE_HC, True)
    assert upstream.hosts == (host,)


def test_a_logical_host_keeps_its_health_when_its_address_moves(make_upstream) -> None:
    """LOGICAL_DNS is one host: the next address takes over what is known of it, and the last one is gone."""
    upstream = make_upstream([spec(1)], type="LOGICAL_DNS", health_checks=CHECKS)
    upstream.set_flag(upstream.hosts[0], HealthFlag.FAILED_ACTIVE_HC, False)
    upstream.update_hosts([spec(2)], 1.0)
    assert [(host.port, host.flags) for host in upstream.hosts] == [(2, HealthFlag(0))]


def test_limits_forget_a_host_that_is_gone(make_upstream) -> None:
    """Names that change their addresses for ever must not fill the memory."""
    upstream = make_upstream([spec(1)])
    before = upstream.limits["DEFAULT"].host("10.0.0.1:1")
    upstream.update_hosts([spec(2)], 0.0)
    assert upstream.limits["DEFAULT"].host("10.0.0.1:1") is not before


@pytest.mark.usefixtures("hectic")
def test_health_changes_from_many_threads_are_all_kept(make_upstream) -> None:
    """Flags that threads set at once do not overwrite each other, and the picker shows the last state."""
    upstream = make_upstream(1, common_lb_config=None)
    host, barrier = upstream.hosts[0], Barrier(8)

    def work(flag: HealthFlag) -> None:
        barrier.wait()
        for turn in range(201):
            upstream.set_flag(host, flag, turn % 2 == 0)

    flags = list(HealthFlag)[:8]
    threads = [Thread(target=work, args=(flag,)) for flag in flags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(host.flags) == set(flags)


@pytest.mark.usefixtures("hectic")
def test_requests_in_flight_are_counted_exactly(make_upstream) -> None:
    """Tries that begin and end in many threads cancel each other out."""
    host = make_upstream(1).hosts[0]

    def work() -> None:
        for _ in range(2000):
            attempt = Attempt(1)
            host.active += 1
            attempt.host = host
            attempt.finish()

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert host.active == 0


GONE = HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL


def test_a_host_that_takes_its_leave_in_traffic_is_out_at_once(make_upstream) -> None:
    """Semantics 6.2: with active checks, `x-envoy-immediate-health-check-fail` fails and excludes the host."""
    upstream = make_upstream(2, health_checks=CHECKS)
    for host in upstream.hosts:
        upstream.set_flag(host, HealthFlag.FAILED_ACTIVE_HC, False)
    leaving, staying = upstream.hosts
    heard = []
    upstream.on_immediate_failure(heard.append)
    upstream.immediate_health_check_fail(leaving)
    assert (leaving.flags, heard) == (GONE, [leaving])
    assert [upstream.pick(1.0) for _ in range(4)] == [staying] * 4


def test_without_active_checks_nobody_takes_its_leave(make_upstream) -> None:
    """Nothing would bring such a host back; nor one that opts out of its cluster's checks."""
    opted_out = spec(1, health_check_config=Endpoint.HealthCheckConfig(disable_active_health_check=True))
    for upstream in (make_upstream(1), make_upstream([opted_out], health_checks=CHECKS)):
        upstream.immediate_health_check_fail(upstream.hosts[0])
        assert upstream.hosts[0].flags == HealthFlag(0)


def test_a_host_called_by_ever_new_names_does_not_grow(make_upstream) -> None:
    """Under `auto_sni` the application's names decide what is kept for a host: a bound holds."""
    destinations = make_upstream(1).hosts[0].dialled()
    for number in range(10 * MAX_DESTINATIONS):
        destinations[number] = number
        assert destinations[number] == number
    assert len(destinations) <= MAX_DESTINATIONS


def test_what_is_made_while_a_host_is_described_anew_is_not_kept() -> None:
    """A call that dials just then leaves nothing behind that was made of the host's former addresses."""

    class DialledAtOnce(Host):
        def _forget_destinations(self) -> None:
            super()._forget_destinations()
            self.dialled().setdefault("key", self.alternates)

    host = DialledAtOnce(spec(1, alternates=(("10.0.0.2", 1),)), 0.0)
    host.dialled()["key"] = host.alternates
    host.describe(spec(1))
    assert host.dialled()["key"] == host.alternates == ()
