"""All that stands beside the clients of a comparison, started together and stopped together."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from . import sidecars, upstream
from .child import Child, free_port
from .envoy import Envoy
from .errors import EnvoyMissingError, EnvoyRefusesError, WorldError
from .policy import PATH, write, write_bare, write_tls
from .proc import CAN_PIN

if TYPE_CHECKING:
    from types import TracebackType

    from ..contestants.base import Contestant

UPSTREAMS = ("upstream", "tls")
TRIES = 3
"""Ports that are tried for Envoy: a free one may be taken before it gets there."""
_REQUEST = b"GET %b HTTP/1.1\r\nhost: benchmark\r\n\r\n"


class World:
    """Inside its `with` an upstream runs, and the sidecars of `wanted` that are installed.

    They share the last core of the machine. `wanted` are sidecars by their names, and `tls` for a second upstream that
    speaks it. `missing` says of each that does not run why it does not. `policies` are files by the names that
    contestants ask for.
    Raises `WorldError` where what is needed does not start, among it `EnvoyRefusesError` for the policy.
    """

    def __init__(self, wanted: set[str], *, policy: Path | None = None, path: str = PATH) -> None:
        self.missing: dict[str, str] = {}
        self.running: dict[str, Child] = {}
        self.memory_at_start: dict[str, int] = {}
        self.versions: dict[str, str] = {}
        self.policies: dict[str, Path] = {}
        self.authority: Path | None = None
        self._wanted = wanted
        self._source = policy
        self._path = path
        self._urls: dict[str, str] = {}
        self._stack = ExitStack()

    @property
    def core(self) -> int | None:
        """The core that everything beside the client runs on; `None` where nothing can be pinned."""
        return max(os.sched_getaffinity(0)) if CAN_PIN else None

    def client_core(self, placement: str) -> int | None:
        """Return the core that a client runs on."""
        if self.core is None or placement == "unpinned":
            return None
        return self.core if placement == "same-core" else min(os.sched_getaffinity(0))

    def __enter__(self) -> Self:
        with self._stack:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
            server = upstream.start(self.folder, core=self.core)
            self._stack.enter_context(server)
            self._remember("upstream", server, server.port, server.version)
            self._start_envoy(server.port)
            self.policies["bare"] = write_bare(self.folder / "bare.yaml", self.port("policy"), [server.port])
            if "tls" in self._wanted:
                self._start_tls()
            for name in sidecars.KINDS.keys() & self._wanted:
                self._start_proxy(name, server.port)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, contestant: Contestant) -> str | None:
        """Return where a contestant calls, `None` where what it goes through does not run."""
        if contestant.upstream not in self.running:
            return None
        if contestant.target == "policy":
            return self._urls["policy"]
        return self._urls.get(contestant.through or contestant.upstream)

    def port(self, name: str) -> int:
        """Return the port of something that runs."""
        port = urlsplit(self._urls[name]).port
        assert port is not None
        return port

    def check(self) -> None:
        """Raise where something has ended that should run."""
        for child in self.running.values():
            child.check()

    def _remember(self, name: str, child: Child, port: int, version: str, *, scheme: str = "http") -> None:
        self.running[name] = child
        self.versions[name] = version
        self.memory_at_start[name] = child.memory()
        self._urls[name] = f"{scheme}://127.0.0.1:{port}{self._path}"

    def _start_tls(self) -> None:
        try:
            certificate = upstream.Certificate.issue(self.folder)
        except ImportError as error:
            self.missing["tls"] = f"{error.name} is not installed, so nothing is measured with TLS."
            return
        server = upstream.start(self.folder, core=self.core, tls=certificate)
        self._stack.enter_context(server)
        self._remember("tls", server, server.port, server.version, scheme="https")
        self.authority = certificate.authority
        path = self.folder / "tls.yaml"
        self.policies["tls"] = write_tls(path, self.port("policy"), [server.port], certificate.authority)

    def _start_envoy(self, server: int) -> None:
        for attempt in range(TRIES):
            port = free_port()
            self.policy = write(self.folder / "policy.yaml", port, [server], self._source)
            self.policies["full"] = self.policy
            self._urls["policy"] = f"http://127.0.0.1:{port}{self._path}"
            if "envoy" not in self._wanted:
                return
            try:
                envoy = self._stack.enter_context(Envoy(self.policy, [port], self.folder, core=self.core))
            except EnvoyMissingError as error:
                self.missing["envoy"] = str(error)
                return
            except EnvoyRefusesError:
                raise
            except WorldError as error:
                if attempt + 1 == TRIES or "Address already in use" not in str(error):
                    raise
            else:
                self._remember("envoy", envoy, port, envoy.version)
                return

    def _start_proxy(self, name: str, server: int) -> None:
        if (binary := sidecars.find(name)) is None:
            self.missing[name] = f"{name} is not installed"
            return
        proxy = sidecars.KINDS[name](binary, server, self.folder, core=self.core)
        self._stack.enter_context(proxy)
        self._remember(name, proxy, proxy.port, proxy.version)


def memory_per_connection(child: Child, port: int, count: int, path: str = PATH) -> float:
    """Return the bytes that a sidecar's memory grows by for each of `count` connections that all ask at once.

    Both sides of the sidecar are in it: down to the client and up to the upstream.
    """
    before = child.memory()
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10.0)) for _ in range(count)]
        for sock in socks:
            sock.sendall(_REQUEST % path.encode())
        for sock in socks:
            sock.recv(1 << 16)
        # What is freed with the answer is not what a connection costs; give it a moment to be.
        time.sleep(0.1)
        return max(0, child.memory() - before) / count
