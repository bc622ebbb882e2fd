"""One accepted connection, read and written with the means to break it at any byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct

SILENCE = 60.0
"""Seconds after which a connection on which nothing moves is given up: nothing here waits without a bound."""


class Gone(Exception):  # noqa: N818 - a signal inside this room
    """The peer left."""


class Wire:
    """Buffered reading, writing and ending of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.buffer = bytearray()
        self.ended = False
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def fill(self, seconds: float = SILENCE) -> None:
        """Read what comes within `seconds`; `Gone` at the end, `TimeoutError` where nothing came."""
        if self.ended:
            raise Gone
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(1 << 17)
        except TimeoutError:
            raise
        except (OSError, ssl.SSLError):
            data = b""
        if not data:
            self.ended = True
            raise Gone
        self.buffer += data

    async def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.fill()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def take_until(self, end: bytes) -> bytes:
        """Return what comes before `end`, which goes too."""
        start = 0
        while (at := self.buffer.find(end, start)) < 0:
            start = max(0, len(self.buffer) - len(end))
            await self.fill()
        return (await self.take(at + len(end)))[: -len(end)]

    async def silent_for(self, seconds: float) -> None:
        """Let `seconds` pass; `Gone` when the peer leaves meanwhile. What it sends is kept."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await self.fill(left)

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (OSError, ssl.SSLError) as error:
            raise Gone from error

    def close(self) -> None:
        """Close with a FIN."""
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.close()

    def reset(self) -> None:
        """Close with a RST."""
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def tls(self) -> dict[str, str | None]:
        """What was negotiated; empty without TLS."""
        session = self.writer.get_extra_info("ssl_object")
        if session is None:
            return {}
        subject = (session.getpeercert() or {}).get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        return {
            "version": session.version(),
            "cipher": (session.cipher() or ("",))[0],
            "alpn": session.selected_alpn_protocol(),
            "sni": getattr(session, "heard_name", None),
            "client": names[0] if names else None,
            "resumed": "yes" if session.session_reused else "no",
        }
