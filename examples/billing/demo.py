"""`make demo`: the main job on real input, first with `Client`, then with `AsyncClient`, twenty calls at a time.

Every scene checks itself against the upstreams' own records; the exit status is 1 when something did not behave as
announced. `--every-call` prints each of the twenty lines where alike ones are counted otherwise.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from ambassador_lib import AmbassadorError, AsyncClient, Client, UpstreamConnectError

from .scenes import SCENES, Scene, Told, expect
from .stage import CALL_ID, Stage, set_up

if TYPE_CHECKING:
    from ambassador_lib.call import CallReport

BASE = "http://127.0.0.1:15001"
"""Where the application has always called; nothing listens there any more."""
AT_ONCE = 20


@dataclass
class Score:
    """One row of the table at the end, and what went wrong."""

    name: str
    calls: int = 0
    tries: int = 0
    arrived: int = 0
    failures_upstream: int = 0
    failures_app: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, stage: Stage, calls: list[Told]) -> None:
        """Count a scene's calls; what upstreams saw comes from their own records."""
        self.calls += len(calls)
        self.tries += sum(len(told.tries) for told in calls)
        self.arrived += sum(len(upstream.requests) for upstream in stage.upstreams)
        self.failures_upstream += sum(upstream.failures for upstream in stage.upstreams)
        self.failures_app += sum(told.failed for told in calls)


def report_of(error: Exception) -> CallReport:
    """Return the story that the error tells; an error without one is not ours, and ends the demo."""
    if isinstance(error, AmbassadorError) and error.call is not None:
        return error.call
    raise error


def call(client: Client, scene: Scene, call_id: str) -> Told:
    """Make one call with the blocking client."""
    request = client.build_request(
        scene.method, BASE + scene.path, headers={CALL_ID: call_id, **scene.headers}, content=scene.content
    )
    began = time.monotonic()
    try:
        response = client.send(request, stream=scene.stream)
        told = Told(call_id, response.extensions["ambassador"], response.status_code)
        if scene.stream:
            for piece in response.iter_raw():
                told.first_piece = told.first_piece or time.monotonic()
                told.body += piece
            response.close()
    except httpx.TransportError as error:
        told = Told(call_id, report_of(error), error=error)
    told.seconds = time.monotonic() - began
    return told


async def call_async(client: AsyncClient, scene: Scene, call_id: str) -> Told:
    """Make one call with the asynchronous client."""
    request = client.build_request(
        scene.method, BASE + scene.path, headers={CALL_ID: call_id, **scene.headers}, content=scene.content
    )
    began = time.monotonic()
    try:
        response = await client.send(request, stream=scene.stream)
        told = Told(call_id, response.extensions["ambassador"], response.status_code)
        if scene.stream:
            async for piece in response.aiter_raw():
                told.first_piece = told.first_piece or time.monotonic()
                told.body += piece
            await response.aclose()
    except httpx.TransportError as error:
        told = Told(call_id, report_of(error), error=error)
    told.seconds = time.monotonic() - began
    return told


def begin(stage: Stage, scene: Scene) -> None:
    """Announce a scene and set its upstreams."""
    print(f"\n{scene.title}")
    stage.forget()
    scene.prepare(stage)


def finish(stage: Stage, scene: Scene, calls: list[Told], score: Score, *, every_call: bool) -> None:
    """Print a scene's calls, count them, and check that they went as announced."""
    alike = Counter(_shape(told) for told in calls)
    for told in calls:
        times = 1 if every_call else alike.pop(_shape(told), 0)
        if times:
            print(f"  {f'{times} x ' if times > 1 else ''}{told.report}")
    score.add(stage, calls)
    try:
        for told in calls:
            arrived = sum(not isinstance(attempt.error, UpstreamConnectError) for attempt in told.tries)
            expect(len(stage.seen(told.call_id)) == arrived, "the report counts what the upstreams counted", told)
        scene.check(stage, calls)
    except AssertionError as error:
        print(f"  NOT AS ANNOUNCED: {error}")
        score.broken.append(f"{score.name}: {scene.title}: {error}")


def _shape(told: Told) -> tuple[object, ...]:
    return (told.status, type(told.error), *told.outcomes)


def run_blocking(stage: Stage) -> Score:
    """Show every scene with `Client`, one call after the other."""
    score = Score("Client")
    with Client(stage.policy) as client:
        client.ready(timeout=5)
        for number, scene in enumerate(SCENES):
            begin(stage, scene)
            time.sleep(scene.wait)
            calls = [call(client, scene, f"blocking-{number}-{each}") for each in range(scene.calls)]
            finish(stage, scene, calls, score, every_call=True)
    return score


async def run_async(stage: Stage, *, every_call: bool) -> Score:
    """Show every scene with `AsyncClient`, twenty calls at a time."""
    score = Score("AsyncClient")
    async with AsyncClient(stage.policy) as client:
        await client.ready(timeout=5)
        for number, scene in enumerate(SCENES):
            begin(stage, scene)
            await asyncio.sleep(scene.wait)
            calls = await asyncio.gather(
                *(call_async(client, scene, f"async-{number}-{each}") for each in range(AT_ONCE))
            )
            finish(stage, scene, list(calls), score, every_call=every_call)
    return score


def print_table(scores: list[Score]) -> None:
    """Print what the calls cost and what was spared the application."""
    titles = ("", "calls", "tries", "seen by upstreams", "failures seen by upstreams", "failures seen by the app")
    rows = [titles] + [
        (score.name, *map(str, (score.calls, score.tries, score.arrived, score.failures_upstream, score.failures_app)))
        for score in scores
    ]
    print()
    for name, *numbers in rows:
        columns = (f"{number:>{len(title)}}" for number, title in zip(numbers, titles[1:], strict=True))
        print(f"{name:12}", *columns, sep="  ")
    print("(tries that no upstream saw were refused: nobody listened)")


def main() -> int:
    """Run the demo and return the exit status."""
    every_call = "--every-call" in sys.argv[1:]
    began = time.monotonic()
    with set_up() as stage:
        print(f"policy: {stage.policy}")
        print("upstreams:", ", ".join(f"{upstream.name} {upstream.address}" for upstream in stage.upstreams))
        print(f"\n=== Client, one call after the other, to {BASE}/charges ===")
        scores = [run_blocking(stage)]
        alike = "" if every_call else "; calls that went alike are counted, and one of them shown"
        print(f"\n=== AsyncClient, {AT_ONCE} calls at a time{alike} ===")
        scores.append(asyncio.run(run_async(stage, every_call=every_call)))
    print_table(scores)
    broken = [each for score in scores for each in score.broken]
    for each in broken:
        print(f"NOT AS ANNOUNCED: {each}", file=sys.stderr)
    print(f"\n{'all as announced' if not broken else 'some of it failed'}, in {time.monotonic() - began:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
