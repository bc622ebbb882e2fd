from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from threading import Barrier, Thread

import pybreaker
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ambassador_lib.policy.model.cluster import CircuitBreaker
from ambassador_lib.upstream.breaker import ClusterBreaker, Permit

EPOCH = 1_700_000_000.0


class Wall:
    """A clock whose wall time can be moved; nothing here asks it for monotonic time."""

    def __init__(self) -> None:
        self.now = EPOCH

    def monotonic(self) -> float:
        raise AssertionError("the time is an argument")

    def time(self) -> float:
        return self.now


class Diary(pybreaker.CircuitBreakerListener):
    def __init__(self) -> None:
        self.entries: list[object] = []

    def before_call(self, cb, func, *args, **kwargs) -> None:
        self.entries.append("call")

    def failure(self, cb, exc) -> None:
        self.entries.append(exc)

    def success(self, cb) -> None:
        self.entries.append("success")

    def state_change(self, cb, old_state, new_state) -> None:
        self.entries.append((cb.name, old_state.name, new_state.name))

    @property
    def changes(self) -> list[str]:
        return [entry[2] for entry in self.entries if isinstance(entry, tuple)]


def breaker(*, listeners=(), storage=None, clock=None, **policy) -> ClusterBreaker:
    rules = CircuitBreaker(**{"minimum_requests": 4, "window": 10, "open_for": 30, **policy})
    return ClusterBreaker("c", rules, clock=clock or Wall(), listeners=listeners, storage=storage)


def trip(tested: ClusterBreaker, now: float = 0.0) -> None:
    for _ in range(tested.policy.minimum_requests):
        tested.admit(now).failure(now)
    assert tested.state == "open"


def test_it_opens_at_the_error_rate() -> None:
    """Half of at least four requests failed: open, and nothing is admitted until `open_for` has passed."""
    tested = breaker()
    for _ in range(2):
        tested.admit(0.0).success(0.0)
    tested.admit(0.0).failure(0.0)
    assert tested.state == "closed"
    tested.admit(0.0).failure(0.0)
    assert tested.state == "open"
    assert tested.admit(29.9) is None
    assert tested.admit(30.0) is not None


def test_it_stays_closed_below_the_rate_and_the_minimum() -> None:
    """Three failures of three are too few requests, and three of seven too few failures."""
    tested = breaker()
    for _ in range(3):
        tested.admit(0.0).failure(0.0)
    for _ in range(4):
        tested.admit(11.0).success(11.0)
    for _ in range(3):
        tested.admit(11.0).failure(11.0)
    assert tested.state == "closed"


def test_old_failures_leave_the_window() -> None:
    """Failures of more than `window` ago count no longer."""
    tested = breaker()
    for _ in range(3):
        tested.admit(0.0).failure(0.0)
    tested.admit(10.2).failure(10.2)
    assert tested.state == "closed"


def test_one_probe_decides() -> None:
    """Half-open admits one probe at a time; its success closes, its failure opens for `open_for` again."""
    for verdict, state in ((Permit.success, "closed"), (Permit.failure, "open")):
        tested = breaker()
        trip(tested)
        probe = tested.admit(30.0)
        assert (tested.state, tested.admit(30.0)) == ("half-open", None)
        verdict(probe, 31.0)
        assert tested.state == state
    assert tested.admit(60.9) is None
    assert tested.admit(61.0) is not None


def test_as_many_probes_and_successes_as_the_policy_says() -> None:
    """`half_open_requests` at a time, `success_threshold` successes to close."""
    tested = breaker(half_open_requests=2, success_threshold=3)
    trip(tested)
    first, second = tested.admit(30.0), tested.admit(30.0)
    assert tested.admit(30.0) is None
    first.success(30.0)
    second.success(30.0)
    assert tested.state == "half-open"
    tested.admit(30.0).success(30.0)
    assert tested.state == "closed"


def test_a_cancelled_probe_gives_its_place_back() -> None:
    """Abandoned, a probe leaves the state as it is and lets the next one through."""
    tested = breaker()
    trip(tested)
    tested.admit(30.0).abandon()
    assert tested.state == "half-open"
    tested.admit(30.0).success(30.0)
    assert tested.state == "closed"


def test_only_the_first_verdict_counts() -> None:
    """A permit that was settled cannot free a second place or fail a second time."""
    tested = breaker()
    trip(tested)
    probe = tested.admit(30.0)
    probe.abandon()
    probe.abandon()
    probe.success(30.0)
    assert tested.admit(30.0) is not None
    assert (tested.admit(30.0), tested.state) == (None, "half-open")


def test_a_verdict_that_comes_late_judges_nothing() -> None:
    """Requests admitted before the breaker opened neither close nor reopen it."""
    tested = breaker()
    late = [tested.admit(0.0) for _ in range(10)]
    trip(tested)
    probe = tested.admit(30.0)
    for permit in late[:5]:
        permit.success(30.0)
    assert tested.state == "half-open"
    for permit in late[5:]:
        permit.failure(30.0)
    assert tested.state == "half-open"
    probe.success(30.0)
    assert tested.state == "closed"


