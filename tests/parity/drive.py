"""Carries out a scenario's steps with a client: the steps once, the calls blocking or as tasks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from .model import Call, Do, Outcome, Run, Several, Step, Then, Together, Until
from .upstreams.replies import pairs

Caller = Callable[[Call], Outcome]
"""Makes one call and returns when it is over; may be called from many threads."""

MOST_AT_ONCE = 256


def carry_out(steps: Sequence[Step], run: Run, call: Caller) -> None:
    """Take the steps and keep the outcomes in `run`."""
    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="application") as pool:
        run.outcomes += _all(steps, run, call, pool, 0.0)


def _all(steps: Sequence[Step], run: Run, call: Caller, pool: ThreadPoolExecutor, pause: float) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for index, step in enumerate(steps):
        if index and pause:
            time.sleep(pause)
        made = _one(step, run, call, pool)
        outcomes += made
    return outcomes


def _one(step: Step, run: Run, call: Caller, pool: ThreadPoolExecutor) -> list[Outcome]:
    match step:
        case Call():
            return [call(step)]
        case Several():
            return _all(step.steps, run, call, pool, step.pause)
        case Together():
            return _together(step, run, call, pool)
        case Do():
            step.act(run)
            return []
        case Until():
            return [_until(step, call)]
        case Then():
            return _all(step.steps(run), run, call, pool, 0.0)


def _together(step: Together, run: Run, call: Caller, pool: ThreadPoolExecutor) -> list[Outcome]:
    begun = []
    for index, one in enumerate(step.steps):
        if index and step.stagger:
            time.sleep(step.stagger)
        begun.append(pool.submit(_one, one, run, call, pool))
    return [outcome for future in begun for outcome in future.result()]


def _until(step: Until, call: Caller) -> Outcome:
    end = time.monotonic() + step.within
    while True:
        outcome = call(step.call)
        if step.holds(outcome):
            return outcome
        if time.monotonic() > end:
            raise AssertionError(f"after {step.within} s it is still {outcome.result} {outcome.text[:80]!r}")
        time.sleep(step.every)


# --- one call --------------------------------------------------------------------------------------------------------


def blocking(client: httpx.Client, run: Run) -> Caller:
    """Return what calls with a blocking client."""

    def call(asked: Call) -> Outcome:
        outcome = Outcome(asked, time.monotonic())
        response: httpx.Response | None = None
        try:
            with client.stream(**_arguments(asked, run), content=_content(asked)) as response:
                _keep_head(outcome, response)
                time.sleep(asked.hold)
                if asked.leave_after != 0:
                    for piece in response.iter_raw():
                        if _keep_piece(outcome, piece):
                            break
        except Exception as error:  # noqa: BLE001 - whatever it was is the outcome
            _keep_error(outcome, error)
        return _finished(outcome, response)

    return call


def tasks(client: httpx.AsyncClient, run: Run, loop: asyncio.AbstractEventLoop) -> Caller:
    """Return what calls with an async client, each call a task of the loop."""

    async def call(asked: Call) -> Outcome:
        outcome = Outcome(asked, time.monotonic())
        response: httpx.Response | None = None
        try:
            async with client.stream(**_arguments(asked, run), content=_async_content(asked)) as response:
                _keep_head(outcome, response)
                await asyncio.sleep(asked.hold)
                if asked.leave_after != 0:
                    async with contextlib.aclosing(response.aiter_raw()) as pieces:
                        async for piece in pieces:
                            if _keep_piece(outcome, piece):
                                break
        except Exception as error:  # noqa: BLE001 - whatever it was is the outcome
            _keep_error(outcome, error)
        return _finished(outcome, response)

    return lambda asked: asyncio.run_coroutine_threadsafe(call(asked), loop).result()


def _arguments(asked: Call, run: Run) -> dict[str, Any]:
    url = asked.url or f"http://127.0.0.1:${{port:{asked.listener}}}{asked.path}"
    return {
        "method": asked.method,
        "url": run.site.placed(url),
        "headers": pairs(asked.headers),
        "timeout": asked.timeout,
        "follow_redirects": asked.follow,
    }


def _content(asked: Call) -> bytes | Iterator[bytes] | None:
    if asked.chunks is None:
        return asked.body

    def pieces() -> Iterator[bytes]:
        for index, piece in enumerate(asked.chunks or ()):
            if index:
                time.sleep(asked.pause)
            yield piece

    return pieces()


def _async_content(asked: Call) -> bytes | AsyncIterator[bytes] | None:
    if asked.chunks is None:
        return asked.body

    async def pieces() -> AsyncIterator[bytes]:
        for index, piece in enumerate(asked.chunks or ()):
            if index:
                await asyncio.sleep(asked.pause)
            yield piece

    return pieces()


def _keep_head(outcome: Outcome, response: httpx.Response) -> None:
    outcome.head = time.monotonic() - outcome.started
    outcome.status = response.status_code
    outcome.headers = [
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
    ]


def _keep_piece(outcome: Outcome, piece: bytes) -> bool:
    """Keep what came; True where the application has seen enough."""
    outcome.pieces.append((round(time.monotonic() - outcome.started, 3), len(piece)))
    outcome.body += piece
    enough = outcome.call.leave_after
    return enough is not None and len(outcome.body) >= enough


def _keep_error(outcome: Outcome, error: Exception) -> None:
    if isinstance(error, httpx.TimeoutException):
        outcome.error = "timeout"
    elif isinstance(error, httpx.TransportError):
        outcome.error = "transport-error"
    else:
        outcome.error = type(error).__name__
    outcome.message = f"{type(error).__name__}: {error}"


def _finished(outcome: Outcome, response: httpx.Response | None) -> Outcome:
    outcome.elapsed = time.monotonic() - outcome.started
    report = response.extensions.get("ambassador") if response is not None else None
    if report is not None:
        outcome.flags = ",".join(sorted(report.flags)) or "-"
        outcome.details = report.details or "-"
    return outcome
