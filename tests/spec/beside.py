"""Upstreams and waits for cases in which requests run beside one another, in all three modes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from .harness import PATIENCE, Body, Spec

HANG = "hang"


class Beside(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers by a function of the request's number and itself: a status, or `HANG` until `release` or the close."""

    def __init__(self, answer: Callable[[int, httpx.Request], int | str]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.seen: list[httpx.Request] = []
        self.bodies: dict[int, bytes] = {}
        self.failed: list[BaseException] = []
        self.answers: list[Body] = []
        self.cancelled = 0

    def release(self) -> None:
        self._released.set()

    def _arrive(self, request: httpx.Request) -> tuple[int, int | str]:
        with self._lock:
            self.seen.append(request)
            number = len(self.seen)
        return number, self._answer(number, request)

    def _reply(self, status: int | str) -> httpx.Response:
        body = Body(b"x")
        self.answers.append(body)
        return httpx.Response(status if isinstance(status, int) else 200, stream=body)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        number, answer = self._arrive(request)
        try:
            self.bodies[number] = request.read()
        except BaseException as error:
            self.failed.append(error)
            raise
        if answer == HANG:
            assert self._released.wait(PATIENCE), "never released"
        return self._reply(answer)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number, answer = self._arrive(request)
        try:
            self.bodies[number] = await request.aread()
        except BaseException as error:
            self.failed.append(error)
            raise
        try:
            if answer == HANG:
                await until(self._released.is_set)
        except TimeoutError:
            raise
        except BaseException:
            self.cancelled += 1
            raise
        return self._reply(answer)

    def close(self) -> None:
        self.release()

    async def aclose(self) -> None:
        self.release()


def settle(spec: Spec, call: Callable[[], Any], *conditions: Callable[[], bool]) -> Any:
    """Make a call and stay, on the same event loop, until all conditions hold; return what came of the call."""
    if spec.is_blocking:
        result = call()
        latest = time.monotonic() + PATIENCE
        while not all(condition() for condition in conditions):
            assert time.monotonic() < latest, "it never came"
            time.sleep(0.002)
        return result

    async def main() -> Any:
        result = await call()
        await until(lambda: all(condition() for condition in conditions))
        return result

    return spec.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until the condition holds; bounded."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is told by no event
            await anyio.sleep(0.002)


def nothing_held(spec: Spec) -> bool:
    """Every slot of every cluster is back."""
    clusters = spec.transport._at_work.clusters.values()
    return all(
        (limits.active, limits.pending, limits.retries) == (0, 0, 0)
        for cluster in clusters
        for limits in cluster.limits.values()
    ) and all(host.active == 0 for cluster in clusters for host in cluster.hosts)
