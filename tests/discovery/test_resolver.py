"""The system's resolver, with `getaddrinfo` replaced."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ambassador_lib.discovery import Answer, NoSuchName, ResolveFailed
from ambassador_lib.discovery.resolver import is_address
from ambassador_lib.discovery.system_resolver import SYSTEM_LOOKUP_TIMEOUT, SystemResolver
from ambassador_lib.runtime.clock import SystemClock

PATIENCE = 10.0


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    return lambda function: monkeypatch.setattr(socket, "getaddrinfo", function)


def infos(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_addresses_in_the_systems_order(lookups: Any) -> None:
    """Each address once, no TTL, and the family that was asked for."""
    asked = []

    def getaddrinfo(*arguments: Any) -> list[Any]:
        asked.append(arguments)
        return infos("10.0.0.2", "10.0.0.1", "10.0.0.2")

    lookups(getaddrinfo)
    answer = asyncio.run(SystemResolver(SystemClock()).resolve("a.test", "V4"))
    assert answer == Answer(("10.0.0.2", "10.0.0.1"), None)
    assert asked == [("a.test", None, socket.AF_INET, socket.SOCK_STREAM)]


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NoSuchName),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), ResolveFailed),
        (socket.gaierror(socket.EAI_FAIL, "failed"), ResolveFailed),
        (OSError("no descriptors"), ResolveFailed),
        (UnicodeError("label too long"), ResolveFailed),
    ],
)
def test_errors(lookups: Any, raised: Exception, error: type[Exception]) -> None:
    """Only "no such name" says that there is no address."""

    def getaddrinfo(*arguments: Any) -> list[Any]:
        raise raised

    lookups(getaddrinfo)
    with pytest.raises(error):
        asyncio.run(SystemResolver(SystemClock()).resolve("a.test", "V4"))


@pytest.mark.parametrize(
    ("name", "family", "addresses"),
    [
        ("localhost", "V6", ("::1",)),
        ("LocalHost.", "V4", ("127.0.0.1",)),
        ("db.localhost", "BOTH", ("::1", "127.0.0.1")),
        ("notlocalhost", "V4", None),
    ],
)
def test_localhost_has_both_loopback_addresses(lookups: Any, name: str, family: Any, addresses: Any) -> None:
    """Where the system knows no address of the family for localhost, it is the loopback's, as RFC 6761 has it."""

    def getaddrinfo(*arguments: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    lookups(getaddrinfo)
    asked = SystemResolver(SystemClock()).resolve(name, family)
    if addresses is None:
        with pytest.raises(NoSuchName):
            asyncio.run(asked)
    else:
        assert asyncio.run(asked) == Answer(addresses)


def test_a_lookup_that_hangs_is_given_up_and_its_answer_used_later(kit: Any, lookups: Any) -> None:
    """The wait is bounded; the next lookup joins the thread that still hangs, and takes its answer."""
    release = threading.Event()
    calls = []

    def getaddrinfo(*arguments: Any) -> list[Any]:
        calls.append(arguments)
        assert release.wait(PATIENCE)
        return infos("10.0.0.1")

    lookups(getaddrinfo)

    async def main() -> None:
        resolver = SystemResolver(kit.clock)
        first = asyncio.ensure_future(resolver.resolve("a.test", "V4"))
        await kit.clock.advance(SYSTEM_LOOKUP_TIMEOUT)
        with pytest.raises(ResolveFailed, match=r"no answer for a\.test"):
            await first
        second = asyncio.ensure_future(resolver.resolve("a.test", "V4"))
        await kit.clock.settle()
        release.set()
        assert await asyncio.wait_for(second, PATIENCE) == Answer(("10.0.0.1",))
        assert len(calls) == 1

    asyncio.run(main())


def test_a_lookup_outlives_a_cancelled_caller_without_a_trace(lookups: Any, caplog: Any) -> None:
    """Whoever asked may be gone: the late failure is nobody's, and not complained of."""
    release, called = threading.Event(), threading.Event()

    def getaddrinfo(*arguments: Any) -> list[Any]:
        called.set()
        assert release.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    lookups(getaddrinfo)

    async def main() -> None:
        task = asyncio.ensure_future(SystemResolver(SystemClock()).resolve("a.test", "V4"))
        await asyncio.to_thread(called.wait, PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    release.set()
    for thread in threading.enumerate():
        if thread.name == "ambassador_lib-resolve-a.test":
            thread.join(PATIENCE)
    assert caplog.records == []


@pytest.mark.parametrize(("name", "literal"), [("10.0.0.1", True), ("::1", True), ("fe80::1%eth0", True), ("a", False)])
def test_ip_literals(name: str, literal: bool) -> None:
    """IPv4, IPv6, and IPv6 with a zone are addresses."""
    assert is_address(name) == literal
