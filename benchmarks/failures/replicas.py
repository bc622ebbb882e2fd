"""The service that fails: three replicas, each a process that can be killed, slowed down and brought back."""

from __future__ import annotations

import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..world.child import Child, free_port
from .replica_server import LAYOUT

if TYPE_CHECKING:
    from types import TracebackType

WELL = 200


class _Process(Child):
    name = "replica"

    def __init__(self, port: int, shared: Path, folder: Path) -> None:
        server = Path(__file__).with_name("replica_server.py")
        command: list[str | Path] = [sys.executable, "-I", server, str(port), shared]
        super().__init__(command, folder / f"replica-{port}.log", core=None)

    def kill(self) -> None:
        self._process.kill()
        self.stop()


class Replica:
    """One of them; it keeps its port and its count through restarts."""

    def __init__(self, folder: Path, *, service: float) -> None:
        self.port = free_port()
        self._folder = folder
        self._service = service
        self._shared = folder / f"replica-{self.port}.shared"
        self._shared.write_bytes(LAYOUT.pack(service, WELL, 0))
        self._process: _Process | None = None

    @property
    def requests(self) -> int:
        """How many it has got so far."""
        return int(LAYOUT.unpack(self._shared.read_bytes())[2])

    def start(self) -> None:
        if self._process is None:
            self._process = _Process(self.port, self._shared, self._folder)
            try:
                self._process.wait_for(self.port)
            except BaseException:
                self.stop()
                raise

    def kill(self) -> None:
        """End it as a crash does: at once, with all its connections."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """End it as an orchestrator does: with SIGTERM; what is under way breaks off."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def behave(self, *, delay: float | None = None, status: int = WELL) -> None:
        """Answer so from now on; `delay` in seconds, by default that of a replica that is well."""
        with self._shared.open("r+b") as file:
            file.write(struct.pack("=dQ", self._service if delay is None else delay, status))


class Replicas:
    """All of them, from entering to leaving."""

    def __init__(self, folder: Path, *, count: int = 3, service: float = 0.002) -> None:
        self.all = [Replica(folder, service=service) for _ in range(count)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for replica in self.all:
                stack.callback(replica.kill)
                replica.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def ports(self) -> list[int]:
        return [replica.port for replica in self.all]

    @property
    def requests(self) -> int:
        return sum(replica.requests for replica in self.all)
