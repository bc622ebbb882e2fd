"""One replica of the service that fails, run by its path: `python -I replica_server.py PORT FILE`.

It imports nothing of this repository. What it does, and how much it has done, stands in FILE, which it shares with
those who run it: so both outlive a replica that is killed. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import struct
import sys
from contextlib import suppress

LAYOUT = struct.Struct("=dQQ")
"""Seconds until it answers, the status it answers with, the requests it has got."""
BODY = b'{"status":"ok"}'


class Shared:
    """The file, as numbers."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), LAYOUT.size)

    def take(self) -> tuple[float, int]:
        """Count a request; return delay and status."""
        delay, status, requests = LAYOUT.unpack(self._map[:])
        self._map[16:] = struct.pack("=Q", requests + 1)
        return delay, status


class Replica(asyncio.Protocol):
    """One connection, whose requests have no body and come one after the other."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for _ in heads:
            delay, status = self._shared.take()
            head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            asyncio.get_running_loop().call_later(delay, self._transport.write, head % (status, len(BODY)) + BODY)


async def main(port: int, path: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    shared = Shared(path)
    server = await loop.create_server(lambda: Replica(shared), "127.0.0.1", port, backlog=1024)
    loop.add_signal_handler(signal.SIGTERM, ended.set)

    stdin = sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 1 << 16):
            ended.set()

    loop.add_reader(stdin, read)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
