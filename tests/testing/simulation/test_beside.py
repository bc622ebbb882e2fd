"""What runs beside calls in virtual time: hedged tries and mirrored copies, watches, and shared breaker storages."""

from __future__ import annotations

import threading
from typing import Any

import pybreaker
import pytest

from ambassador_lib import CircuitOpenError
from ambassador_lib.testing.latency import uniform
from ambassador_lib.testing.turns import Actor
from ambassador_lib.testing.virtual_time import VirtualTime
from tests.spec import documents
from tests.spec.documents import bootstrap

from .scene import MODES, Scene, report, statuses, trace

HEDGED = {
    "timeout": "30s",
    "retry_policy": {"retry_on": "5xx", "per_try_timeout": "1s", "num_retries": 3},
    "hedge_policy": {"hedge_on_per_try_timeout": True},
}


def test_a_slow_try_is_hedged(scene: Scene) -> None:
    """After a second another try starts beside the slow one; the first good answer counts, the loser is dropped."""
    scene.payment.replies(200)
    scene.payment.is_slow(10, times=1)
    before = set(threading.enumerate())  # another test's may be on its way out

    async def scenario(scene: Scene) -> None:
        response = await scene.get()
        assert statuses(report(response)) == [None, 200]
        assert 1 <= scene.time.elapsed < 1.1
        await scene.sleep(1)
        slow, fast = scene.payment.requests
        assert slow.gone is not None
        assert slow.gone == pytest.approx(fast.finished or 0)
        threads = [thread for thread in threading.enumerate() if "hedge" in thread.name and thread not in before]
        assert threads == []

    scene.play(bootstrap(endpoints=2, route=HEDGED), scenario)


def test_the_slow_try_may_win(scene: Scene) -> None:
    """Where the hedge is slower still, the first try's answer counts."""
    scene.payment.replies(200, lambda _: 200)
    scene.payment.is_slow(3, times=1).then.is_slow(20)

    async def scenario(scene: Scene) -> None:
        response = await scene.get()
        assert scene.time.elapsed == pytest.approx(3, abs=0.1)
        assert report(response).attempts[0].status == 200

    scene.play(bootstrap(endpoints=2, route=HEDGED), scenario)


def test_copies_are_sent_beside(scene: Scene) -> None:
    """A mirrored copy goes to its cluster in virtual time, and its slowness is nobody's concern."""
    shadow = scene.upstream("shadow", first=101, endpoints=1)
    shadow.is_slow(20)
    clusters = [
        documents.cluster(),
        documents.cluster("shadow", groups=[{"lb_endpoints": [documents.endpoint(101)]}]),
    ]
    route = documents.route(timeout="60s", request_mirror_policies=[{"cluster": "shadow"}])
    document = documents.policy(documents.listener(documents.vhost(routes=[route])), clusters=clusters)

    async def scenario(scene: Scene) -> None:
        for _ in range(3):
            assert (await scene.request("POST", content=b"body")).text == "payment"
        assert scene.time.elapsed == 0
        await scene.sleep(21)
        assert [seen.body for seen in shadow.requests] == [b"body"] * 3
        assert {seen.finished for seen in shadow.requests} == {1020.0}
        await scene.get()

    scene.play(document, scenario)  # closed with a copy under way


class Shared(pybreaker.CircuitBreakerStorage):
    """A storage that another process could change."""

    def __init__(self) -> None:
        super().__init__("shared")
        self.state = pybreaker.STATE_CLOSED
        self.opened_at = None
        self.counter = self.success_counter = 0

    def increment_counter(self) -> None:
        self.counter += 1

    def reset_counter(self) -> None:
        self.counter = 0

    def increment_success_counter(self) -> None:
        self.success_counter += 1

    def reset_success_counter(self) -> None:
        self.success_counter = 0


for _name in ("state", "opened_at", "counter", "success_counter"):
    setattr(Shared, _name, None)
Shared.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def test_a_breaker_that_another_process_opens(scene: Scene) -> None:
    """The watch of a shared storage looks every virtual second, without a thread."""
    storage = Shared()
    metadata = documents.breaker(failure_rate="0.5", minimum_requests="4", window="10s", open_for="60s")

    async def scenario(scene: Scene) -> None:
        assert await scene.outcome() == 200
        storage.state = pybreaker.STATE_OPEN
        await scene.sleep(1.5)
        with pytest.raises(CircuitOpenError):
            await scene.get()
        storage.state = pybreaker.STATE_CLOSED
        await scene.sleep(1.5)
        assert await scene.outcome() == 200
        assert "ambassador_lib-control" not in {thread.name for thread in threading.enumerate()}

    scene.play(bootstrap(cluster={"metadata": metadata}), scenario, breaker_storage=lambda _: storage)


# --- the same seed, the same trace -----------------------------------------------------------------------------------


def story(mode: str, seed: int) -> tuple[Any, ...]:
    """Play an eventful hour, and return all that can be seen of it."""
    document = bootstrap(
        endpoints=3,
        route=HEDGED,
        cluster={
            "lb_policy": "RANDOM",
            "outlier_detection": {"consecutive_5xx": 3, "interval": "5s", "base_ejection_time": "20s"},
            "health_checks": [
                {
                    "timeout": "1s",
                    "interval": "10s",
                    "interval_jitter": "3s",
                    "unhealthy_threshold": 2,
                    "healthy_threshold": 1,
                    "http_health_check": {"path": "/healthz"},
                }
            ],
        },
    )
    told: list[Any] = []

    async def one(scene: Scene) -> None:
        for _ in range(6):
            try:
                response = await scene.get()
            except Exception as error:  # noqa: BLE001 - all of it is compared
                told.append((scene.time.elapsed, repr(error), str(getattr(error, "call", ""))))
            else:
                told.append((scene.time.elapsed, response.status_code, str(report(response))))
            await scene.sleep(scene.time.random.random() * 20)

    async def scenario(scene: Scene) -> None:
        payment = scene.payment
        payment.endpoint(0).fails(probability=0.5)
        payment.endpoint(1).is_slow(uniform(0.1, 2.0))
        payment.endpoint(2).flaps(up=7, down=5)
        await scene.together(*[lambda: one(scene)] * 8)

    with VirtualTime(seed=seed) as world:
        scene = Scene(mode, world)
        scene.play(document, scenario)
        return told, trace(scene), world.elapsed, [seen.arrived for seen in scene.payment.health_checks]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_trace(mode: str) -> None:
    """Reports, times, endpoints, headers: all as before, threads included; another seed gives another story."""
    first, again, other = story(mode, 7), story(mode, 7), story(mode, 8)
    assert len(first[0]) == 48
    assert len(first[1]) > 48
    assert first == again
    assert first != other


def test_a_thread_that_is_just_starting_is_not_gone() -> None:
    """Between its start and its first step a thread has an identity and is not alive: its turn is still to come."""

    class Starting(threading.Thread):
        ident = 1

        def is_alive(self) -> bool:
            return False

    actor = Actor(None, holds_baton=True)
    actor.thread = Starting()
    assert not actor.is_gone
    actor.has_begun = True
    assert actor.is_gone
