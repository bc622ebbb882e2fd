"""Limits beside a model of an engine's pool, under any order of events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from ambassador_lib.policy.model.cluster import CircuitBreakers
from ambassador_lib.upstream.limits import Grant, HostLimits, Limits, Verdict

HOSTS = "ab"


class Ticket:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class Taken:
    """What a request holds that has taken a connection without a grant."""

    ticket = None

    def __init__(self, host: HostLimits) -> None:
        self.host = host
        self.verdict = Verdict.GO

    def release(self) -> None:
        if self.verdict is Verdict.GO:
            self.verdict = Verdict.ENDED
            self.host.release()

    def connect_failed(self, _error: Exception) -> None:
        self.release()


class LimitsMachine(RuleBasedStateMachine):
    """`idle` is what really lies in the pool; `dialled` are requests whose connection is there but not yet in hand."""

    grants = Bundle("grants")

    @initialize(
        connections=st.integers(0, 4), pending=st.integers(0, 5), requests=st.integers(0, 5), multiplexed=st.booleans()
    )
    def begin(self, connections: int, pending: int, requests: int, multiplexed: bool) -> None:
        self.multiplexed = multiplexed
        self.limits = Limits(
            CircuitBreakers.Thresholds(max_connections=connections, max_pending_requests=pending, max_requests=requests)
        )
        self.live: list[Grant | Taken] = []
        self.holding: set[Grant | Taken] = set()
        self.dialled: set[Grant] = set()
        self.orphans = False  # a connection whose request left before it had it in hand: whose it is, nobody knows
        self.idle = dict.fromkeys(HOSTS, 0)
        self.open = dict.fromkeys(HOSTS, 0)

    @rule(target=grants, key=st.sampled_from(HOSTS))
    def admit(self, key: str):
        host = self.limits.host(key)
        grant = self.limits.admit(host, multiplexed=self.multiplexed, accounts=True, ticket_factory=Ticket)
        self.live.append(grant)
        self.take_connections()
        return grant

    @rule(target=grants, key=st.sampled_from(HOSTS))
    def take(self, key: str):
        """A connection may be taken without a grant wherever `admit` would give one that says GO, and nowhere else."""
        host = self.limits.host(key)
        usable = host.open > host.reserved if self.multiplexed else host.idle > 0
        fits = usable and self.limits.active < self.limits.max_requests
        assert host.take(multiplexed=self.multiplexed) == fits
        if not fits:
            return multiple()
        self.live.append(Taken(host))
        self.take_connections()
        return self.live[-1]

    @rule(grant=grants)
    def dial(self, grant: Grant) -> None:
        if grant.verdict is Verdict.CONNECT and grant not in self.dialled:
            self.dialled.add(grant)
            self.open[grant.host.key] += 1
            grant.host.opened()
            self.take_connections()

    @rule(grant=grants)
    def connected(self, grant: Grant) -> None:
        if grant in self.dialled:
            self.dialled.remove(grant)
            if self.multiplexed or not grant.connected():
                self.idle[grant.host.key] += not self.multiplexed
            else:
                self.holding.add(grant)
            if self.multiplexed:
                grant.connected()
            self.take_connections()

    @rule(target=grants, grant=consumes(grants), keep=st.booleans(), fail=st.booleans())
    def end(self, grant: Grant, keep: bool, fail: bool):
        """The request ends, whatever it was doing: its body is over, it failed or was cancelled."""
        if grant in self.live:
            self.live.remove(grant)
            key = grant.host.key
            if grant in self.holding or grant in self.dialled:
                self.orphans |= grant in self.dialled
                self.holding.discard(grant)
                self.dialled.discard(grant)
                self.lose_or_keep(key, keep)
            if fail:
                grant.connect_failed(OSError())
            grant.release()
            self.take_connections()
        return multiple()

    @rule(key=st.sampled_from(HOSTS))
    def close_idle(self, key: str) -> None:
        if self.idle[key] or (self.multiplexed and self.open[key]):
            self.idle[key] -= not self.multiplexed
            self.orphans |= self.multiplexed and bool(self.dialled)
            self.open[key] -= 1
            self.limits.host(key).closed()
            self.take_connections()

    def lose_or_keep(self, key: str, keep: bool) -> None:
        if self.multiplexed:
            return
        if keep:
            self.idle[key] += 1
        else:
            self.open[key] -= 1
            self.limits.host(key).closed()

    def take_connections(self) -> None:
        """Everybody who was told to go finds an idle connection."""
        for grant in self.live:
            if grant.verdict is Verdict.GO and grant not in self.holding and not self.multiplexed:
                assert self.idle[grant.host.key] > 0, f"{grant} was promised a connection"
                self.idle[grant.host.key] -= 1
                self.holding.add(grant)

    @invariant()
    def counts_are_those_of_the_grants(self) -> None:
        if hasattr(self, "limits"):
            limits, verdicts = self.limits, [grant.verdict for grant in self.live]
            assert limits.active == verdicts.count(Verdict.GO) <= limits.max_requests
            waiting = verdicts.count(Verdict.WAIT) + verdicts.count(Verdict.CONNECT)
            assert limits.pending == waiting <= limits.max_pending_requests
            for key in HOSTS:
                assert limits.host(key).open == self.open[key]
            assert limits.connections == sum(limits.host(key).connections for key in HOSTS)
            if not self.orphans:
                dialling = [g for g in self.live if g.verdict is Verdict.CONNECT and g not in self.dialled]
                assert limits.connections == sum(self.open.values()) + len(dialling)
            assert limits.connections <= max(limits.max_connections, len(HOSTS)) + len(HOSTS)

    @invariant()
    def tickets_are_woken_once_and_only_with_a_verdict(self) -> None:
        for grant in getattr(self, "live", ()):
            if grant.ticket is not None:
                assert grant.ticket.woken == (grant.verdict is not Verdict.WAIT)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        for grant in getattr(self, "live", ()):
            if grant.verdict is Verdict.WAIT:
                host = grant.host
                assert host.connections > 0
                assert host.open <= host.reserved if self.multiplexed else host.idle <= 0
                assert self.multiplexed or self.limits.connections >= self.limits.max_connections

    def teardown(self) -> None:
        for grant in list(getattr(self, "live", ())):
            self.end(grant=grant, keep=True, fail=False)
        if hasattr(self, "limits"):
            hosts = [self.limits.host(key) for key in HOSTS]
            assert (self.limits.active, self.limits.pending) == (0, 0)
            assert [(host.busy, host.connecting, host.reserved) for host in hosts] == [(0, 0, 0)] * 2
            assert self.limits.connections == sum(self.open.values())


TestLimits = LimitsMachine.TestCase
TestLimits.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
