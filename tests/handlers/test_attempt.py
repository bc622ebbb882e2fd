"""What one try asks of the engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorTransport, AsyncAmbassadorTransport
from ambassador_lib.engine.base import Exchange
from ambassador_lib.errors import DeadlineExpired, RouteTimeoutError

from ..spec.documents import bootstrap

URL = "http://127.0.0.1:15001/"
RETRY = {"num_retries": 1}


class Engine:
    """Answers at once, and remembers what it was asked for."""

    dials = True
    keeps_deadlines = True

    def __init__(self, failure: BaseException | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._failure = failure

    def prepare(self, protocol: str) -> None:
        """Nothing is needed."""

    async def send(self, exchange: Exchange) -> httpx.Response:
        """Answer 200."""
        self.exchanges.append(exchange)
        exchange.on_connected()
        if self._failure is not None:
            raise self._failure
        return httpx.Response(200, stream=httpx.ByteStream(b"ok"))

    async def close(self) -> None:
        """Nothing is open."""

    def abandon(self) -> None:
        """Nothing is open."""


def transport(engine: Engine, **route: Any) -> AmbassadorTransport:
    """Return a transport over the engine whose only route says this."""

    class Over(AmbassadorTransport):
        def _make_engine(self, inner: Any) -> Any:
            return engine

    return Over(bootstrap(route=route))


@pytest.mark.parametrize(
    ("route", "least"),
    [
        ({}, 1000),
        ({"retry_policy": {"retry_on": "5xx", **RETRY}}, 500),
        ({"retry_policy": {"retry_on": "retriable-4xx", **RETRY}}, 409),
        ({"retry_policy": {"retry_on": "retriable-headers", **RETRY}}, 0),
        ({"internal_redirect_policy": {}}, 300),
        ({"internal_redirect_policy": {}, "retry_policy": {"retry_on": "5xx", **RETRY}}, 300),
        (
            {
                "hedge_policy": {"hedge_on_per_try_timeout": True},
                "retry_policy": {"retry_on": "5xx", "per_try_timeout": "1s", **RETRY},
            },
            0,
        ),
    ],
)
def test_the_engine_is_told_what_may_be_dropped(route: dict[str, Any], least: int) -> None:
    """From the least status on with which another answer may be taken in place of this one."""
    engine = Engine()
    with transport(engine, **route) as over:
        over.handle_request(httpx.Request("GET", URL)).read()
    assert [least] == [exchange.dropped_from for exchange in engine.exchanges]


def test_an_answer_that_is_there_whole_has_ended() -> None:
    """The call's story is complete, and what it held is given back, before anybody reads the body."""
    with transport(Engine()) as over:
        response = over.handle_request(httpx.Request("GET", URL))
        report = response.extensions["ambassador"]
        assert report.duration is not None
        upstream = over._begin().clusters["c"]
        assert (0, 0) == (upstream.limits["DEFAULT"].active, upstream.hosts[0].active)
        assert b"ok" == response.read()


def test_an_engine_that_keeps_deadlines_is_believed() -> None:
    """Its `DeadlineExpired` is told as the bound that has passed."""
    with transport(Engine(DeadlineExpired()), timeout="1s") as over, pytest.raises(RouteTimeoutError):
        over.handle_request(httpx.Request("GET", URL))


async def _ways(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return which calls had a bound around them that is not the engine's."""
    bounded: list[str] = []

    class Over(AsyncAmbassadorTransport):
        def _make_engine(self, inner: Any) -> Any:
            return engine

    async with Over(bootstrap()) as over:
        within = over._runtime.within

        def watched(*work: Any) -> Any:
            bounded.append("send")
            return within(*work)

        monkeypatch.setattr(over._runtime, "within", watched)
        response = await over.handle_async_request(httpx.Request("GET", URL))
        await response.aread()
    return bounded


@pytest.mark.parametrize("keeps", [True, False])
def test_only_other_engines_are_bounded(keeps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer stands around an engine that keeps the call's deadline itself."""
    engine = Engine()
    engine.keeps_deadlines = keeps
    assert ([] if keeps else ["send"]) == asyncio.run(_ways(engine, monkeypatch))
