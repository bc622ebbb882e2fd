"""TLS sessions resumed: a server that knows the client need not do the whole handshake again.

As in Envoy, the latest session is offered to the next connection. With TLS 1.3 a session comes after the handshake,
with the first bytes read: so it is asked for when it is wanted, of the connection that was made last.
"""

from __future__ import annotations

import ssl
from typing import Protocol

MAX_NAMES = 64
"""Server names whose sessions are kept: under `auto_sni` one host is called by many."""


class Wire(Protocol):
    """A connection that may be asked for its session, even after its end."""

    def tls_session(self) -> ssl.SSLSession | None:
        """Return the session as of now."""


class Sessions:
    """The sessions of one context, one for each server name."""

    def __init__(self, context: ssl.SSLContext, most: int) -> None:
        self._wires: dict[str | None, Wire] = {}
        self._is_used = most > 0
        if self._is_used:
            context.sslobject_class = _resuming(self)

    def offer(self, tls: ssl.SSLSocket | ssl.SSLObject) -> None:
        """Before the handshake: offer the session of the last connection to the same name."""
        wire = self._wires.get(tls.server_hostname)
        session = wire.tls_session() if wire is not None else None
        if session is not None:
            tls.session = session

    def keep(self, server_name: str | None, wire: Wire) -> None:
        """After the handshake: remember whom to ask."""
        if not self._is_used:
            return
        if len(self._wires) >= MAX_NAMES and server_name not in self._wires:
            self._wires.clear()
        self._wires[server_name] = wire


def _resuming(sessions: Sessions) -> type[ssl.SSLObject]:
    class Resuming(ssl.SSLObject):
        """Made by whoever wraps a stream, and so told of its session here."""

        _offered = False

        def do_handshake(self) -> None:
            if not self._offered:
                self._offered = True
                sessions.offer(self)
            super().do_handshake()

    return Resuming
