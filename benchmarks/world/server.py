"""The small upstream, run by its path: `python -I server.py PORT [CHAIN]`. It ends when its standard input does.

It imports nothing of this repository. `/bytes/N` answers with N bytes, all else with a small JSON body; the query may
ask for a `status` and a `delay` in seconds. With CHAIN, a certificate and its key in a file, it speaks TLS. One event
loop: what it can carry is a bound on every contestant alike.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

httptools: Any = None  # without it requests without a body are understood, which is what is measured
with suppress(ImportError):
    httptools = import_module("httptools")

SMALL = b'{"status":"ok","charge":"ch_1234567890","n":1}'
MAX_BODY = 64 << 20


def answer(status: int, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def asked_for(target: bytes) -> tuple[bytes, float]:
    """Return the answer to a target, and how long it has to wait."""
    url = urlsplit(target.decode("latin-1"))
    query = parse_qs(url.query)
    _, found, size = url.path.rpartition("/bytes/")
    body = bytes(min(int(size), MAX_BODY)) if found and size.isdigit() else SMALL
    return answer(int(query.get("status", ["200"])[0]), body), float(query.get("delay", ["0"])[0])


class Server(asyncio.Protocol):
    """One connection, whose calls are answered in their order."""

    prepared: ClassVar[dict[bytes, tuple[bytes, float]]] = {}

    def __init__(self) -> None:
        self._target = b""
        self._pending = b""
        self._parser = httptools.HttpRequestParser(self) if httptools else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError:
                self._transport.close()
            return
        *heads, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for head in heads:
            self.on_url(head.split(b" ", 2)[1])
            self.on_message_complete()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_message_complete(self) -> None:
        target, self._target = self._target, b""
        if b"status=" not in target and b"delay=" not in target:
            target = target.partition(b"?")[0]
        if (found := self.prepared.get(target)) is None:
            try:
                found = asked_for(target)
            except ValueError:
                found = answer(400, b""), 0.0
            if len(self.prepared) < 1000:
                self.prepared[target] = found
        whole, delay = found
        if delay:
            asyncio.get_running_loop().call_later(delay, self._transport.write, whole)
        else:
            self._transport.write(whole)


async def main(port: int, chain: str | None) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    context = None
    if chain is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain)
    server = await loop.create_server(Server, "127.0.0.1", port, backlog=4096, ssl=context)

    stdin = sys.stdin.fileno()

    def read() -> None:
        if not os.read(stdin, 1 << 16):
            ended.set()

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    loop.add_reader(stdin, read)
    # Not `async with server`: its end waits for connections that nobody closes.
    await ended.wait()
    server.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
