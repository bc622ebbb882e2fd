"""Active health checks: every host of a cluster is probed again and again, and its flags follow (semantics 6.1, 6.2).

Runs as one watch on the control thread. `algorithms/health` counts and times, `probes` asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from ..algorithms.health import CheckResult, CheckRules, HealthState
from ..call import Deadline
from ..engine.base import Engine
from ..engine.transport_sockets import TransportSockets
from ..engine.wire import Network
from ..policy.model.cluster import HealthCheck
from ..runtime.base import Clock, Random
from ..runtime.within import within
from ..upstream.host import HealthFlag, Host
from ..upstream.upstream import Upstream
from .probes import Probe, probe_for

log = logging.getLogger("ambassador_lib.health_check")

DEFAULT_NO_TRAFFIC_INTERVAL = 60.0

MakeProbe = Callable[[HealthCheck, Host], Probe]

RECOVERED = (
    HealthFlag.FAILED_ACTIVE_HC
    | HealthFlag.ACTIVE_HC_TIMEOUT
    | HealthFlag.PENDING_ACTIVE_HC
    | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
)


def rules_of(check: HealthCheck) -> CheckRules:
    """Return the check's thresholds and times, Envoy's defaults filled in."""
    unhealthy = check.interval if check.unhealthy_interval is None else check.unhealthy_interval
    no_traffic = DEFAULT_NO_TRAFFIC_INTERVAL if check.no_traffic_interval is None else check.no_traffic_interval
    healthy_edge, unhealthy_edge = check.healthy_edge_interval, check.unhealthy_edge_interval
    no_traffic_healthy = check.no_traffic_healthy_interval
    return CheckRules(
        interval=check.interval,
        healthy_threshold=check.healthy_threshold,
        unhealthy_threshold=check.unhealthy_threshold,
        no_traffic_interval=no_traffic,
        no_traffic_healthy_interval=no_traffic if no_traffic_healthy is None else no_traffic_healthy,
        unhealthy_interval=unhealthy,
        unhealthy_edge_interval=unhealthy if unhealthy_edge is None else unhealthy_edge,
        healthy_edge_interval=check.interval if healthy_edge is None else healthy_edge,
        initial_jitter=check.initial_jitter or 0.0,
        interval_jitter=check.interval_jitter or 0.0,
        interval_jitter_percent=check.interval_jitter_percent,
    )


class CheckedHost:
    """One host and what each of the cluster's health checks thinks of it; it must pass all."""

    def __init__(self, upstream: Upstream, host: Host, rules: list[CheckRules]) -> None:
        self.host = host
        self._upstream = upstream
        failed = HealthFlag.FAILED_ACTIVE_HC in host.flags
        self._states = [HealthState(rule, failed=failed) for rule in rules]

    @property
    def checked(self) -> bool:
        """Whether every check had its first result."""
        return all(state.checked for state in self._states)

    def record(self, index: int, result: CheckResult, random: Random) -> float:
        """Take the result of check `index` and return the wait before its next one."""
        self._notice_failure_from_elsewhere()
        state = self._states[index]
        transition = state.record(result)
        self._publish()
        if result is CheckResult.EXCLUDED:
            self._upstream.set_flag(self.host, HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, True)
        if result.passed and not self._failed:
            self._upstream.uneject(self.host)
        return state.rules.delay(
            transition, passed=result.passed, traffic_seen=self._upstream.traffic_seen, random=random.random
        )

    def fail(self) -> None:
        """Take in what the host itself has said in traffic: it begins anew to prove its health.

        Its flags are set again, since a check may have passed between their being set and this.
        """
        for state in self._states:
            state.fail()
        flags = HealthFlag.FAILED_ACTIVE_HC | HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL
        self._upstream.set_flag(self.host, flags, True)

    @property
    def _failed(self) -> bool:
        return any(state.failed for state in self._states)

    def _notice_failure_from_elsewhere(self) -> None:
        if HealthFlag.FAILED_ACTIVE_HC in self.host.flags and not self._failed:
            for state in self._states:
                state.fail()

    def _publish(self) -> None:
        host, set_flag = self.host, self._upstream.set_flag
        degraded = any(state.degraded for state in self._states)
        set_flag(host, HealthFlag.DEGRADED_ACTIVE_HC, degraded)
        if not self._failed:
            set_flag(host, RECOVERED, False)
            return
        # Failed comes before what lifts an exclusion, or the host would look healthy in between.
        set_flag(host, HealthFlag.FAILED_ACTIVE_HC, True)
        set_flag(host, HealthFlag.ACTIVE_HC_TIMEOUT, any(state.timed_out for state in self._states))
        if self.checked:
            set_flag(host, HealthFlag.PENDING_ACTIVE_HC, False)


