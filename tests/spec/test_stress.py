"""Everything at once: many callers, every outcome, early ends and cancellations; afterwards nothing is held."""

from __future__ import annotations

import random
import threading
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import AmbassadorError

from .documents import bootstrap, breaker
from .harness import BASE, PATIENCE, Body, Spec, story

CALLERS = 24
ROUNDS = 12

ALL_LAYERS = bootstrap(
    route={"retry_policy": {"retry_on": "5xx,reset", "num_retries": 2, "per_try_timeout": "20s"}},
    cluster={
        "circuit_breakers": {"thresholds": [{"max_requests": 12, "max_retries": 4}]},
        "outlier_detection": {"consecutive_5xx": 4, "max_ejection_percent": 60},
        "metadata": breaker(minimum_requests=12, open_for="1s", half_open_requests=2),
        "lb_policy": "LEAST_REQUEST",
    },
    endpoints=5,
)


class Moody(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers, fails and breaks off as its dice say."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def _answer(self) -> httpx.Response:
        mood = self.dice.random()
        if mood < 0.1:
            raise httpx.ConnectError("refused")
        if mood < 0.2:
            raise httpx.ReadError("reset")
        broken = httpx.ReadError("broken off") if mood < 0.3 else None
        return httpx.Response(503 if mood < 0.45 else 200, stream=Body(b"1", b"2", error=broken))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self.dice.randrange(4)):
            await anyio.lowlevel.checkpoint()
        return self._answer()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_held_after_a_storm(spec: Spec, seed: int) -> None:
    """Slots, retries and the hosts' loads are all back, and a probe can still close the breaker."""
    dice = random.Random(seed)
    spec.given(ALL_LAYERS, upstream=Moody(dice))
    reports: list[Any] = []
    if spec.is_blocking:
        threads = [threading.Thread(target=_caller, args=(spec, dice, reports)) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    else:
        spec.run(_callers(spec, dice, reports))
    assert len(reports) > CALLERS * ROUNDS / 4
    assert all(report.duration is not None for report in reports)
    spec.assert_nothing_held()
    spec.clock.advance(60)
    dice.random = lambda: 0.9  # type: ignore[method-assign]  # all is well from now on
    spec.clock.advance(60)
    assert [200] * 20 == [spec.get().status_code for _ in range(20)]


def _caller(spec: Spec, dice: random.Random, reports: list[Any]) -> None:
    for _ in range(ROUNDS):
        spec.clock.advance(0.05)
        try:
            with spec.client.stream("GET", BASE) as response:
                reports.append(story(response))
                if dice.random() < 0.7:
                    response.read()
        except AmbassadorError as error:
            reports.append(error.call)


async def _callers(spec: Spec, dice: random.Random, reports: list[Any]) -> None:
    async def caller() -> None:
        for _ in range(ROUNDS):
            spec.clock.advance(0.05)
            with anyio.CancelScope() as scope:
                group.start_soon(_cancel_later, scope, dice)
                try:
                    async with spec.client.stream("GET", BASE) as response:
                        if dice.random() < 0.7:
                            await response.aread()
                    reports.append(story(response))
                except AmbassadorError as error:
                    reports.append(error.call)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(caller)


async def _cancel_later(scope: anyio.CancelScope, dice: random.Random) -> None:
    for _ in range(dice.randrange(40)):
        await anyio.lowlevel.checkpoint()
    scope.cancel()
