"""The policy's own times: real engines over the simulated network; virtual minutes, real milliseconds."""

from __future__ import annotations

import httpx
import pytest

from ambassador_lib import CircuitOpenError, PerTryTimeoutError, RouteTimeoutError, UpstreamConnectError
from ambassador_lib.testing.simulated import SimulatedUpstream
from tests.spec import documents
from tests.spec.documents import bootstrap

from .scene import Scene, report, statuses

RETRIES = {"retry_on": "5xx,connect-failure", "num_retries": 3}


def test_an_outage_of_thirty_seconds(scene: Scene) -> None:
    """While the upstream is down calls fail after their retries; afterwards they do not."""
    document = bootstrap(route={"timeout": "15s", "retry_policy": RETRIES})

    async def scenario(scene: Scene) -> None:
        assert (await scene.get()).text == "payment"
        scene.payment.is_down(for_=30)
        began = scene.time.elapsed
        with pytest.raises(UpstreamConnectError) as failed:
            await scene.get()
        assert len(failed.value.call.attempts) == 4
        assert scene.time.elapsed - began < 0.4  # three back-offs of 25 ms and less than their double and double
        outcomes = []
        while scene.time.elapsed < began + 30:
            outcomes.append(await scene.outcome())
            await scene.sleep(5)
        assert set(outcomes) == {"UpstreamConnectError"}
        assert await scene.outcome() == 200
        assert 30 <= scene.time.elapsed < 37

    scene.play(document, scenario)


def test_the_route_timeout_ends_a_call_that_hangs(scene: Scene) -> None:
    """A hanging upstream costs exactly the route's timeout, and sees that its client has gone."""

    async def scenario(scene: Scene) -> None:
        scene.payment.hangs()
        with pytest.raises(RouteTimeoutError):
            await scene.get()
        assert scene.time.elapsed == pytest.approx(15)
        await scene.sleep(1)
        assert scene.payment.requests[0].gone == pytest.approx(1015)

    scene.play(bootstrap(), scenario)


def test_per_try_timeouts_and_back_off_are_exact(scene: Scene) -> None:
    """Three tries of two seconds, and between them the back-off that the injected dice give."""
    policy = {
        **RETRIES,
        "num_retries": 2,
        "per_try_timeout": "2s",
        "retry_back_off": {"base_interval": "1s", "max_interval": "10s"},
    }

    async def scenario(scene: Scene) -> None:
        scene.payment.hangs()
        with pytest.raises(PerTryTimeoutError) as failed:
            await scene.get()
        first, second, third = failed.value.call.attempts
        assert [first.duration, second.duration, third.duration] == pytest.approx([2, 2, 2])
        waits = [second.started - first.started - 2, third.started - second.started - 2]
        assert 0 <= waits[0] < 1 <= waits[1] + 1 < 4
        assert scene.time.elapsed == pytest.approx(6 + sum(waits))
        arrivals = [seen.arrived for seen in scene.payment.requests]
        assert arrivals == pytest.approx([1000 + each.started for each in (first, second, third)])

    scene.play(bootstrap(route={"timeout": "60s", "retry_policy": policy}), scenario)


def test_an_upstream_that_asks_to_wait_is_waited_for(scene: Scene) -> None:
    """Retry-After moves the retry, where the policy reads it."""
    policy = {
        "retry_on": "5xx",
        "rate_limited_retry_back_off": {"reset_headers": [{"name": "retry-after"}], "max_interval": "60s"},
    }

    async def scenario(scene: Scene) -> None:
        scene.payment.fails(1, status=503, retry_after=20)
        response = await scene.get()
        assert statuses(report(response)) == [503, 200]
        assert 20 <= scene.time.elapsed < 31

    scene.play(bootstrap(route={"timeout": "0s", "retry_policy": policy}), scenario)


def test_a_breaker_opens_and_recovers(scene: Scene) -> None:
    """It opens by its failure rate, refuses for `open_for`, lets one through, and closes when that is good."""
    metadata = documents.breaker(failure_rate="0.5", minimum_requests="4", window="10s", open_for="60s")

    async def scenario(scene: Scene) -> None:
        scene.payment.fails(for_=30)
        assert [await scene.outcome() for _ in range(4)] == [503] * 4
        with pytest.raises(CircuitOpenError):
            await scene.get()
        await scene.sleep(59)
        assert await scene.outcome() == "CircuitOpenError"
        seen = len(scene.payment.requests)
        await scene.sleep(1.1)
        assert await scene.outcome() == 200
        assert await scene.outcome() == 200
        assert len(scene.payment.requests) == seen + 2

    scene.play(bootstrap(cluster={"metadata": metadata}), scenario)


def test_an_ejection_of_five_minutes(scene: Scene) -> None:
    """A host with too many failures in a row is left out for five minutes, and comes back."""
    outlier = {
        "consecutive_5xx": 3,
        "interval": "10s",
        "base_ejection_time": "300s",
        "max_ejection_percent": 50,
        "enforcing_consecutive_5xx": 100,
    }

    async def scenario(scene: Scene) -> None:
        scene.payment.endpoint(0).fails(3)
        for _ in range(8):
            await scene.get()
        assert scene.payment.failures == 3

        async def used() -> set[int]:
            scene.payment.forget()
            for _ in range(6):
                await scene.get()
            return {seen.endpoint for seen in scene.payment.requests}

        assert await used() == {1}
        await scene.sleep(290)
        assert await used() == {1}
        await scene.sleep(25)
        assert await used() == {0, 1}

    scene.play(bootstrap(endpoints=2, cluster={"outlier_detection": outlier}), scenario)