def test_a_closed_breaker_begins_anew() -> None:
    """After recovery the old failures are forgotten."""
    tested = breaker()
    trip(tested)
    tested.admit(30.0).success(30.0)
    for _ in range(3):
        tested.admit(30.0).failure(30.0)
    assert tested.state == "closed"


def test_listeners_hear_everything_in_order() -> None:
    """Calls, failures with their exceptions, successes and changes of state reach pybreaker listeners."""
    diary, error = Diary(), OSError("refused")
    tested = breaker(listeners=[diary], minimum_requests=1)
    tested.admit(0.0).failure(0.0, error)
    assert tested.admit(1.0) is None
    tested.admit(30.0).success(30.0)
    assert diary.entries == [
        "call",
        error,
        ("c", "closed", "open"),
        ("c", "open", "half-open"),
        "call",
        "success",
        ("c", "half-open", "closed"),
    ]


def test_a_bad_status_is_an_exception_to_listeners() -> None:
    """A failure without exception is told with one of pybreaker's own."""
    diary = Diary()
    breaker(listeners=[diary]).admit(0.0).failure(0.0)
    assert isinstance(diary.entries[1], pybreaker.CircuitBreakerError)


def test_a_listener_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A broken listener is logged; the breaker and the other listeners work on."""

    class Broken(pybreaker.CircuitBreakerListener):
        def state_change(self, cb, old_state, new_state) -> None:
            raise RuntimeError("broken")

    diary = Diary()
    tested = breaker(listeners=[Broken(), diary])
    with caplog.at_level(logging.ERROR):
        trip(tested)
    assert diary.changes == ["open"]
    assert "a breaker listener failed" in caplog.text


def test_a_listener_may_look_at_the_breaker() -> None:
    """A listener that asks for the state, even by an admission, does not block itself."""
    seen = []

    class Curious(pybreaker.CircuitBreakerListener):
        def state_change(self, cb, old_state, new_state) -> None:
            seen.append((tested.state, new_state.name, tested.admit(0.0)))

    tested = breaker(listeners=[Curious()])
    trip(tested)
    assert seen == [("open", "open", None)]


# --- shared storages --------------------------------------------------------------------------------------------------


class Counted(pybreaker.CircuitMemoryStorage):
    """A storage that counts how often it is touched, as if each time were I/O."""

    def __init__(self, state: str = "closed") -> None:
        self.touched = 0
        super().__init__(state)

    @property
    def state(self) -> str:
        self.touched += 1
        return self._state

    @state.setter
    def state(self, state: str) -> None:
        self.touched += 1
        self._state = state


def test_the_request_path_leaves_a_shared_storage_alone() -> None:
    """Only `sync_storage` reads or writes what the user passed in."""
    storage = Counted()
    tested = breaker(storage=storage)
    trip(tested)
    tested.admit(30.0).success(30.0)
    assert storage.touched == 0
    assert tested.shares_storage
    assert not breaker().shares_storage


def test_workers_share_an_open_breaker() -> None:
    """One worker opens; the other is open after its next look, for as long as is left."""
    storage, clock, diary = Counted(), Wall(), Diary()
    one, other = breaker(storage=storage, clock=clock), breaker(storage=storage, clock=clock, listeners=[diary])
    trip(one, now=100.0)
    one.sync_storage(100.0)
    clock.now += 10
    other.sync_storage(500.0)
    assert (other.state, diary.changes) == ("open", ["open"])
    assert other.admit(519.9) is None
    assert other.admit(520.1) is not None


def test_workers_share_the_recovery() -> None:
    """One worker's probe closes the breaker for the others as well."""
    storage, clock = Counted(), Wall()
    one, other = breaker(storage=storage, clock=clock), breaker(storage=storage, clock=clock)
    trip(one)
    one.sync_storage(0.0)
    other.sync_storage(0.0)
    one.admit(30.0).success(30.0)
    one.sync_storage(30.0)
    other.sync_storage(30.0)
    assert (one.state, other.state) == ("closed", "closed")
    assert other.admit(30.0) is not None


def test_a_worker_that_starts_late_takes_the_state_over() -> None:
    """A breaker that another process opened before this one began is open here too."""
    storage = Counted("open")
    storage.opened_at = datetime.fromtimestamp(EPOCH - 20, UTC)
    tested = breaker(storage=storage)
    tested.sync_storage(0.0)
    assert tested.admit(9.9) is None
    assert tested.admit(10.1) is not None


def test_news_of_ones_own_win() -> None:
    """What changed here since the last look is written, not overwritten."""
    storage = Counted()
    tested = breaker(storage=storage)
    trip(tested)
    tested.sync_storage(0.0)
    tested.admit(30.0).success(30.0)
    tested.sync_storage(30.0)
    assert storage.state == "closed"
    tested.sync_storage(31.0)
    assert tested.state == "closed"


