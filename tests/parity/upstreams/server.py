"""The running upstreams of one side of one scenario: an event loop in a thread, and a server each on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import h2.exceptions

from . import dns, http1, http2
from .records import Request
from .replies import Reply, Script, Upstream, answer
from .wire import SILENCE, Gone, Wire

BOUND = 10.0
"""Seconds within which the loop must have done what it was told."""


class Server:
    """One upstream at work. Everything may be called from any thread."""

    def __init__(self, name: str, upstream: Upstream, farm: Farm, port: int = 0) -> None:
        self.name, self.upstream = name, upstream
        self.script: Script = upstream.script
        self.health: Script | None = upstream.health
        self.requests: list[Request] = []
        self.checks: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.most_busy = 0
        self.failed_handshakes = 0
        self._busy = 0
        self._farm = farm
        self._paths: Counter[tuple[bool, str]] = Counter()
        self._wires: set[Wire] = set()
        self._fillers: list[socket.socket] = []
        self._listening: asyncio.Server | None = None
        self._questions: asyncio.DatagramTransport | None = None
        self._socket = self._reserved(port)
        self.port: int = 0 if upstream.pipe else self._socket.getsockname()[1]

    # --- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen, unless it is declared otherwise."""
        if self.upstream.kind == "backlog":
            self._fill_backlog()
        elif self.upstream.kind == "dns":
            self._farm.do(self._answer_questions())
        elif self.upstream.kind != "refused":
            self.revive()

    def kill(self) -> None:
        """Drop all connections and refuse new ones; the port stays taken."""
        self._farm.do(self._kill())

    def revive(self) -> None:
        """Listen (again) on the same port."""
        self._farm.do(self._listen())

    def drop(self) -> None:
        """Close the open connections; new ones are accepted."""
        self._farm.do(self._drop())

    def close(self) -> None:
        """End everything."""
        for sock in self._fillers:
            sock.close()
        self._farm.do(self._kill())
        self._socket.close()

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await asyncio.start_server(
                self._serve, sock=self._socket, ssl=self._context(), backlog=1024, limit=1 << 20
            )

    async def _answer_questions(self) -> None:
        loop = asyncio.get_running_loop()
        self._questions, _ = await loop.create_datagram_endpoint(
            lambda: dns.NameServer(self), local_addr=(self.upstream.host, self.port)
        )

    async def _kill(self) -> None:
        if self._questions is not None:
            self._questions.close()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
            self._socket = self._reserved(self.port)
        await self._drop()

    def _reserved(self, port: int) -> socket.socket:
        if self.upstream.pipe is None:
            return reserve(self.upstream.host, port)
        path = self._farm.folder / self.upstream.pipe
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        return sock

    async def _drop(self) -> None:
        for wire in list(self._wires):
            wire.writer.transport.abort()

    def _fill_backlog(self) -> None:
        self._socket.listen(0)
        for _ in range(4):
            filler = socket.socket(self._socket.family)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((self.upstream.host, self.port))
            self._fillers.append(filler)
        time.sleep(0.05)

    def _context(self) -> ssl.SSLContext | None:
        tls = self.upstream.tls
        if tls is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        folder = self._farm.certificates
        context.load_cert_chain(folder / f"{tls.certificate}.crt", folder / f"{tls.certificate}.key")
        context.minimum_version, context.maximum_version = tls.minimum, tls.maximum
        if tls.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(folder / f"{tls.client_ca}.crt")
        if tls.curve is not None:
            context.set_ecdh_curve(tls.curve)
        if tls.alpn:
            context.set_alpn_protocols(list(tls.alpn))
        context.sni_callback = _remember_name
        return context

    # --- what it sees ------------------------------------------------------------------------------------------------

    def record(
        self, method: str, target: str, headers: list[tuple[str, str]], connection: int, tls: dict[str, str | None]
    ) -> Request:
        """Keep one request."""
        path = target.partition("?")[0]
        check = self.health is not None and path == self.upstream.health_path
        kept = self.checks if check else self.requests
        self._paths[check, path] += 1
        request = Request(
            len(kept) + 1, self._paths[check, path], method, target, headers, connection, time.monotonic(), tls=tls
        )
        kept.append(request)
        return request

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request that was recorded."""
        if self.health is not None and request.path == self.upstream.health_path:
            return answer(self.health, request)
        return answer(self.script, request)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Count the requests under way."""
        self._busy += 1
        self.most_busy = max(self.most_busy, self._busy)
        try:
            yield
        finally:
            self._busy -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self._wires.add(wire)
        try:
            if self.upstream.greeting is not None:
                await self._greet(wire)
            elif self.upstream.kind == "dns over tcp":
                await dns.serve(wire, self)
            elif self.upstream.kind == "http2":
                await http2.Session(wire, self, self.connections).serve()
            else:
                await http1.serve(wire, self, self.connections)
        except (Gone, TimeoutError, ValueError, OSError, h2.exceptions.ProtocolError):
            pass  # the peer left, stayed silent, or speaks something else
        finally:
            self.open -= 1
            self._wires.discard(wire)
            wire.close()

    async def _greet(self, wire: Wire) -> None:
        greeting = self.upstream.greeting
        if greeting == "reset":
            wire.reset()
        elif greeting == "hang":
            await wire.silent_for(SILENCE)
        elif isinstance(greeting, bytes):
            await wire.fill()
            await wire.send(greeting)


class Farm:
    """The loop of all upstreams, in a thread of its own."""

    def __init__(self, certificates: Path, folder: Path) -> None:
        self.certificates, self.folder = certificates, folder
        self._loop = asyncio.new_event_loop()
        # Handshakes that fail and peers that vanish are part of the game.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstreams", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` on the loop to its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(BOUND)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND)


def reserve(host: str, port: int = 0) -> socket.socket:
    """Return a socket that holds the port and does not listen: connections are refused, nobody else gets it.

    With SO_REUSEPORT, so that whoever knows of it (Envoy, for a listener) can bind the port beside us.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock


def _remember_name(session: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    session.heard_name = name  # type: ignore[attr-defined]