def test_active_health_checks_fail_and_recover(scene: Scene) -> None:
    """Probes go over the simulated network: an endpoint that is down, or unwell, is left out until it is well."""
    check = {
        "timeout": "1s",
        "interval": "60s",
        "no_traffic_interval": "60s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"path": "/healthz"},
    }

    async def scenario(scene: Scene) -> None:
        await scene.ready()
        assert scene.time.elapsed < 1

        async def used() -> set[int]:
            scene.payment.forget()
            for _ in range(6):
                await scene.get()
            return {seen.endpoint for seen in scene.payment.requests}

        assert await used() == {0, 1}
        scene.payment.endpoint(0).is_down(for_=600)
        await scene.sleep(200)
        assert await used() == {1}
        await scene.sleep(600)
        assert await used() == {0, 1}
        scene.payment.endpoint(1).is_healthy(False)
        await scene.sleep(200)
        assert await used() == {0}

    scene.play(
        bootstrap(endpoints=2, cluster={"health_checks": [check], "common_lb_config": {"healthy_panic_threshold": {}}}),
        scenario,
    )


def test_names_are_resolved_again_and_again(scene: Scene) -> None:
    """A STRICT_DNS cluster follows the simulated DNS; while that fails, the last answer stays."""
    address = {"socket_address": {"address": "pay.test", "port_value": 80}}
    named = {
        "type": "STRICT_DNS",
        "dns_refresh_rate": "30s",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }

    async def scenario(scene: Scene) -> None:
        payment = scene.payment

        async def used() -> set[int]:
            payment.forget()
            for _ in range(6):
                await scene.get()
            return {seen.endpoint for seen in payment.requests}

        await scene.ready()
        assert await used() == {0, 1, 2}
        payment.dns.answers(1)
        assert await used() == {0, 1, 2}
        await scene.sleep(31)
        assert await used() == {1}
        payment.dns.fails(for_=100).then.answers(0, 2)
        await scene.sleep(90)
        assert await used() == {1}
        await scene.sleep(60)
        assert await used() == {0, 2}
        payment.dns.has_no_such_name()
        await scene.sleep(31)
        assert await scene.outcome() == "NoHealthyUpstreamError"

    assert scene.payment.addresses[0][1] == 80
    scene.payment.serves("pay.test")
    scene.play(bootstrap(cluster=named), scenario)


def test_names_of_endpoints_that_are_not_there_are_told(scene: Scene) -> None:
    """`dns.answers` of more endpoints than the upstream turns out to have is a misuse, and the others are answered."""
    address = {"socket_address": {"address": "pay.test", "port_value": 80}}
    named = {
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
    small = SimulatedUpstream("small", world=scene.time)
    small.serves("pay.test")
    small.dns.answers(0, 7)

    async def scenario(scene: Scene) -> None:
        assert (await scene.get()).text == "small"

    scene.play(bootstrap(cluster=named), scenario)
    assert small.misuses[0] == "small.dns.answers(0, 7): small has endpoints 0 to 0"


def test_a_first_lookup_that_takes_long_is_waited_for(scene: Scene) -> None:
    """A call waits for the first answer of a name server that says nothing, within its own timeout."""
    address = {"socket_address": {"address": "pay.test", "port_value": 80}}
    named = {
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "1s",
        "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }

    async def scenario(scene: Scene) -> None:
        began = scene.time.elapsed
        assert await scene.outcome() == "NoHealthyUpstreamError"
        assert scene.time.elapsed - began == pytest.approx(15)
        await scene.sleep(3)
        assert await scene.outcome() == 200

    scene.payment.serves("pay.test")
    scene.payment.dns.times_out(1)
    scene.play(bootstrap(cluster=named, route={"timeout": "40s"}), scenario)


def test_rate_limits_refill(scene: Scene) -> None:
    """The bucket of a local rate limit fills with virtual time."""
    limit = {
        "name": "limit",
        "typed_config": {
            "@type": f"{documents.TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "l",
            "token_bucket": {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "30s"},
            "filter_enabled": {"default_value": {"numerator": 100}},
            "filter_enforced": {"default_value": {"numerator": 100}},
        },
    }

    async def scenario(scene: Scene) -> None:
        assert [await scene.outcome() for _ in range(3)] == [200, 200, "RateLimitedError"]
        await scene.sleep(31)
        assert [await scene.outcome() for _ in range(2)] == [200, "RateLimitedError"]

    scene.play(bootstrap(manager={"http_filters": [limit, documents.ROUTER]}), scenario)


def test_a_stream_that_is_idle_too_long_breaks_off(scene: Scene) -> None:
    """`idle_timeout` of the route: pieces may come slowly, but not too slowly."""

    async def scenario(scene: Scene) -> None:
        scene.payment.drips(*[b"x"] * 5, every=4.0)
        assert (await scene.get()).text == "xxxxx"
        assert scene.time.elapsed == pytest.approx(16)
        scene.payment.drips(*[b"x"] * 5, every=6.0)
        with pytest.raises(httpx.HTTPError):
            await scene.get()
        assert scene.time.elapsed == pytest.approx(16 + 5)

    scene.play(bootstrap(route={"timeout": "0s", "idle_timeout": "5s"}), scenario)