def test_a_storage_that_fails_is_tried_again() -> None:
    """An exception of the storage is the caller's to log, and the change is written next time."""

    class Flaky(Counted):
        fails = False

        def _set(self, state: str) -> None:
            if self.fails:
                raise ConnectionError("storage is away")
            self._state = state

        state = property(lambda self: self._state, _set)

    storage = Flaky()
    tested = breaker(storage=storage)
    trip(tested)
    storage.fails = True
    with pytest.raises(ConnectionError):
        tested.sync_storage(0.0)
    storage.fails = False
    tested.sync_storage(1.0)
    assert storage.state == "open"


# --- concurrency ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hectic")
@pytest.mark.parametrize("probes", [1, 3])
def test_exactly_the_allowed_probes_get_through_at_once(probes: int) -> None:
    """However many threads come to an open breaker whose time is up, no probe too many is admitted."""
    for _ in range(10):
        tested = breaker(half_open_requests=probes, success_threshold=probes)
        trip(tested)
        barrier, permits = Barrier(30), []

        def work(tested=tested, barrier=barrier, permits=permits) -> None:
            barrier.wait()
            permits.append(tested.admit(30.0))

        threads = [Thread(target=work) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        admitted = [permit for permit in permits if permit is not None]
        assert len(admitted) == probes
        for permit in admitted:
            permit.success(31.0)
        assert tested.state == "closed"


@pytest.mark.usefixtures("hectic")
def test_threads_open_it_once() -> None:
    """Many failures at once are one opening, told once."""
    diary = Diary()
    tested = breaker(listeners=[diary], minimum_requests=20)
    barrier = Barrier(40)

    def work() -> None:
        permit = tested.admit(0.0)
        barrier.wait()
        permit.failure(0.0)

    threads = [Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert diary.changes == ["open"]


class BreakerMachine(RuleBasedStateMachine):
    """The breaker beside the plainest model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.diary = Diary()
        self.breaker = breaker(listeners=self.listeners, half_open_requests=2, success_threshold=3)
        self.state, self.opened, self.successes = "closed", 0.0, 0
        self.probes: list[Permit] = []
        self.calls: list[Permit] = []
        self.results: list[tuple[float, bool]] = []

    @property
    def listeners(self) -> list[Diary]:
        return [self.diary]

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def admit(self) -> None:
        permit = self.breaker.admit(self.now)
        if self.state == "open" and self.now >= self.opened + 30:
            self.state, self.successes, self.probes = "half-open", 0, []
        if self.state == "closed":
            self.calls.append(permit)
        elif self.state == "half-open" and len(self.probes) < 2:
            self.probes.append(permit)
        else:
            assert permit is None
            return
        assert permit is not None

    @precondition(lambda self: self.probes)
    @rule(verdict=st.sampled_from(["success", "failure", "abandon"]))
    def settle_probe(self, verdict: str) -> None:
        permit = self.probes.pop(0)
        if verdict == "abandon":
            permit.abandon()
            return
        getattr(permit, verdict)(self.now)
        if self.state != "half-open":
            return
        if verdict == "failure":
            self.state, self.opened, self.probes = "open", self.now, []
        else:
            self.successes += 1
            if self.successes == 3:
                self.state, self.probes, self.results, self.calls = "closed", [], [], []

    @precondition(lambda self: self.calls)
    @rule(failed=st.booleans())
    def settle_call(self, failed: bool) -> None:
        permit = self.calls.pop()
        (permit.failure if failed else permit.success)(self.now)
        if self.state != "closed":
            return
        self.results.append((self.now, failed))
        young = [failed for at, failed in self.results if at > self.now - 9.95]
        if len(young) >= 4 and sum(young) >= len(young) / 2:
            self.state, self.opened, self.results = "open", self.now, []

    @invariant()
    def states_agree(self) -> None:
        assert self.breaker.state == self.state
        if self.listeners:
            assert (self.diary.changes or ["closed"])[-1] == self.state


class UnwatchedMachine(BreakerMachine):
    """Nobody listens: most successes are counted apart from the window."""

    @property
    def listeners(self) -> list[Diary]:
        return []


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestUnwatchedBreaker = UnwatchedMachine.TestCase
TestUnwatchedBreaker.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@pytest.mark.usefixtures("hectic")
def test_no_success_is_lost_between_threads() -> None:
    """Successes are counted apart and without a lock, while another thread's take them over into the window."""
    tested, barrier, rounds = breaker(minimum_requests=1_000_000, window=1_000), Barrier(16), 500

    def work() -> None:
        barrier.wait()
        for turn in range(rounds):
            tested.admit(turn / 10).success(turn / 10)  # a bucket lasts ten seconds

    threads = [Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    tested.admit(50.0).failure(50.0)
    assert "1/8001" in repr(tested)


def test_pybreaker_is_loaded_with_the_first_breaker() -> None:
    """A cluster without a breaker does not import pybreaker."""
    code = (
        "import sys; from ambassador_lib.upstream.upstream import Upstream;"
        "assert 'pybreaker' not in sys.modules, 'loaded too early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_upstream_makes_its_breaker_from_the_policy(make_upstream) -> None:
    """Only a cluster that asks for it has a breaker."""
    assert make_upstream(1).breaker is None
    assert make_upstream(1, circuit_breaker=CircuitBreaker(minimum_requests=1)).breaker.policy.minimum_requests == 1
