"""Endpoints on unix sockets (`Address.pipe`), through the public API."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ambassador_lib import AsyncClient, Client, UpstreamConnectError
from ambassador_lib.policy import Policy
from tests.spec.documents import cluster, policy

URL = "http://127.0.0.1:15001/"


@contextlib.contextmanager
def listening(path: str) -> Iterator[None]:
    """Answer every request on a unix socket with its path."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"\0{path[1:]}" if path.startswith("@") else path)
    server.listen()
    server.settimeout(5)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(5)
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    body = path.encode()
                    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                    connection.sendall(head.encode() + body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def to_pipe(path: str, **fields: Any) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": path}}}}
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [endpoint]}]}
    return policy(clusters=[{**cluster(), "type": "STATIC", "load_assignment": assignment, **fields}])


def get(mode: str, document: Any) -> httpx.Response:
    if mode == "sync":
        with Client(document) as client:
            return client.get(URL)

    async def main() -> httpx.Response:
        async with AsyncClient(document) as client:
            return await client.get(URL)

    return asyncio.run(main())


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("abstract", [False, True])
def test_a_unix_socket_is_dialled_by_its_path(mode: str, tmp_path: pathlib.Path, abstract: bool) -> None:
    """The report names the socket; a path that begins with `@` is in the abstract namespace."""
    path = f"@ambassador{tmp_path}" if abstract else str(tmp_path / "up.sock")
    with listening(path):
        response = get(mode, to_pipe(path))
    assert (response.status_code, response.text) == (200, path)
    assert response.extensions["ambassador"].attempts[0].endpoint == path


def test_a_socket_that_is_not_there_is_a_failure_to_connect(mode: str, tmp_path: pathlib.Path) -> None:
    """Nobody listens at the path: UF, as with a refused port."""
    with pytest.raises(UpstreamConnectError) as raised:
        get(mode, to_pipe(str(tmp_path / "nobody")))
    assert raised.value.call.flags == ["UF"]


def test_a_unix_socket_can_be_health_checked(tmp_path: pathlib.Path) -> None:
    """An active check dials the same path."""
    path = str(tmp_path / "up.sock")
    check = {"timeout": "5s", "interval": "60s", "healthy_threshold": 1, "unhealthy_threshold": 1}
    checks = [{**check, "http_health_check": {"path": "/"}}]
    with listening(path), Client(to_pipe(path, health_checks=checks)) as client:
        client.ready(timeout=10)
        assert client.get(URL).text == path


def test_only_static_clusters_have_unix_sockets(tmp_path: pathlib.Path) -> None:
    """A path is nothing that DNS could resolve."""
    with pytest.raises(ValueError, match="a unix socket needs no resolving"):
        Policy.parse(to_pipe(str(tmp_path / "x"), type="STRICT_DNS"))


def test_over_a_foreign_transport_a_unix_socket_cannot_be_dialled(tmp_path: pathlib.Path) -> None:
    """httpx's own transport takes the path of a socket for all its requests or for none: it is said, not guessed."""
    client = Client(to_pipe(str(tmp_path / "x")), transport=httpx.HTTPTransport())
    with client, pytest.raises(UpstreamConnectError, match="the library's own engine alone"):
        client.get(URL)