class HealthChecker:
    """Checks the hosts of one cluster, new ones as soon as discovery finds them."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        clock: Clock,
        random: Random,
        sockets: TransportSockets | None = None,
        network: Callable[[], Network] | None = None,
    ) -> None:
        self.on_checked: Callable[[], None] = _nobody
        """Called after every check."""
        self._upstream = upstream
        self._clock = clock
        self._random = random
        self._checks = upstream.cluster.health_checks
        self._rules = [rules_of(check) for check in self._checks]
        self._make_probe = _probes_of(upstream, clock, sockets or TransportSockets.of(upstream.cluster), network)
        self._hosts: dict[Host, CheckedHost] = {}
        self._wake: Callable[[], None] = _nobody
        self._tell: Callable[[Callable[[], None]], None] = _nobody_listens
        upstream.on_membership(self._on_membership)
        upstream.on_immediate_failure(self._on_immediate_failure)

    @property
    def all_checked(self) -> bool:
        """Whether every host of the cluster that is checked at all had its first round."""
        return all(
            host in self._hosts and self._hosts[host].checked
            for host in self._upstream.hosts
            if host.spec.actively_checked
        )

    def _on_membership(self) -> None:
        self._wake()

    def _on_immediate_failure(self, host: Host) -> None:
        def fail() -> None:
            checked = self._hosts.get(host)
            if checked is not None:
                checked.fail()

        self._tell(fail)

    async def run(self) -> None:
        """Check until cancelled."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        running: dict[Host, list[asyncio.Task[None]]] = {}
        self._hosts.clear()

        def tell(what: Callable[[], None]) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(what)

        self._tell = tell
        self._wake = lambda: tell(changed.set)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    changed.clear()
                    self._follow(group, running)
                    await changed.wait()
        finally:
            self._wake = _nobody
            self._tell = _nobody_listens

    def _follow(self, group: asyncio.TaskGroup, running: dict[Host, list[asyncio.Task[None]]]) -> None:
        """Begin with hosts that came, stop with those that went."""
        wanted = [host for host in self._upstream.hosts if host.spec.actively_checked]
        for host in running.keys() - set(wanted):
            del self._hosts[host]
            for task in running.pop(host):
                task.cancel()
        for host in wanted:
            if host not in running:
                checked = self._hosts[host] = CheckedHost(self._upstream, host, self._rules)
                running[host] = [
                    group.create_task(self._watch(checked, index), name=f"{host.key} check {index}")
                    for index in range(len(self._checks))
                ]
        self.on_checked()  # a host that went may have been the last one awaited

    async def _watch(self, checked: CheckedHost, index: int) -> None:
        probe = self._make_probe(self._checks[index], checked.host)
        delay = self._rules[index].first_delay(self._random.random)
        try:
            while True:
                if delay > 0:
                    await self._clock.sleep_async(delay)
                result = await self._check(probe, self._checks[index], checked.host)
                delay = checked.record(index, result, self._random)
                self.on_checked()
        finally:
            await probe.close()

    async def _check(self, probe: Probe, check: HealthCheck, host: Host) -> CheckResult:
        deadline = Deadline(self._clock.monotonic() + check.timeout)
        try:
            result = await within(self._clock, check.timeout, probe.check(deadline))
        except TimeoutError:
            result = CheckResult.TIMED_OUT
        except Exception:
            log.exception("cluster %s: the health check of %s broke", self._upstream.name, host.key)
            result = CheckResult.UNREACHABLE
        if not result.passed:
            log.debug("cluster %s: health check of %s: %s", self._upstream.name, host.key, result.value)
        if result is CheckResult.TIMED_OUT and not probe.outlives_timeouts:
            await probe.close()
        return result


class _LoopParts:
    """Connections on the control thread's loop."""

    def __init__(self, clock: Clock, network: Callable[[], Network] | None) -> None:
        self._clock = clock
        self._network = network

    def engine(self) -> Engine:
        from ..engine.pooled import AsyncPooledEngine

        return AsyncPooledEngine(self._clock, network=None if self._network is None else self._network())

    def network(self) -> Network:
        if self._network is not None:
            return self._network()
        from ..engine.loop import LoopNetwork

        return LoopNetwork(self._clock.monotonic)


def _probes_of(
    upstream: Upstream,
    clock: Clock,
    sockets: TransportSockets,
    network: Callable[[], Network] | None = None,
) -> MakeProbe:
    cluster = upstream.cluster
    parts = _LoopParts(clock, network)
    own = {
        id(check): sockets.for_health_checks(check.tls_options.alpn_protocols if check.tls_options is not None else ())
        for check in cluster.health_checks
    }

    def make(check: HealthCheck, host: Host) -> Probe:
        criteria = check.transport_socket_match_criteria
        chooser = own[id(check)]
        tls = chooser.choose(host.metadata) if criteria is None else chooser.choose_by(criteria)
        return probe_for(check, host, cluster, tls, parts)

    return make


def _nobody() -> None:
    """Nobody listens yet."""


def _nobody_listens(_what: Callable[[], None]) -> None:
    """As `_nobody`."""
