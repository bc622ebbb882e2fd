from __future__ import annotations

import gc
import random
import time
from threading import Barrier, Event, Thread

import pytest

from ambassador_lib.policy.model.cluster import CircuitBreakers, Cluster
from ambassador_lib.policy.model.core import Percent
from ambassador_lib.upstream.limits import Grant, Limits, Verdict

Thresholds = CircuitBreakers.Thresholds


class Woken:
    """A ticket that only remembers."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    async def wait(self, deadline: object) -> bool:
        raise AssertionError("limits never wait")


class Cluster1:
    """Limits and what an engine does with one host of theirs."""

    def __init__(self, *, multiplexed: bool = False, accounts: bool = True, **thresholds: int) -> None:
        self.limits = Limits(Thresholds(**thresholds))
        self.multiplexed = multiplexed
        self.accounts = accounts

    def admit(self, key: str = "a") -> Grant:
        return self.limits.admit(
            self.limits.host(key), multiplexed=self.multiplexed, accounts=self.accounts, ticket_factory=Woken
        )

    def connect(self, grant: Grant) -> bool:
        assert grant.verdict is Verdict.CONNECT
        grant.host.opened()
        return grant.connected()

    def verdicts(self, count: int) -> list[Verdict]:
        return [self.admit().verdict for _ in range(count)]


def test_a_request_connects_then_goes_and_leaves_an_idle_connection() -> None:
    """Connecting is pending, connected is active, and after the body the connection serves the next."""
    cluster = Cluster1()
    first = cluster.admit()
    assert (first.verdict, cluster.limits.pending, cluster.limits.active) == (Verdict.CONNECT, 1, 0)
    assert cluster.connect(first)
    assert (first.verdict, cluster.limits.pending, cluster.limits.active) == (Verdict.GO, 0, 1)
    first.release()
    first.release()
    assert (cluster.limits.active, cluster.limits.connections) == (0, 1)
    assert cluster.admit().verdict is Verdict.GO


def test_max_connections_queues() -> None:
    """Semantics 4: a full `max_connections` is no error; the request waits, first come first served."""
    cluster = Cluster1(max_connections=1)
    first = cluster.admit()
    cluster.connect(first)
    second, third = cluster.admit(), cluster.admit()
    assert (second.verdict, third.verdict) == (Verdict.WAIT, Verdict.WAIT)
    first.release()
    assert (second.verdict, second.ticket.woken, third.verdict) == (Verdict.GO, 1, Verdict.WAIT)
    second.host.closed()
    second.release()
    assert (third.verdict, third.ticket.woken) == (Verdict.CONNECT, 1)


def test_one_connection_and_one_waiting() -> None:
    """`max_connections` 1, `max_pending_requests` 1: of four one runs, one waits, two are too many."""
    cluster = Cluster1(max_connections=1, max_pending_requests=1)
    cluster.connect(cluster.admit())
    assert cluster.verdicts(3) == [Verdict.WAIT, Verdict.PENDING_OVERFLOW, Verdict.PENDING_OVERFLOW]


def test_connecting_counts_as_pending() -> None:
    """While the first request connects it is the one pending request."""
    cluster = Cluster1(max_pending_requests=1)
    first = cluster.admit()
    assert cluster.admit().verdict is Verdict.PENDING_OVERFLOW
    cluster.connect(first)
    assert cluster.admit().verdict is Verdict.CONNECT


def test_nothing_pending_means_idle_connections_only() -> None:
    """`max_pending_requests: 0`: a cold cluster serves nothing."""
    cluster = Cluster1(max_pending_requests=0)
    assert cluster.admit().verdict is Verdict.PENDING_OVERFLOW
    cluster.limits.host("a").opened()
    assert cluster.admit().verdict is Verdict.GO


def test_every_host_may_have_one_connection() -> None:
    """`max_connections: 0` behaves like one connection a host."""
    cluster = Cluster1(max_connections=0)
    assert [cluster.admit(key).verdict for key in "aabb"] == [
        Verdict.CONNECT,
        Verdict.WAIT,
        Verdict.CONNECT,
        Verdict.WAIT,
    ]


def test_the_connection_limit_is_over_all_hosts() -> None:
    """A connection that closes at one host makes room for who waits at another."""
    cluster = Cluster1(max_connections=2)
    first, second = cluster.admit("a"), cluster.admit("b")
    cluster.connect(first)
    cluster.connect(second)
    waiting = cluster.admit("b")
    first.host.closed()
    assert waiting.verdict is Verdict.CONNECT


def test_max_requests_limits_active_requests_of_http1() -> None:
    """Semantics 4: the connection is opened, and then found to be one request too many; it stays for others."""
    cluster = Cluster1(max_requests=1)
    first, second = cluster.admit(), cluster.admit()
    assert cluster.connect(first)
    assert not cluster.connect(second)
    assert second.refused
    assert (cluster.limits.active, cluster.limits.pending, second.host.idle) == (1, 0, 1)
    assert cluster.admit().verdict is Verdict.REQUESTS_OVERFLOW
    first.release()
    assert cluster.admit().verdict is Verdict.GO


def test_http2_shares_its_connection() -> None:
    """While the first connection is made the others wait, then all go; later ones go at once."""
    cluster = Cluster1(multiplexed=True, max_connections=1)
    first, *others = (cluster.admit() for _ in range(4))
    assert {grant.verdict for grant in others} == {Verdict.WAIT}
    cluster.connect(first)
    assert {grant.verdict for grant in others} == {Verdict.GO}
    assert cluster.admit().verdict is Verdict.GO
    assert cluster.limits.connections == 1


def test_http2_streams_are_limited_by_max_requests() -> None:
    """Of three waiting streams only as many go as `max_requests` allows; the others are too many."""
    cluster = Cluster1(multiplexed=True, max_requests=2)
    grants = [cluster.admit() for _ in range(3)]
    cluster.connect(grants[0])
    assert [grant.verdict for grant in grants] == [Verdict.GO, Verdict.GO, Verdict.REQUESTS_OVERFLOW]


def test_foreign_engines_know_requests_only() -> None:
    """Without accounts of connections only `max_requests` applies."""
    cluster = Cluster1(accounts=False, max_requests=2, max_connections=0, max_pending_requests=0)
    first = cluster.admit()
    assert first.connected()
    assert cluster.verdicts(2) == [Verdict.GO, Verdict.REQUESTS_OVERFLOW]
    first.release()
    assert cluster.admit().verdict is Verdict.GO


def test_who_stops_waiting_leaves_the_queue() -> None:
    """A cancelled waiter is neither woken nor in the way."""
    cluster = Cluster1(max_connections=1)
    first = cluster.admit()
    cluster.connect(first)
    second, third = cluster.admit(), cluster.admit()
    second.release()
    first.release()
    assert (second.ticket.woken, third.verdict, cluster.limits.pending) == (0, Verdict.GO, 0)


def test_a_wake_of_somebody_who_left_is_passed_on() -> None:
    """A waiter that was woken and is cancelled before it runs gives its place to the next."""
    cluster = Cluster1(max_connections=1)
    first = cluster.admit()
    cluster.connect(first)
    second, third = cluster.admit(), cluster.admit()
    first.release()
    assert second.ticket.woken == 1
    second.release()
    assert (third.verdict, third.ticket.woken) == (Verdict.GO, 1)


def test_a_connect_that_is_cancelled_makes_room() -> None:
    """A request cancelled while it connects leaves the connecting to the next waiter."""
    cluster = Cluster1(max_connections=1)
    first, second = cluster.admit(), cluster.admit()
    first.release()
    assert second.verdict is Verdict.CONNECT


def test_a_connection_of_somebody_who_left_is_not_lost() -> None:
    """Opened for a request that was cancelled meanwhile, a connection serves the next."""
    cluster = Cluster1(max_connections=1)
    first, second = cluster.admit(), cluster.admit()
    first.host.opened()
    first.release()
    assert second.verdict is Verdict.GO


def test_a_new_connection_belongs_to_who_asked_for_it() -> None:
    """Between `opened` and `connected` nobody else may take the connection for idle."""
    cluster = Cluster1()
    first = cluster.admit()
    first.host.opened()
    assert cluster.admit().verdict is Verdict.CONNECT
    assert first.connected()


def test_a_failed_connect_fails_all_that_wait_for_one() -> None:
    """Semantics 4: a connection failure fails the pending requests of that host, and of no other."""
    cluster = Cluster1(max_connections=2)
    first, elsewhere = cluster.admit(), cluster.admit("b")
    waiting, waiting_elsewhere = cluster.admit(), cluster.admit("b")
    error = OSError("refused")
    first.connect_failed(error)
    first.release()
    assert (waiting.verdict, waiting.failure, waiting.ticket.woken) == (Verdict.FAILED, error, 1)
    assert elsewhere.verdict is Verdict.CONNECT
    assert waiting_elsewhere.verdict is Verdict.CONNECT
    waiting.release()
    assert cluster.limits.pending == 2


def test_nothing_happens_after_the_release() -> None:
    """A late `connected` of a released grant counts nothing."""
    cluster = Cluster1()
    grant = cluster.admit()
    grant.release()
    assert not grant.connected()
    grant.connect_failed(OSError())
    assert (cluster.limits.active, cluster.limits.pending, cluster.limits.connections) == (0, 0, 0)


def test_retries_are_limited_at_a_time() -> None:
    """Semantics 3.5: three retries unless set, and a place is free again once given back, once."""
    limits = Limits()
    places = [limits.try_retry() for _ in range(4)]
    assert [place is None for place in places] == [False, False, False, True]
    places[0]()
    places[0]()
    assert limits.retries == 2
    assert limits.try_retry() is not None
    assert limits.try_retry() is None


@pytest.mark.parametrize(("others", "allowed"), [(0, 0), (1, 1), (3, 2), (9, 5), (20, 10)])
def test_a_retry_budget_counts_requests(others: int, allowed: int) -> None:
    """Semantics 3.5: half of what is active and pending, the failed request included; `max_retries` is ignored."""
    budget = Thresholds.RetryBudget(budget_percent=Percent(value=50), min_retry_concurrency=0)
    limits = Limits(Thresholds(retry_budget=budget, max_retries=0))
    for number in range(others + 1):
        accounts = number % 2 == 0
        limits.admit(limits.host("a"), multiplexed=False, accounts=accounts, ticket_factory=Woken)
    taken = 0
    while limits.try_retry() is not None:
        taken += 1
    assert taken == allowed


def test_limits_belong_to_a_priority() -> None:
    """The first threshold of a priority counts; a priority without one has Envoy's defaults."""
    thresholds = (Thresholds(max_requests=1), Thresholds(max_requests=2))
    limits = Limits.of(Cluster(name="c", circuit_breakers=CircuitBreakers(thresholds=thresholds)))
    assert (limits["DEFAULT"].max_requests, limits["HIGH"].max_requests) == (1, 1024)
    assert (limits["HIGH"].max_connections, limits["HIGH"].max_pending_requests, limits["HIGH"].max_retries) == (
        1024,
        1024,
        3,
    )


