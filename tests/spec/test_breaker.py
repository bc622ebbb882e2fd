"""The cluster's breaker (contract, Policy): closed, open and half-open by error rate, through the public transports."""

from __future__ import annotations

import gc
import threading
from typing import Any

import anyio
import httpx
import pybreaker
import pytest

from ambassador_lib import (
    AmbassadorTransport,
    AsyncAmbassadorTransport,
    CircuitOpenError,
    PerTryTimeoutError,
    RouteTimeoutError,
    UpstreamOverflowError,
)
from ambassador_lib.testing.clock import FakeClock, FakeRandom

from .documents import bootstrap, breaker, cluster, listener, policy, vhost
from .harness import Hang, Script, Spec, Step, told

REFUSED = httpx.ConnectError("refused")


def broken(route: Any = None, **fields: Any) -> Any:
    """Return a policy whose breaker opens at 50 % of 4 requests and stays open for 5 s."""
    settings = {"minimum_requests": 4, "open_for": "5s", **fields}
    return bootstrap(route=route, cluster={"metadata": breaker(**settings)})


def state(spec: Spec) -> str:
    return str(spec.cluster.breaker.state)


def outcomes(spec: Spec, count: int) -> list[Any]:
    """Make calls and return statuses, or the exceptions' classes."""
    seen: list[Any] = []
    for _ in range(count):
        try:
            seen.append(spec.get().status_code)
        except httpx.HTTPError as error:
            seen.append(type(error))
    return seen


def test_only_a_cluster_that_asks_for_one_has_a_breaker(spec: Spec) -> None:
    """Envoy has none: without the metadata nothing ever opens."""
    spec.given(bootstrap(), 500)
    assert [500] * 30 == outcomes(spec, 30)
    assert spec.cluster.breaker is None


def test_the_whole_cycle(spec: Spec) -> None:
    """Open at the error rate, refuse, probe when the time is up, open again on a failure, close on a success."""
    spec.given(broken(), 200, 200, 500, 503, 500, 200)
    assert [200, 200, 500, 503, CircuitOpenError] == outcomes(spec, 5)
    assert 4 == len(spec.upstream.seen)
    spec.clock.advance(4.9)
    assert [CircuitOpenError] == outcomes(spec, 1)
    spec.clock.advance(0.1)
    assert [500, CircuitOpenError] == outcomes(spec, 2)
    spec.clock.advance(5)
    assert [200, 200] == outcomes(spec, 2)
    assert "closed" == state(spec)
    spec.assert_nothing_held()


def test_the_defaults(spec: Spec) -> None:
    """50 % of at least 20 requests in 10 s open it for 30 s."""
    spec.given(bootstrap(cluster={"metadata": breaker()}), *[200] * 10, *[500] * 9, 500, 200)
    assert CircuitOpenError not in outcomes(spec, 19)
    assert "closed" == state(spec)
    assert [500, CircuitOpenError] == outcomes(spec, 2)
    spec.clock.advance(29.9)
    assert [CircuitOpenError] == outcomes(spec, 1)
    spec.clock.advance(0.2)
    assert [200] == outcomes(spec, 1)


def test_numbers_may_come_as_strings(spec: Spec) -> None:
    """Envoy's YAML reader makes strings of floats in metadata; durations are written as Envoy writes them."""
    settings = {"failure_rate": "0.75", "minimum_requests": "4", "window": "1.5s", "open_for": "2s"}
    spec.given(broken(**settings, half_open_requests="1", success_threshold="2"), 200, 500, 500, 200, *[500] * 4, 200)
    assert [200, 500, 500, 200] == outcomes(spec, 4)  # 50 % is below the rate
    spec.clock.advance(2)
    assert [500, 500, 500, 500, CircuitOpenError] == outcomes(spec, 5)
    spec.clock.advance(2)
    assert [200, 200] == outcomes(spec, 2)
    assert "closed" == state(spec)


def test_the_window_slides(spec: Spec) -> None:
    """What is older than the window no longer counts."""
    spec.given(broken(window="10s"), 500)
    for _ in range(6):
        assert [500, 500] == outcomes(spec, 2)
        spec.clock.advance(11)
    assert [500, 500, 500, 500, CircuitOpenError] == outcomes(spec, 5)


def test_several_probes_have_to_succeed(spec: Spec) -> None:
    """`success_threshold` successes close it."""
    spec.given(broken(success_threshold=2), *[500] * 4, 200)
    outcomes(spec, 4)
    spec.clock.advance(5)
    assert [200] == outcomes(spec, 1)
    assert "half-open" == state(spec)
    assert [200] == outcomes(spec, 1)
    assert "closed" == state(spec)


@pytest.mark.parametrize(
    ("step", "route", "error"),
    [
        (REFUSED, {}, httpx.ConnectError),
        (httpx.ReadError("reset"), {}, httpx.RemoteProtocolError),
        (Hang(2), {"timeout": "1s"}, RouteTimeoutError),
        (Hang(2), {"retry_policy": {"per_try_timeout": "1s"}}, PerTryTimeoutError),
    ],
)
def test_what_counts_as_a_failure(spec: Spec, step: Step, route: Any, error: type[Exception]) -> None:
    """Failures to connect, resets and the policy's timeouts open it as 5xx do."""
    spec.given(broken(route, minimum_requests=2), step)
    for _ in range(2):
        with pytest.raises(error):
            spec.get()
    with pytest.raises(CircuitOpenError):
        spec.get()


