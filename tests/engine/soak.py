"""`python -m tests.engine.soak --requests N`: very many calls, good and bad, and what they leave behind: nothing.

Callers at the same time, each with a token of its own in every request, meet upstreams that answer in every way, break
off, reset, talk nonsense or stay silent; and they leave responses unread, run out of time and are cancelled. No answer
may reach another call; memory, descriptors, threads and tasks stay as they are after the first tenth; no more
connections are open than the policy allows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from ambassador_lib import AsyncClient, Client
from tests.client.documents import BASE, cluster, policy

from .progress import Progress
from .soak_server import ANSWERS, FAULTS, body_of

CALLERS = 24
CONNECTIONS = 16
"""The cluster's `max_connections`."""
FAULTY = 0.06
"""Share of calls that are to fail."""
LEFT = 0.02
"""Share of responses that are left as they are."""
HURRIED = 0.02
"""Share of calls with next to no time, or that are cancelled."""
BRIEF = 0.05
"""Seconds that a silent upstream is waited for."""
SAMPLES = 20
FLAT = 3 * 2**20
"""Bytes by which memory may grow after the first tenth: what allocators keep in reserve."""
KINDS = ("sync", "asyncio", "uvloop")


@dataclass(frozen=True)
class Sample:
    """What the process holds."""

    requests: int
    memory: int
    """Bytes resident."""
    descriptors: int
    threads: int


