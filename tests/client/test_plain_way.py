"""The plain way, with httpx's own transport and nobody watching, is left with the very next call once that changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpcore
import httpx
import pytest
from httpx._utils import URLPattern

from ambassador_lib.testing import Upstream

from .conftest import MakeClient, Recorder
from .documents import cluster, policy

URL = "http://up/x"
Change = Callable[[Any, str, pytest.MonkeyPatch], object]


def answer(*_: object) -> httpx.Response:
    return httpx.Response(200, text="changed")


async def answer_async(*_: object) -> httpx.Response:
    return answer()


def answer_below(*_: object) -> httpcore.Response:
    return httpcore.Response(200, content=b"changed")


async def answer_below_async(*_: object) -> httpcore.Response:
    return answer_below()


def by_kind(kind: str, blocking: Any, awaited: Any) -> Any:
    return blocking if kind == "sync" else awaited


def mount(client: Any, _kind: str, _patch: pytest.MonkeyPatch) -> None:
    client._mounts[URLPattern("http://up")] = Recorder("changed")


def replace_transport(client: Any, _kind: str, _patch: pytest.MonkeyPatch) -> None:
    client._transport = Recorder("changed")


def replace_its_method(client: Any, kind: str, _patch: pytest.MonkeyPatch) -> None:
    name = by_kind(kind, "handle_request", "handle_async_request")
    setattr(client._transport, name, by_kind(kind, answer, answer_async))


def patch_transports(_client: Any, kind: str, patch: pytest.MonkeyPatch) -> None:
    owner = by_kind(kind, httpx.HTTPTransport, httpx.AsyncHTTPTransport)
    patch.setattr(owner, by_kind(kind, "handle_request", "handle_async_request"), by_kind(kind, answer, answer_async))


def patch_choice(_client: Any, kind: str, patch: pytest.MonkeyPatch) -> None:
    owner = by_kind(kind, httpx.Client, httpx.AsyncClient)
    patch.setattr(owner, "_transport_for_url", lambda *_: Recorder("changed"))


def patch_pools(_client: Any, kind: str, patch: pytest.MonkeyPatch) -> None:
    owner = by_kind(kind, httpcore.ConnectionPool, httpcore.AsyncConnectionPool)
    name = by_kind(kind, "handle_request", "handle_async_request")
    patch.setattr(owner, name, by_kind(kind, answer_below, answer_below_async))


@pytest.mark.parametrize(
    "change", [mount, replace_transport, replace_its_method, patch_transports, patch_choice, patch_pools]
)
def test_another_way_is_gone_at_once(
    make_client: MakeClient, kind: str, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """Mounts, transports and patches that come after calls have gone the plain way are asked from the next call on."""
    with Upstream(name="network") as upstream, monkeypatch.context() as patch:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        assert [client.get(URL).text for _ in range(3)] == ["network"] * 3
        change(client, kind, patch)
        assert client.get(URL).text == "changed"
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("name", ["_send_single_request", "send", "build_request"])
def test_a_step_that_is_replaced_in_one_client_is_taken(make_client: MakeClient, kind: str, name: str) -> None:
    """Tests put their own functions into a client: the next call goes through them."""
    with Upstream(name="network") as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        assert client.get(URL).text == "network"
        inner, calls = client if kind == "sync" else client.client, []
        original = getattr(inner, name)

        def replaced(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return original(*arguments, **options)

        setattr(inner, name, replaced)
        assert client.get(URL).text == "network"
    assert calls == [name]


def test_hooks_and_authentication_that_come_later_count(make_client: MakeClient, kind: str) -> None:
    """A hook that is added to the client's list, and credentials that are set, are part of the next call."""
    seen = []

    def hook(response: httpx.Response) -> None:
        seen.append(response.status_code)

    async def hook_async(response: httpx.Response) -> None:
        hook(response)

    with Upstream(name="network") as upstream:
        client = make_client(policy(clusters=[cluster("up", upstream.port)]))
        client.get(URL)
        client.event_hooks["response"].append(by_kind(kind, hook, hook_async))
        client.get(URL)
        client.auth = ("me", "secret")
        client.get(URL)
        asked = [request.header("authorization") for request in upstream.requests]
    assert seen == [200, 200]
    assert asked[:2] == [None, None]
    assert str(asked[2]).startswith("Basic ")
