from __future__ import annotations

from threading import Barrier, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambassador_lib.policy.model.balancing import CommonLbConfig
from ambassador_lib.policy.model.cluster import OutlierDetection
from ambassador_lib.policy.model.core import Percent
from ambassador_lib.upstream.host import HealthFlag, Host
from ambassador_lib.upstream.outlier import LocalOrigin, Outcome, Settings, grpc_outcome
from ambassador_lib.upstream.upstream import Upstream


def detecting(make_upstream, hosts: int = 1, **fields) -> Upstream:
    return make_upstream(hosts, outlier_detection=OutlierDetection(**{"max_ejection_percent": 100, **fields}))


def feed(upstream: Upstream, host: Host, *outcomes: Outcome, now: float = 1.0) -> None:
    for outcome in outcomes:
        upstream.record(host, outcome, now)


def ejected(upstream: Upstream) -> list[int]:
    return [host.port for host in upstream.hosts if host.flags & HealthFlag.FAILED_OUTLIER_CHECK]


@pytest.mark.parametrize(
    "outcome",
    [500, 503, 599, LocalOrigin.CONNECT_FAILURE, LocalOrigin.RESET, LocalOrigin.TIMEOUT],
)
def test_five_failures_in_a_row_eject(make_upstream, outcome: Outcome) -> None:
    """Semantics 5: five 5xx, or what counts as such, and not four."""
    upstream = detecting(make_upstream)
    feed(upstream, upstream.hosts[0], *[outcome] * 4)
    assert ejected(upstream) == []
    feed(upstream, upstream.hosts[0], outcome)
    assert ejected(upstream) == [1]


@pytest.mark.parametrize("good", [200, 404, 429, grpc_outcome(0)])
def test_any_other_response_begins_the_count_anew(make_upstream, good: Outcome) -> None:
    """One response that is no 5xx, and four failures are forgotten."""
    upstream = detecting(make_upstream)
    feed(upstream, upstream.hosts[0], *[503] * 4, good, *[503] * 4)
    assert ejected(upstream) == []


def test_a_connection_alone_is_no_success(make_upstream) -> None:
    """Outside split mode an obtained connection says nothing."""
    upstream = detecting(make_upstream)
    feed(upstream, upstream.hosts[0], *[LocalOrigin.CONNECTED, LocalOrigin.RESET] * 5)
    assert ejected(upstream) == [1]


def test_gateway_failures_are_detected_but_not_enforced(make_upstream) -> None:
    """`enforcing_consecutive_gateway_failure` is 0 unless set; detections are counted all the same."""
    upstream = detecting(make_upstream, consecutive_5xx=100, consecutive_gateway_failure=2)
    feed(upstream, upstream.hosts[0], *[502, 500] * 4, 503, 504)
    assert ejected(upstream) == []
    assert upstream.outlier.stats == {"ejections_detected_consecutive_gateway_failure": 1}


def test_gateway_failures_eject_when_enforced(make_upstream) -> None:
    """A 500 begins the count of gateway failures anew, a 503 does not."""
    upstream = detecting(
        make_upstream, consecutive_5xx=100, consecutive_gateway_failure=3, enforcing_consecutive_gateway_failure=100
    )
    feed(upstream, upstream.hosts[0], 502, 503, 500, 504, 502)
    assert ejected(upstream) == []
    feed(upstream, upstream.hosts[0], LocalOrigin.CONNECT_FAILURE)
    assert ejected(upstream) == [1]


def test_ten_errors_are_two_detections(make_upstream) -> None:
    """The count begins anew at the threshold whether or not the host was ejected."""
    upstream = detecting(make_upstream, hosts=2, max_ejection_percent=10)
    feed(upstream, upstream.hosts[0], *[500] * 10)
    assert ejected(upstream) == []
    assert upstream.outlier.stats == {"ejections_detected_consecutive_5xx": 2, "ejections_overflow": 2}


def test_a_threshold_of_zero_is_never_reached(make_upstream) -> None:
    """`consecutive_5xx: 0` switches the detection off."""
    upstream = detecting(make_upstream, consecutive_5xx=0)
    feed(upstream, upstream.hosts[0], *[500] * 50)
    assert ejected(upstream) == []


