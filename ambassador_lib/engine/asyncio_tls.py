"""TLS on asyncio and uvloop: OpenSSL between a connection's bytes and those of the protocol spoken on it.

The loops' own way hides the socket: a write that fails throws unread bytes away, one of many megabytes returns before
anything of it is sent, and asyncio's takes twice the time.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..call import Deadline
from .asyncio_wire import AsyncioWire
from .dialling import handshake_failed
from .wire import PeerReset

if TYPE_CHECKING:
    from .allowance import Allowance
    from .base import Destination
    from .tls import TlsMaterial

RECORD = 16 * 1024
"""Bytes of plain text in a record, at most (RFC 8446 5.1)."""
PIECE = 4 * RECORD
"""Bytes that are encrypted before the first of them are sent."""


async def secured(wire: AsyncioWire, destination: Destination, material: TlsMaterial, allowance: Allowance) -> TlsWire:
    """Do the handshake and check the certificate; `allowance` bounds it."""
    try:
        tls = TlsWire(wire, material.context, destination.sni)
        await tls.shake_hands(allowance)
        material.check(tls.object, destination.san)
    except BaseException as error:
        wire.drop()
        if isinstance(error, (OSError, ValueError, PeerReset)):
            raise handshake_failed(error) from error
        raise
    return tls


class TlsWire:
    """A wire that is encrypted on another one."""

    keeps_deadlines = True

    __slots__ = (
        "_encrypted",
        "_is_over",
        "_is_read",
        "_own_thread",
        "_to_decrypt",
        "_wire",
        "alpn",
        "object",
    )

    def __init__(self, wire: AsyncioWire, context: ssl.SSLContext, server_name: str | None) -> None:
        self._wire = wire
        self._to_decrypt = ssl.MemoryBIO()
        self._encrypted = ssl.MemoryBIO()
        self._own_thread = threading.get_ident()
        self._is_over = False
        """Whether the peer has said goodbye."""
        self._is_read = False
        """Whether somebody waits for bytes."""
        self.object = context.wrap_bio(self._to_decrypt, self._encrypted, server_hostname=server_name)
        self.alpn: str | None = None

    async def shake_hands(self, allowance: Allowance) -> None:
        """Do the handshake; the peer's answers are waited for on its `allowance`."""
        while True:
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._flush()  # it tells the peer why
                raise
            else:
                self._flush()
                self.alpn = self.object.selected_alpn_protocol()
                return
            self._flush()
            with allowance.waiting(self._wire.has_input):
                await self._fetch(Deadline())

    async def read(self, deadline: Deadline) -> bytes:
        """Return what has come. An end without a farewell is an end: HTTP has its own framing."""
        while (data := self._take()) is None:
            self._is_read = True
            try:
                await self._wire.arrival(deadline)
            finally:
                self._is_read = False
        return data

    def _take(self) -> bytes | None:
        """Return what has come and is decrypted, `b""` for the end, `None` for nothing yet; `PeerReset`."""
        while not self._is_over:
            if self._to_decrypt.pending:
                try:
                    data = self.object.read(RECORD)
                except ssl.SSLWantReadError:
                    self._flush()
                except (OSError, ValueError) as error:
                    raise PeerReset(str(error)) from error
                else:
                    self._is_over = not data
                    return data
            encrypted = self._wire.take()
            if encrypted is None:
                return None
            self._to_decrypt.write(encrypted)
            self._is_over = not encrypted
        return b""

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all; a cancellation in the middle leaves the connection unusable."""
        rest = memoryview(data)
        while rest:
            try:
                sent = self.object.write(rest[:PIECE])
            except ssl.SSLWantReadError:
                sent = 0
            except (OSError, ValueError) as error:
                raise PeerReset(str(error)) from error
            if not sent:
                self._flush()
                await self._fetch(deadline)  # it renegotiates
                continue
            is_first, rest = len(rest) == len(data), rest[sent:]
            try:
                await self._wire.write(self._encrypted.read(), deadline)
            except PeerReset as error:
                error.sent = error.sent or not is_first
                raise

    def put(self, data: bytes, deadline: Deadline) -> Coroutine[Any, Any, None] | None:
        """Send all, or return how to send it."""
        if len(data) > PIECE:
            return self.write(data, deadline)
        try:
            self.object.write(data)
        except ssl.SSLWantReadError:  # it renegotiates, and has taken nothing
            return self.write(data, deadline)
        except (OSError, ValueError) as error:
            raise PeerReset(str(error)) from error
        return self._wire.put(self._encrypted.read(), deadline)

    def get(self, deadline: Deadline) -> bytes | None:  # noqa: ARG002 - it never waits
        """Nothing: hardly ever is an answer there at once."""
        return None

    async def _fetch(self, deadline: Deadline) -> None:
        """Have OpenSSL hear more from the peer; who reads or listens already does it, too."""
        if self._wire.is_listened_to:
            await self._wire.arrival(deadline)
        elif self._is_read:
            raise PeerReset("renegotiation in the middle of an exchange")
        elif data := await self._wire.read(deadline):
            self._to_decrypt.write(data)
        else:
            raise PeerReset("closed by the peer")

    def _flush(self) -> None:
        """Send what OpenSSL has to say for itself: little, and so without waiting."""
        if self._encrypted.pending:
            self._wire.push(self._encrypted.read())

    async def listening(self, sending: Coroutine[Any, Any, None], hear: Callable[[bytes], bool]) -> bool:
        """Have `hear` told by the loop's own callbacks."""
        return await self._wire.listening_by(self._take, sending, hear)

    async def close(self) -> None:
        """Close without a farewell."""
        await self._wire.close()

    def abort(self) -> None:
        """Shut the socket down."""
        self._wire.abort()

    def forget(self) -> None:
        """Let go of the parent's connection."""
        self._wire.forget()

    def tls_session(self) -> ssl.SSLSession | None:
        """Return the session that the next connection may resume; OpenSSL lets one thread at a time ask."""
        return self.object.session if threading.get_ident() == self._own_thread else None

    def has_input(self) -> bool:
        """Whether there is anything to decrypt, or the loop or the system tells of more."""
        return self._is_over or bool(self._to_decrypt.pending) or self._wire.has_input()

    def has_hung_up(self) -> bool:
        """Whether the peer has said goodbye, or closed its side without."""
        return self._is_over or self._wire.has_hung_up()

    def get_extra_info(self, info: str) -> Any:
        """Answer as httpcore's network streams do."""
        return self.object if info == "ssl_object" else self._wire.get_extra_info(info)