def test_giving_back_inside_a_locked_section_of_the_same_thread_is_safe() -> None:
    """The garbage collector may end a request while its own thread holds the lock: nothing blocks, or is lost."""
    cluster = Cluster1(max_connections=1)
    first = cluster.admit()
    cluster.connect(first)

    def ticket() -> Woken:  # called under the lock
        first.release()
        return Woken()

    second = cluster.limits.admit(first.host, multiplexed=False, accounts=True, ticket_factory=ticket)
    assert (second.verdict, second.ticket.woken) == (Verdict.GO, 1)


def test_an_abandoned_coroutine_gives_its_place_back() -> None:
    """What a garbage-collected coroutine held is free again."""
    cluster = Cluster1(accounts=False, max_requests=1)

    async def call() -> None:
        grant = cluster.admit()
        try:
            await _forever()
        finally:
            grant.release()

    coroutine = call()
    coroutine.send(None)
    del coroutine
    gc.collect()
    assert cluster.limits.active == 0


class _forever:  # noqa: N801 - awaited like a function
    def __await__(self):
        yield


def yield_to_others() -> None:
    time.sleep(0)  # lets another thread run; no time passes


class Waiting:
    """A ticket that blocks a thread."""

    def __init__(self) -> None:
        self._event = Event()
        self.wake = self._event.set

    def wait(self, deadline: object = None) -> bool:
        return self._event.wait(20)