@pytest.mark.parametrize(
    ("hosts", "percent", "expected"), [(9, None, 0), (10, None, 1), (2, 50, 1), (4, 75, 3), (4, 70, 2), (1, 100, 1)]
)
def test_the_gate(make_upstream, hosts: int, percent: int | None, expected: int) -> None:
    """Semantics 5: `max_ejection_percent` (10) counts the host to be ejected."""
    upstream = detecting(make_upstream, hosts=hosts, max_ejection_percent=percent)
    for host in upstream.hosts:
        feed(upstream, host, *[500] * 5)
    assert len(ejected(upstream)) == expected


def test_half_enforcement_ejects_about_half(make_upstream) -> None:
    """A draw against `enforcing_*` decides."""
    upstream = detecting(make_upstream, hosts=400, enforcing_consecutive_5xx=50)
    for host in upstream.hosts:
        feed(upstream, host, *[500] * 5)
    assert 150 < len(ejected(upstream)) < 250


def test_an_ejection_ends_with_a_tick(make_upstream) -> None:
    """30 s with a 10 s interval, begun between two ticks, end with the first tick 30 s later; five errors again."""
    upstream = detecting(make_upstream)
    host = upstream.hosts[0]
    feed(upstream, host, *[500] * 5, now=11.0)
    upstream.pick(49.9)
    assert ejected(upstream) == [1]
    upstream.pick(50.0)
    assert ejected(upstream) == []
    feed(upstream, host, *[500] * 4, now=51.0)
    assert ejected(upstream) == []
    feed(upstream, host, 500, now=51.0)
    assert ejected(upstream) == [1]


def test_ejections_grow_and_decay(make_upstream) -> None:
    """base 0.5, interval 0.1, at most 1.2 s, always failing: 0.5, 1.0, 1.2, 1.2 s; good standing shortens the next."""
    upstream = detecting(make_upstream, consecutive_5xx=1, base_ejection_time=0.5, interval=0.1, max_ejection_time=1.2)
    host, now, lengths = upstream.hosts[0], 0.0, []
    for _ in range(4):
        start = now = now + 0.01
        feed(upstream, host, 500, now=now)
        assert ejected(upstream) == [1]
        while ejected(upstream):
            now += 0.01
            upstream.pick(now)
        lengths.append(now - start)
    assert lengths == [pytest.approx(expected, abs=0.11) for expected in (0.5, 1.0, 1.2, 1.2)]
    assert host.outlier.multiplier == 4
    upstream.pick(now + 0.25)
    assert 1 <= host.outlier.multiplier <= 2
    upstream.pick(now + 10)
    assert host.outlier.multiplier == 0


def test_jitter_comes_on_top_of_the_cap(make_upstream) -> None:
    """`max_ejection_time_jitter` adds up to itself after the cap."""
    upstream = detecting(
        make_upstream,
        hosts=50,
        consecutive_5xx=1,
        base_ejection_time=10,
        max_ejection_time=10,
        max_ejection_time_jitter=5,
    )
    for host in upstream.hosts:
        feed(upstream, host, 500, now=0.0)
    ends = [host.outlier.ends for host in upstream.hosts]
    assert 10 <= min(ends) < 11
    assert 14 < max(ends) < 15


def test_the_cap_is_never_below_the_base() -> None:
    """`max_ejection_time` unset is 300 s, or the base where that is longer."""
    assert Settings.of(OutlierDetection()).max_ejection_time == 300
    assert Settings.of(OutlierDetection(base_ejection_time=400)).max_ejection_time == 400
    assert Settings.of(OutlierDetection(max_ejection_time=40)).max_ejection_time == 40


def test_ejected_hosts_are_not_picked_and_panic_brings_them_back(make_upstream) -> None:
    """Of four hosts one ejected is left out; with three ejected all are used again (semantics 6.3)."""
    upstream = detecting(make_upstream, hosts=4)
    for count, used in ((1, {2, 3, 4}), (3, {1, 2, 3, 4})):
        for host in upstream.hosts[:count]:
            feed(upstream, host, *[500] * 5)
        assert {upstream.pick(1.0).port for _ in range(20)} == used


