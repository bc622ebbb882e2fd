"""A timeout that the application sets is told apart from httpx's default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ambassador_lib import AsyncClient, Client, RouteTimeoutError
from ambassador_lib._httpx import DefaultTimeout
from ambassador_lib.testing import simulation

from .conftest import MakeClient, Recorder
from .documents import BASE, cluster, listener, policy, virtual_host


def is_marked(request: httpx.Request) -> bool:
    return isinstance(request.extensions["timeout"], DefaultTimeout)


def test_a_timeout_that_nobody_set_is_marked_and_equals_httpx_default(make_client: MakeClient) -> None:
    """Neither client nor call set one: any transport reads httpx's 5 s, ours sees that it is only the default."""
    client = make_client()

    request = client.build_request("GET", BASE)

    assert is_marked(request)
    assert request.extensions == httpx.Client().build_request("GET", BASE).extensions
    assert client.timeout == httpx.Timeout(5.0)
    assert httpx.Timeout(5.0) == client.timeout
    assert client.timeout != httpx.Timeout(4.0)
    assert repr(client.timeout) == "Timeout(timeout=5.0)"


@pytest.mark.parametrize(
    "build",
    [
        lambda make: make(timeout=5.0).build_request("GET", BASE),
        lambda make: make(timeout=httpx.Timeout(5.0)).build_request("GET", BASE),
        lambda make: make(timeout=None).build_request("GET", BASE),
        lambda make: make().build_request("GET", BASE, timeout=5.0),
        lambda make: make().build_request("GET", BASE, timeout=None),
        lambda make: make().build_request("GET", BASE, extensions={"timeout": {"read": 5.0}}),
        lambda make: make(timeout=make().timeout).build_request("GET", BASE),
    ],
)
def test_a_timeout_that_somebody_set_is_not_marked(
    make_client: MakeClient, build: Callable[[MakeClient], httpx.Request]
) -> None:
    """A timeout of the client or the call counts as set, also where it has the default's value."""
    assert not is_marked(build(make_client))


def test_assigning_the_clients_timeout_sets_it(make_client: MakeClient) -> None:
    """`client.timeout = ...` ends the default."""
    client = make_client()
    client.timeout = 5.0

    assert not is_marked(client.build_request("GET", BASE))


def test_a_request_that_the_client_did_not_build_is_marked_when_sent(make_client: MakeClient) -> None:
    """httpx gives a bare `httpx.Request` the client's timeout on sending: it is the default there, too."""
    inner = Recorder()

    make_client(transport=inner).send(httpx.Request("GET", "http://example.org/"))
    make_client(transport=inner, timeout=5.0).send(httpx.Request("GET", "http://example.org/"))

    assert [is_marked(request) for request in inner.requests] == [True, False]


def test_the_mark_survives_redirects_and_authentication(make_client: MakeClient) -> None:
    """Requests that httpx derives from the first keep its mark."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            return httpx.Response(302, headers={"Location": "/next"})
        return httpx.Response(200)

    inner = Recorder(answer=answer)
    make_client(transport=inner, auth=("user", "password"), follow_redirects=True).get("http://example.org/")

    assert [is_marked(request) for request in inner.requests] == [True, True]


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
@pytest.mark.parametrize(
    ("client_options", "call_options", "expected", "seconds"),
    [
        ({"timeout": 3.0}, {}, httpx.ReadTimeout, 3),
        ({}, {"timeout": 3.0}, httpx.ReadTimeout, 3),
        ({"timeout": 3.0}, {"timeout": None}, RouteTimeoutError, 10),
        ({"timeout": 30.0}, {}, RouteTimeoutError, 10),
        ({}, {}, RouteTimeoutError, 10),
    ],
)
def test_the_policys_timeout_and_the_applications(
    client_options: dict[str, Any],
    call_options: dict[str, Any],
    expected: type[httpx.TimeoutException],
    seconds: float,
    kind: str,
) -> None:
    """The earlier one ends the call: the policy's as `RouteTimeoutError`, the application's as httpx's own.

    Httpx's default of 5 s is nobody's: it ends nothing.
    """
    with simulation() as kit:
        up = kit.simulated_upstreams.up
        up.hangs()
        written = policy(listener(virtual_host(timeout="10s")), clusters=[cluster("up", up.port)])
        document = kit.policy(written, upstreams={"up": up})

        async def main() -> None:
            async with AsyncClient(document, **client_options) as client:
                await client.get(BASE, **call_options)

        def blocking() -> None:
            with Client(document, **client_options) as client:
                client.get(BASE, **call_options)

        with pytest.raises(httpx.ReadTimeout) as caught:
            blocking() if kind == "sync" else asyncio.run(main())
        assert kit.virtual_time.elapsed == seconds

    assert type(caught.value) is expected
    if expected is httpx.ReadTimeout:
        assert caught.value.call.flags == ["DC"]  # type: ignore[attr-defined]
