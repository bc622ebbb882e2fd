"""Transports of httpx2, whose classes are others than httpx's, as the transport underneath."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib import AmbassadorTransport, UpstreamConnectError
from ambassador_lib.testing import Upstream

from .conftest import MakeClient
from .documents import BASE, cluster, policy

httpx2 = pytest.importorskip("httpx2")


def transport_of(kind: str) -> Any:
    return httpx2.HTTPTransport() if kind == "sync" else httpx2.AsyncHTTPTransport()


def test_a_transport_of_httpx2_dials_the_endpoints(make_client: MakeClient, kind: str) -> None:
    """It connects to the address of the endpoint, and carries bodies both ways; it serves other URLs, too."""

    def pieces() -> Iterator[bytes]:
        yield b"first, "
        yield b"second"

    async def async_pieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    with Upstream(name="network") as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]), transport=transport_of(kind))
        response = client.post(f"{BASE}/charges?x=1", content=b"whole", headers={"X-Case": "1"})
        assert response.text == "network"
        assert response.extensions["ambassador"].attempts[0].endpoint == f"127.0.0.1:{upstream.port}"
        assert client.post(f"{BASE}/s", content=pieces() if kind == "sync" else async_pieces()).text == "network"
        assert client.get(f"{upstream.url}/elsewhere").text == "network"
    whole, streamed, elsewhere = upstream.requests
    assert (whole.path, whole.body, whole.header("x-case")) == ("/charges", b"whole", "1")
    assert whole.header("host") == "127.0.0.1:15001"
    assert (streamed.body, elsewhere.path) == (b"first, second", "/elsewhere")


def test_its_failures_are_the_policys(make_client: MakeClient, kind: str) -> None:
    """What httpx2 raises is told as what httpx would raise, and so tried again where the policy says so."""
    client = make_client(policy(clusters=[cluster("up", port=2)]), transport=transport_of(kind))
    with pytest.raises(UpstreamConnectError) as caught:
        client.get(BASE)
    assert caught.value.call is not None
    with pytest.raises(httpx.ConnectError):
        client.get("http://127.0.0.1:2/")


def test_a_mock_of_httpx2_sees_logical_urls(make_client: MakeClient) -> None:
    """A mock does not dial: it is asked for what the application called."""
    seen = []

    def answer(request: Any) -> Any:
        seen.append(str(request.url))
        return httpx2.Response(200, text="mock")

    assert make_client(policy(), transport=httpx2.MockTransport(answer)).get(f"{BASE}/x").text == "mock"
    assert seen == [f"{BASE}/x"]


def test_it_may_be_the_inner_one() -> None:
    """`AmbassadorTransport(inner=...)` takes it as `transport=` does, and closes it."""
    inner = httpx2.HTTPTransport()
    with Upstream(name="network") as upstream:
        document = policy(clusters=[cluster("up", upstream.port)])
        with httpx.Client(transport=AmbassadorTransport(document, inner=inner)) as client:
            assert client.get(f"{BASE}/x").text == "network"
            assert len(inner._pool.connections) == 1
        assert inner._pool.connections == []


def test_one_of_the_other_kind_is_refused(make_client: MakeClient, kind: str) -> None:
    """A blocking transport under an async client, or the other way round, is told at once."""
    with pytest.raises(TypeError, match="must be an httpx"):
        make_client(policy(), transport=transport_of("asyncio" if kind == "sync" else "sync"))