def test_a_passing_health_check_ends_the_ejection(make_upstream) -> None:
    """By default the next successful check brings the host back, with its counts at zero."""
    upstream = detecting(make_upstream)
    host = upstream.hosts[0]
    feed(upstream, host, *[500] * 5)
    upstream.uneject(host)
    assert ejected(upstream) == []
    feed(upstream, host, *[500] * 4)
    assert ejected(upstream) == []


def test_a_policy_may_keep_ejections_timed(make_upstream) -> None:
    """`successful_active_health_check_uneject_host: false` ignores health checks."""
    upstream = detecting(make_upstream, successful_active_health_check_uneject_host=False)
    feed(upstream, upstream.hosts[0], *[500] * 5)
    upstream.uneject(upstream.hosts[0])
    assert ejected(upstream) == [1]


def test_split_mode_ejects_who_cannot_be_reached(make_upstream) -> None:
    """Semantics 5: connect failures have a counter of their own, and responses do not touch it."""
    upstream = detecting(make_upstream, split_external_local_origin_errors=True, consecutive_5xx=2)
    feed(upstream, upstream.hosts[0], *[LocalOrigin.CONNECT_FAILURE] * 4, 200)
    assert ejected(upstream) == []
    feed(upstream, upstream.hosts[0], LocalOrigin.CONNECT_FAILURE)
    assert ejected(upstream) == [1]


@pytest.mark.parametrize("failure", [LocalOrigin.RESET, LocalOrigin.TIMEOUT])
def test_in_split_mode_a_connection_is_a_success(make_upstream, failure: LocalOrigin) -> None:
    """Semantics 5: who accepts and then closes or hangs never reaches a threshold above one."""
    upstream = detecting(
        make_upstream, split_external_local_origin_errors=True, consecutive_local_origin_failure=2, consecutive_5xx=2
    )
    feed(upstream, upstream.hosts[0], *[LocalOrigin.CONNECTED, failure] * 20)
    assert ejected(upstream) == []


def rated(upstream: Upstream, rates: list[int], volume: int, now: float) -> None:
    """Give each host `volume` responses, its rate of them good, without five failures in a row."""
    for host, rate in zip(upstream.hosts, rates, strict=True):
        for number in range(volume):
            feed(upstream, host, 200 if number * rate // 100 < (number + 1) * rate // 100 else 500, now=now)


def test_the_success_rate_outlier_is_ejected(make_upstream) -> None:
    """Five hosts with 100 requests each, one at 0 %: below mean - 1.9 deviations, seen at the tick."""
    upstream = detecting(make_upstream, hosts=5, consecutive_5xx=0)
    rated(upstream, [100, 100, 100, 100, 0], 100, 9.0)
    assert ejected(upstream) == []
    upstream.pick(10.0)
    assert ejected(upstream) == [5]


@pytest.mark.parametrize(("hosts", "volume"), [(4, 100), (5, 99)])
def test_the_success_rate_needs_hosts_and_traffic(make_upstream, hosts: int, volume: int) -> None:
    """Fewer than five hosts with 100 requests in the interval are not judged."""
    upstream = detecting(make_upstream, hosts=hosts, consecutive_5xx=0)
    rated(upstream, [*[100] * (hosts - 1), 0], volume, 9.0)
    upstream.pick(10.0)
    assert ejected(upstream) == []


def test_an_interval_counts_alone(make_upstream) -> None:
    """Requests of two intervals are not added up, even when nobody looked at the first tick."""
    upstream = detecting(make_upstream, hosts=5, consecutive_5xx=0)
    rated(upstream, [100, 100, 100, 100, 0], 60, 9.0)
    rated(upstream, [100, 100, 100, 100, 0], 60, 11.0)
    upstream.pick(20.0)
    assert ejected(upstream) == []


def test_the_failure_percentage(make_upstream) -> None:
    """Eject from 85 % failures on, five hosts with 50 requests each, where it is enforced."""
    for enforcing, expected in ((100, [4, 5]), (None, [])):
        upstream = detecting(
            make_upstream,
            hosts=5,
            consecutive_5xx=0,
            enforcing_success_rate=0,
            enforcing_failure_percentage=enforcing,
        )
        rated(upstream, [100, 50, 16, 14, 0], 50, 9.0)
        upstream.pick(10.0)
        assert ejected(upstream) == expected
        assert upstream.outlier.stats["ejections_detected_failure_percentage"] == 2


def test_local_origin_rates_are_judged_apart(make_upstream) -> None:
    """In split mode a host that often cannot be reached stands out by its local-origin success rate."""
    upstream = detecting(
        make_upstream,
        hosts=5,
        consecutive_local_origin_failure=0,
        split_external_local_origin_errors=True,
    )
    for host in upstream.hosts:
        good = LocalOrigin.CONNECTED if host.port < 5 else LocalOrigin.CONNECT_FAILURE
        feed(upstream, host, *[good] * 100, now=9.0)
    upstream.pick(10.0)
    assert ejected(upstream) == [5]


def test_many_missed_ticks_are_as_good_as_each_seen(make_upstream) -> None:
    """A cluster without traffic for hours knows at once what the ticks in between would have done."""
    upstream = detecting(make_upstream, consecutive_5xx=1)
    host = upstream.hosts[0]
    feed(upstream, host, 500, now=1.0)
    upstream.pick(1e6)
    assert (ejected(upstream), host.outlier.multiplier) == ([], 0)
    assert upstream.outlier.next_tick == 1e6 + 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 90), st.booleans()), max_size=25))