def test_what_does_not_count(spec: Spec) -> None:
    """4xx are answers; the application's own timeouts and our own limits say nothing of the upstream."""
    spec.given(broken(minimum_requests=2), 404, 429, Hang(3))
    assert [404, 429] == outcomes(spec, 2)
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            spec.get(timeout=1)
    assert "closed" == state(spec)
    full = bootstrap(
        cluster={"metadata": breaker(minimum_requests=1), "circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    )
    assert [UpstreamOverflowError] * 3 == outcomes(spec.given(full, 200), 3)
    assert "closed" == state(spec)


def test_an_open_breaker_is_not_retried(spec: Spec) -> None:
    """A refusal by the breaker ends the call: there is nothing to wait for within it."""
    retry = {"retry_policy": {"retry_on": "5xx,connect-failure", "num_retries": 5}}
    spec.given(broken(retry, minimum_requests=2), 500)
    with pytest.raises(CircuitOpenError) as caught:
        spec.get()
    assert [500, 500] == [attempt.outcome for attempt in told(caught.value).attempts]


def test_breakers_are_per_cluster(spec: Spec) -> None:
    """One that is open says nothing about another cluster."""
    clusters = [cluster(metadata=breaker(minimum_requests=1)), cluster("d", metadata=breaker(minimum_requests=1))]
    hosts = [vhost("d.test", to="d"), vhost()]
    spec.given(policy(listener(*hosts), clusters=clusters), 500, 200)
    assert [500, CircuitOpenError] == outcomes(spec, 2)
    assert 200 == spec.get(headers={"host": "d.test"}).status_code


# --- listeners and storages ------------------------------------------------------------------------------------------


class Listener(pybreaker.CircuitBreakerListener):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self.heard.append("call")

    def failure(self, cb: Any, exc: BaseException) -> None:
        self.heard.append(type(exc).__name__)

    def success(self, cb: Any) -> None:
        self.heard.append("success")

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self.heard.append(f"{cb.name}: {old_state.name} -> {new_state.name}")


def test_listeners_are_told(spec: Spec) -> None:
    """Calls, failures, successes and changes of state reach pybreaker's listeners, in their order."""
    listener = Listener()
    spec.given(broken(minimum_requests=2), REFUSED, 500, 200, breaker_listeners=[listener])
    outcomes(spec, 3)
    spec.clock.advance(5)
    outcomes(spec, 1)
    assert [
        "call", "UpstreamConnectError", "call", "HTTPStatusError", "c: closed -> open",
        "c: open -> half-open", "call", "success", "c: half-open -> closed",
    ] == listener.heard  # fmt: skip


def test_a_listener_that_raises_changes_nothing(spec: Spec, caplog: pytest.LogCaptureFixture) -> None:
    """Its mistake is logged, the call goes on, the breaker opens all the same."""

    class Broken(Listener):
        def failure(self, cb: Any, exc: BaseException) -> None:
            raise ZeroDivisionError

    spec.given(broken(minimum_requests=2), 500, breaker_listeners=[Broken()])
    assert [500, 500, CircuitOpenError] == outcomes(spec, 3)
    assert "a breaker listener failed" in caplog.text


class StillClock(FakeClock):
    """A clock that a sleeping control thread does not move: the case says when it looks."""

    async def sleep_async(self, seconds: float) -> None:
        await anyio.sleep_forever()


def test_the_storage_is_asked_for_by_name_and_shared(spec: Spec) -> None:
    """Each breaker gets its storage; what one process opens another takes over when it next looks."""
    spec.clock = StillClock()
    shared: dict[str, pybreaker.CircuitMemoryStorage] = {}

    def storage(name: str) -> pybreaker.CircuitMemoryStorage:
        return shared.setdefault(name, pybreaker.CircuitMemoryStorage("closed"))

    spec.given(broken(minimum_requests=2), 500, breaker_storage=storage)
    ours, one = spec.cluster.breaker, spec.transport
    assert ["c"] == list(shared)
    assert [500, 500, CircuitOpenError] == outcomes(spec, 3)
    ours.sync_storage(spec.clock.monotonic())  # what the control thread does every second
    assert "open" == shared["c"].state
    spec.given(broken(minimum_requests=2), 200, breaker_storage=storage)
    spec.cluster.breaker.sync_storage(spec.clock.monotonic())
    assert [CircuitOpenError] == outcomes(spec, 1)
    spec.clock.advance(5)
    assert [200] == outcomes(spec, 1)
    spec.close_transport()
    spec.transport = one
    spec.close_transport()


@pytest.mark.parametrize("kind", [AmbassadorTransport, AsyncAmbassadorTransport])
def test_a_dropped_transport_no_longer_looks_at_its_storage(kind: Any) -> None:
    """What watches a shared storage ends with a transport that nobody closed, and with it the control thread."""
    clock = StillClock()
    options = {"inner": Script(clock), "clock": clock, "random": FakeRandom()}
    transport = kind(broken(), breaker_storage=lambda _name: pybreaker.CircuitMemoryStorage("closed"), **options)
    # One that an earlier case has closed may be about to end.
    controls = [thread for thread in threading.enumerate() if thread.name == "ambassador_lib-control"]
    assert controls
    del transport
    gc.collect()
    for control in controls:
        control.join(10)
    assert not any(control.is_alive() for control in controls)