@pytest.mark.usefixtures("hectic")
@pytest.mark.parametrize("multiplexed", [False, True])
def test_many_threads_leave_nothing_behind(multiplexed: bool) -> None:
    """Threads that go, wait, fail, cancel and close at random keep within the limits, and end with all counts at 0."""
    limits = Limits(Thresholds(max_connections=4, max_requests=6, max_pending_requests=20))
    threads_count, rounds = 32, 60
    barrier, problems, waited, taken = Barrier(threads_count), [], [], []

    def once(source: random.Random) -> None:
        host = limits.host(source.choice("ab"))
        if host.take(multiplexed=multiplexed):
            taken.append(host)
            yield_to_others()
            if limits.active > 6:
                problems.append(repr(limits))
            host.release()
            return
        grant = limits.admit(host, multiplexed=multiplexed, accounts=True, ticket_factory=Waiting)
        try:
            if grant.ticket is not None:
                if source.random() < 0.3:
                    yield_to_others()
                    return  # cancelled while waiting, or just woken
                waited.append(grant)
                if not grant.ticket.wait():
                    problems.append("a wake-up was lost")
            if grant.verdict is Verdict.CONNECT:
                fate = source.random()
                if fate < 0.1:
                    grant.connect_failed(OSError())
                    return
                if fate < 0.2:
                    return  # cancelled while connecting
                yield_to_others()
                host.opened()
            if grant.connected():
                yield_to_others()
                if limits.active > 6 or limits.pending > 20:
                    problems.append(repr(limits))
                if source.random() < 0.3:
                    host.closed()
        finally:
            grant.release()

    def work(seed: int) -> None:
        source = random.Random(seed)
        barrier.wait()
        for _ in range(rounds):
            once(source)

    threads = [Thread(target=work, args=(seed,)) for seed in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert waited
    assert taken
    hosts = [limits.host(key) for key in "ab"]
    assert (limits.active, limits.pending) == (0, 0)
    assert [(host.busy, host.connecting, host.reserved, len(host.queue)) for host in hosts] == [(0, 0, 0, 0)] * 2
    assert limits.connections == sum(host.open for host in hosts)


@pytest.mark.usefixtures("hectic")
def test_retry_places_survive_many_threads() -> None:
    """Never more than `max_retries` at a time, and all free at the end."""
    limits, problems, barrier = Limits(Thresholds(max_retries=3)), [], Barrier(16)

    def work() -> None:
        barrier.wait()
        for _ in range(300):
            place = limits.try_retry()
            if place is not None:
                if not 0 < limits.retries <= 3:
                    problems.append(limits.retries)
                place()

    threads = [Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (problems, limits.retries) == ([], 0)