@dataclass
class Outcome:
    """What became of it all."""

    kind: str
    seconds: float = 0.0
    cpu: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    most_descriptors: int = 0
    left: dict[str, int] = field(default_factory=dict)
    """What is still there when the client is closed and was not before it was made."""

    @property
    def growth(self) -> int:
        """Bytes of memory more than after the first tenth."""
        settled = self.samples[max(1, len(self.samples) // 10)]
        return self.samples[-1].memory - settled.memory

    def __str__(self) -> str:
        first, last = self.samples[0], self.samples[-1]
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.most_common())
        return (
            f"{self.kind}: {last.requests} requests in {self.seconds:.1f} s, "
            f"{self.cpu / max(1, last.requests) * 1e6:.0f} µs of CPU each: {counts}; {len(self.wrong)} wrong answers\n"
            f"    memory {first.memory / 2**20:.1f} MB, then {last.memory / 2**20:.1f} MB, "
            f"{self.growth / 2**10:+.0f} KB since the first tenth; descriptors {first.descriptors}, then "
            f"{last.descriptors}, at most {self.most_descriptors}; left behind: {self.left or 'nothing'}"
        )

    def check(self) -> None:
        """Raise where something was wrong."""
        assert not self.wrong, self.wrong[:5]
        assert not self.left, self.left
        assert self.growth < FLAT, f"memory has grown by {self.growth} bytes: {[one.memory for one in self.samples]}"
        # A connection is no longer counted a moment before its descriptor is closed, by each caller that closes one.
        allowed = self.samples[0].descriptors + CONNECTIONS + CALLERS // 2
        assert self.most_descriptors <= allowed, f"{self.most_descriptors} descriptors, {allowed} allowed"


def held() -> Counter[str]:
    """Count descriptors and threads."""
    return Counter(descriptors=len(os.listdir("/proc/self/fd")), threads=threading.active_count())


def document(port: int) -> dict[str, Any]:
    """One cluster, whose connections are limited; nothing is tried again, so that every failure is seen."""
    thresholds = {"max_connections": CONNECTIONS, "max_pending_requests": 1000, "max_requests": 1000}
    return policy(clusters=[cluster("up", port, circuit_breakers={"thresholds": [thresholds]})])


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """Run the upstream as a process of its own, so that ours holds nothing of it."""
    with subprocess.Popen([sys.executable, "-m", "tests.engine.soak_server"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


class Soak:
    """One run: what to call is decided by dice, what came of it is counted."""

    def __init__(self, kind: str, requests: int, *, seed: int = 0, progress: Progress | None = None) -> None:
        self.outcome = Outcome(kind)
        self._requests = requests
        self._dice = Random(seed)
        self._numbers = iter(range(requests))
        self._lock = threading.Lock()
        self._progress = progress
        self._done = 0

    def next(self) -> tuple[str, bytes, float] | None:
        """Return the next call's kind and token, and a number that says how the caller behaves."""
        with self._lock:
            number = next(self._numbers, None)
            if number is None:
                return None
            if number % max(1, self._requests // SAMPLES) == 0:
                self.sample()
            kinds = FAULTS if self._dice.random() < FAULTY else tuple(ANSWERS)
            return self._dice.choice(kinds), b"%x" % number * (1 + number % 7), self._dice.random()

    def sample(self) -> None:
        """Note what the process holds."""
        gc.collect()
        with open("/proc/self/statm", "rb") as file:
            memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        now = held()
        self.outcome.samples.append(Sample(self._done, memory, now["descriptors"], now["threads"]))

    def ended(self, kind: str, token: bytes, body: bytes | None, error: BaseException | None) -> None:
        """Judge how a call has ended."""
        outcome = self.outcome
        with self._lock:
            self._done += 1
            outcome.counts[
                "left" if error is None and body is None else type(error).__name__ if error else "whole"
            ] += 1
            if body is not None and body != body_of(token):
                outcome.wrong.append(f"/{kind}/{token!r} was answered {body!r}")
            if error is not None and kind in ANSWERS and not isinstance(error, HASTE):
                outcome.wrong.append(f"/{kind}/{token!r} failed: {error!r}")
            if body is not None and kind in FAULTS:
                outcome.wrong.append(f"/{kind}/{token!r} was answered")
            if self._done % 64 == 0:
                outcome.most_descriptors = max(outcome.most_descriptors, len(os.listdir("/proc/self/fd")) - 1)
            if self._progress is not None:
                self._progress(self._done, f"{self._done} {outcome.kind}")

    def run(self, port: int) -> Outcome:
        """Carry all out, and look at what is left."""
        self._in_loop(asyncio.sleep(0))  # what a loop keeps for the process is there before
        before = held()
        started, cpu = time.monotonic(), time.process_time()
        if self.outcome.kind == "sync":
            self._run_threads(port)
        else:
            self._in_loop(self._run_tasks(port))
        self.outcome.seconds = time.monotonic() - started
        self.outcome.cpu = time.process_time() - cpu
        self.outcome.left.update(+(held() - before))
        return self.outcome

    def _in_loop(self, main: Coroutine[Any, Any, None]) -> None:
        factory = None
        if self.outcome.kind == "uvloop":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)

    # --- threads

    def _run_threads(self, port: int) -> None:
        with Client(document(port), trust_env=False) as client:
            self._call(client, "length", b"first", 0.5)  # what is imported and started once is not counted
            self.sample()
            threads = [threading.Thread(target=self._work, args=(client,)) for _ in range(CALLERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.sample()

    def _work(self, client: Client) -> None:
        while (call := self.next()) is not None:
            self._call(client, *call)

    def _call(self, client: Client, kind: str, token: bytes, mood: float) -> None:
        body, error = None, None
        timeout = BRIEF if kind == "silent" or mood < HURRIED else 30.0
        try:
            with client.stream("GET", f"{BASE}/{kind}/{token.decode()}", timeout=timeout) as response:
                if mood < 1 - LEFT:
                    body = response.read()
        except httpx.TransportError as failure:
            error = failure
        self.ended(kind, token, body, error)

    # --- tasks

    async def _run_tasks(self, port: int) -> None:
        async with AsyncClient(document(port), trust_env=False) as client:
            await self._async_call(client, "length", b"first", 0.5)
            self.sample()
            await asyncio.gather(*(self._async_work(client) for _ in range(CALLERS)))
            self.sample()
        left = len(asyncio.all_tasks()) - 1
        if left:
            self.outcome.left["tasks"] = left

    async def _async_work(self, client: AsyncClient) -> None:
        while (call := self.next()) is not None:
            mood = call[2]
            if mood >= HURRIED:
                await self._async_call(client, *call)
                continue
            task = asyncio.ensure_future(self._async_call(client, *call))
            for _ in range(int(mood / HURRIED * 30)):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _async_call(self, client: AsyncClient, kind: str, token: bytes, mood: float) -> None:
        body: bytes | None = None
        error: BaseException | None = None
        try:
            timeout = BRIEF if kind == "silent" else 30.0
            async with client.stream("GET", f"{BASE}/{kind}/{token.decode()}", timeout=timeout) as response:
                if mood < 1 - LEFT:
                    body = await response.aread()
        except httpx.TransportError as failure:
            error = failure
        except asyncio.CancelledError as cancellation:
            error = cancellation
            raise
        finally:
            self.ended(kind, token, body, error)


HASTE = (httpx.TimeoutException, asyncio.CancelledError)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engine.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="of each kind; a million by default")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    failed = 0
    for kind in options.kinds:
        progress = Progress(options.requests)
        with upstream() as port:
            outcome = Soak(kind, options.requests, seed=options.seed, progress=progress).run(port)
        progress.clear()
        print(outcome)
        try:
            outcome.check()
        except AssertionError as error:
            failed = 1
            print(f"    NOT SO: {error}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
