"""How a real upstream speaks TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .peer import Protocol

ALPN: dict[Protocol, list[str]] = {"auto": ["h2", "http/1.1"], "http1": ["http/1.1"], "http2": ["h2"]}


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The certificate to show, PEM files; with `client_authority` a client certificate signed by it is demanded."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def context(self, protocol: Protocol = "auto") -> ssl.SSLContext:
        """Return the context to accept with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.minimum_version = self.minimum
        context.maximum_version = self.maximum
        context.set_alpn_protocols(ALPN[protocol])
        if self.client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_authority)
        context.sni_callback = _remember_name
        return context


def _remember_name(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    sock.asked_name = name  # type: ignore[union-attr]
