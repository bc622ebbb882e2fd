"""Applications and mocks as the transport underneath."""

from __future__ import annotations

from typing import Any

import anyio
import httpx

from ambassador_lib import AsyncClient, Client

from .documents import BASE, policy


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['HTTP_HOST']} {environ['PATH_INFO']}".encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    host = dict(scope["headers"])[b"host"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": host + b" " + scope["path"].encode()})


def test_a_wsgi_application_sees_the_logical_url() -> None:
    """A WSGI application is called with the application's host and path."""
    with Client(policy(), transport=httpx.WSGITransport(wsgi)) as client:
        response = client.get(f"{BASE}/charges")

    assert response.text == "127.0.0.1:15001 /charges"
    assert response.extensions["ambassador"].attempts[0].endpoint == "127.0.0.1:9"


def test_an_asgi_application_sees_the_logical_url() -> None:
    """An ASGI application is called with the application's host and path, under asyncio and trio."""

    async def main() -> None:
        async with AsyncClient(policy(), transport=httpx.ASGITransport(asgi)) as client:
            response = await client.get(f"{BASE}/charges")
        assert response.text == "127.0.0.1:15001 /charges"

    anyio.run(main, backend="asyncio")
    anyio.run(main, backend="trio")
