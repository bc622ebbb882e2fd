"""Many callers at the same time, held together inside the upstream until everybody has come that will come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from ambassador_lib import AmbassadorError

from .harness import BASE, PATIENCE, Body, Spec

Outcome = int | type[AmbassadorError] | None


class Crowd(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """An upstream that answers nobody before `gate` is opened."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.entered = 0
        self.inside = 0
        self.peak = 0

    def _enter(self) -> None:
        with self.changed:
            self.entered += 1
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            self.changed.notify_all()

    def _leave(self) -> None:
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._enter()
        try:
            assert self.gate.wait(PATIENCE), "nobody opened the gate"
        finally:
            self._leave()
        return httpx.Response(self.status, stream=Body(b"x"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._enter()
        try:
            await spin(self.gate.is_set)
        finally:
            self._leave()
        return httpx.Response(self.status, stream=Body(b"x"))


def storm(spec: Spec, crowd: Crowd, count: int, *, admitted: int, cancelled: int = 0) -> list[Outcome]:
    """Make `count` calls at once; when `admitted` are inside and the others are refused, open the gate.

    In the async modes `cancelled` of those inside are cancelled before that; their outcome is `None`.
    """
    crowd.gate.clear()
    crowd.entered = crowd.peak = 0
    if spec.is_blocking:
        return _threads(spec, crowd, count, admitted)
    return spec.run(_tasks(spec, crowd, count, admitted, cancelled))  # type: ignore[no-any-return]


def _threads(spec: Spec, crowd: Crowd, count: int, admitted: int) -> list[Outcome]:
    outcomes: list[Outcome] = []

    def call() -> None:
        outcome: Outcome
        try:
            outcome = spec.client.get(BASE).status_code
        except AmbassadorError as error:
            outcome = type(error)
        with crowd.changed:
            outcomes.append(outcome)
            crowd.changed.notify_all()

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    with crowd.changed:
        met = crowd.changed.wait_for(lambda: (crowd.inside, len(outcomes)) == (admitted, count - admitted), PATIENCE)
        seen = crowd.inside, len(outcomes)
    crowd.gate.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert met, f"inside, refused: {seen}"
    return outcomes


async def _tasks(spec: Spec, crowd: Crowd, count: int, admitted: int, cancelled: int) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    scopes: dict[int, anyio.CancelScope] = {}

    async def call(number: int) -> None:
        with anyio.CancelScope() as scopes[number]:
            try:
                outcomes[number] = (await spec.client.get(BASE)).status_code
            except AmbassadorError as error:
                outcomes[number] = type(error)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(call, number)
        await spin(lambda: (crowd.inside, len(outcomes)) == (admitted, count - admitted))
        for number in [number for number in scopes if number not in outcomes][:cancelled]:
            outcomes[number] = None
            scopes[number].cancel()
        await spin(lambda: crowd.inside == admitted - cancelled)
        crowd.gate.set()
    return list(outcomes.values())


async def spin(condition: Callable[[], Any]) -> None:
    """Let the others run until `condition` holds."""
    with anyio.fail_after(PATIENCE):
        while not condition():
            await anyio.lowlevel.checkpoint()
