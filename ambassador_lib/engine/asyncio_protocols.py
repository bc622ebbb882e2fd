"""What asyncio's transports tell, handed on to wires: loops look at a protocol's class, and compiled ones have none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncio_wire import BufferedWire, PlainWire


class BufferedTeller(asyncio.BufferedProtocol):
    """Tells a wire that receives into the loop's buffer.

    What it hands on are the wire's own methods, not calls of them: the loop's call is the only one.
    """

    __slots__ = (
        "buffer_updated", "connection_lost", "connection_made", "eof_received", "get_buffer", "pause_writing",
        "resume_writing",
    )  # fmt: skip

    if TYPE_CHECKING:
        get_buffer: Callable[[int], memoryview]  # type: ignore[assignment]
        buffer_updated: Callable[[int], None]  # type: ignore[assignment]
        eof_received: Callable[[], bool]
        connection_made: Callable[[Any], None]  # type: ignore[assignment]
        connection_lost: Callable[[Exception | None], None]  # type: ignore[assignment]
        pause_writing: Callable[[], None]
        resume_writing: Callable[[], None]

    def __init__(self, wire: BufferedWire) -> None:
        self.get_buffer = wire.get_buffer
        self.buffer_updated = wire.buffer_updated
        self.eof_received = wire.eof_received
        self.connection_made = wire.connection_made
        self.connection_lost = wire.connection_lost
        self.pause_writing = wire.pause_writing
        self.resume_writing = wire.resume_writing


class PlainTeller(asyncio.Protocol):
    """Tells a wire that has bytes brought."""

    __slots__ = ("_wire",)

    def __init__(self, wire: PlainWire) -> None:
        self._wire = wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it on."""
        self._wire.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand it on; before Python 3.12 it is a piece of the transport's own bytearray."""
        self._wire.received(bytes(data))

    def eof_received(self) -> bool:
        """Hand it on."""
        return self._wire.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._wire.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._wire.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._wire.resume_writing()
