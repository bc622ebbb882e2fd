"""One side of one scenario, from its ports to what was seen: through Envoy, `Client`, `AsyncClient`, or plain httpx."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from .drive import Caller, blocking, carry_out, tasks
from .envoy import Envoy
from .model import Run, Scenario
from .site import Site
from .upstreams.server import Farm, Server

READY_LIMIT = 20.0
SETTLE = 0.02
"""Seconds for the last bytes to arrive where they are looked at."""

TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For URLs that no policy claims, which no scenario calls: loading the system's authorities costs half a side."""

SIDES = ("envoy", "sync", "async")


@dataclass
class Shown:
    """What one side showed: a value an observation, or why there is none."""

    values: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)
    """Texts of the exceptions that calls ended with, for whoever reads a failure."""


@dataclass(frozen=True)
class Job:
    """What a child process is told."""

    scenario: str
    side: str
    folder: Path
    certificates: Path
    envoy: Path | None = None
    ports: tuple[int, ...] = ()
    ignores: str = ""


def show(scenario: Scenario, job: Job) -> Shown:
    """Carry out the scenario on one side and return what was seen."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    began = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.ignores:
        _ignore(job.ignores)
    site = Site(job.folder, job.certificates, list(job.ports))
    farm = Farm(job.certificates, job.folder)
    servers: dict[str, Server] = {}
    try:
        for name, upstream in scenario.declared().items():
            servers[name] = Server(name, upstream, farm, site.next_port())
            site.name_port(name, servers[name].port)
            servers[name].start()
        run = Run(job.side, site, servers, time.sleep, lambda holds, within: _wait_for(run, holds, within))
        for name, document in scenario.files.items():
            site.write(name, document)
        with _WAYS[job.side](scenario, job, run) as call:
            carry_out(scenario.calls, run, call)
        time.sleep(SETTLE)
        values = {look.name: _seen(look.seen, run) for look in scenario.expect}
        messages = sorted({outcome.message for outcome in run.outcomes if outcome.error is not None})
        return Shown(values, None, time.monotonic() - began, messages)
    finally:
        for server in servers.values():
            server.close()
        farm.close()
        site.close()


def _ignore(field: str) -> None:
    """Have the loader of this process pass over a field, once the document has been found to be in order."""
    from ambassador_lib.policy.walk import Walk

    read = Walk._message

    def message(*given: Any, **options: Any) -> Any:
        parsed = read(*given, **options)
        for name in [name for name in parsed.fields if f"{parsed.name}.{name}" == field]:
            del parsed.fields[name]
        return parsed

    Walk._message = message  # type: ignore[method-assign]


def _seen(look: Callable[[Run], Any], run: Run) -> Any:
    try:
        return look(run)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        return f"not seen: {type(error).__name__}: {error}"


def _wait_for(run: Run, holds: Callable[[Run], Any], within: float) -> None:
    end = time.monotonic() + within
    while not holds(run):
        if time.monotonic() > end:
            raise AssertionError(f"what was waited for did not come within {within} s")
        time.sleep(0.01)


def _options(scenario: Scenario) -> dict[str, Any]:
    """Return what the library's clients are given: all switches are set to Envoy's way, unless one is the matter."""
    options = {"local_replies": "response", "retry_safety": "policy", "verify": TRUSTS_NOBODY}
    return {**options, **(scenario.differs.options if scenario.differs is not None else {})}


def _policy(scenario: Scenario, run: Run) -> Any:
    return run.site.placed(scenario.policy)


@contextlib.contextmanager
def _through_envoy(scenario: Scenario, job: Job, run: Run) -> Iterator[Caller]:
    assert job.envoy is not None, "no Envoy"
    logged = bool({look.name for look in scenario.expect} & {"flags", "details"})
    bootstrap = _policy(scenario, run)
    envoy = Envoy(job.envoy, bootstrap, job.folder, workers=scenario.workers, log_calls=logged)
    try:
        envoy.wait_ready(run.site.listeners)
        with _plain_client() as client:
            yield blocking(client, run)
        if logged:
            told = envoy.flags_and_details(len(run.outcomes))
            for outcome, (flags, details) in zip(run.outcomes, told, strict=False):
                outcome.flags, outcome.details = flags, details
        envoy.check()
    finally:
        envoy.stop()


@contextlib.contextmanager
def _through_client(scenario: Scenario, job: Job, run: Run) -> Iterator[Caller]:
    from ambassador_lib import Client

    path = run.site.write("policy.yaml", scenario.policy)
    with Client(path, **_options(scenario)) as client:
        client.ready(READY_LIMIT)
        yield blocking(client, run)


@contextlib.contextmanager
def _through_async_client(scenario: Scenario, job: Job, run: Run) -> Iterator[Caller]:
    from ambassador_lib import AsyncClient

    path = run.site.write("policy.yaml", scenario.policy)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="application", daemon=True)
    thread.start()

    def do(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(READY_LIMIT + 5)

    async def opened() -> AsyncClient:
        client = AsyncClient(path, **_options(scenario))
        await client.__aenter__()
        await client.ready(READY_LIMIT)
        return client

    client = do(opened())
    try:
        yield tasks(client, run, loop)
    finally:
        do(client.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextlib.contextmanager
def _through_nothing(scenario: Scenario, job: Job, run: Run) -> Iterator[Caller]:
    """Plain httpx to the first upstream, whatever the policy says: what no scenario may take for Envoy."""
    first = next(iter(run.upstreams.values()))
    run.site.name_port("main", first.port)
    with _plain_client() as client:
        yield blocking(client, run)


def _plain_client() -> httpx.Client:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.Client(
        transport=httpx.HTTPTransport(limits=limits, trust_env=False, verify=TRUSTS_NOBODY), trust_env=False
    )


_WAYS: dict[str, Callable[[Scenario, Job, Run], contextlib.AbstractContextManager[Caller]]] = {
    "envoy": _through_envoy,
    "sync": _through_client,
    "async": _through_async_client,
    "plain": _through_nothing,
}