def test_lazy_sweeps_equal_a_timer(steps: list[tuple[float, bool]]) -> None:
    """Sweeping only when somebody comes leads to the same ejections as a tick every ten seconds would."""
    lazy, timed = (_single(), _single())
    now, tick = 0.0, 10.0
    for step, failed in steps:
        now += step
        while tick <= now:
            timed.pick(tick)
            tick += 10
        outcome = 500 if failed else 200
        lazy.record(lazy.hosts[0], outcome, now)
        timed.record(timed.hosts[0], outcome, now)
        assert ejected(lazy) == ejected(timed)
        assert lazy.hosts[0].outlier.multiplier == timed.hosts[0].outlier.multiplier


def _single() -> Upstream:
    import random

    from ambassador_lib.policy.model.cluster import Cluster
    from ambassador_lib.upstream.host import HostSpec

    class Still:
        def monotonic(self) -> float:
            return 0.0

    detection = OutlierDetection(consecutive_5xx=2, max_ejection_percent=100, base_ejection_time=15)
    cluster = Cluster(
        name="c",
        outlier_detection=detection,
        common_lb_config=CommonLbConfig(healthy_panic_threshold=Percent(value=0)),
    )
    upstream = Upstream(cluster, clock=Still(), random=random.Random(1))
    upstream.update_hosts([HostSpec("10.0.0.1", 1, "")], 0.0)
    return upstream


def test_a_host_that_is_gone_is_not_ejected(make_upstream) -> None:
    """Failures of a host that left the cluster do not use up the ejections of those that are there."""
    upstream = detecting(make_upstream, hosts=1)
    gone = upstream.hosts[0]
    upstream.update_hosts([], 0.5)
    feed(upstream, gone, *[500] * 9)
    assert not gone.flags


@pytest.mark.parametrize(("code", "status"), [(0, 200), (1, 499), (4, 504), (14, 503), (16, 401), (17, 500), (-1, 500)])
def test_grpc_statuses_count_as_http(code: int, status: int) -> None:
    """Semantics 5: the `grpc-status` header of a gRPC response is mapped first."""
    assert grpc_outcome(code) == status


@pytest.mark.usefixtures("hectic")
def test_every_try_is_counted_from_many_threads(make_upstream) -> None:
    """Successes are counted without the lock that failures take: of neither is one lost."""
    upstream = detecting(make_upstream, consecutive_5xx=1_000_000)
    host, barrier, rounds = upstream.hosts[0], Barrier(16), 2_000

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(rounds):
            upstream.record(host, 500 if (turn + number) % 4 == 0 else 200, 1.0)

    threads = [Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert host.outlier is not None
    assert (host.outlier.total, host.outlier.successes) == (16 * rounds, 12 * rounds)
