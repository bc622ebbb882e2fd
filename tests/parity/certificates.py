"""The certificates of a session, made once, by name: `<name>.crt` and `<name>.key` in one folder."""

from __future__ import annotations

from pathlib import Path

from ambassador_lib.testing.certificates import CertificateAuthority

SERVERS = {
    "server": ("upstream.test", "127.0.0.1"),
    "other": ("other.test",),
    "wild": ("*.wild.test",),
    "bare": ("localhost",),
    "expired": ("upstream.test",),
    "client": ("client.test", "spiffe://parity/client"),
}


def make(folder: Path) -> None:
    """Write `ca` with its certificates, and `stranger_ca` with `stranger` (a server's and a client's in one)."""
    authority = CertificateAuthority(folder)
    for name, names in SERVERS.items():
        authority.issue(name, *names, expired=name == "expired")
    strangers = CertificateAuthority(folder / "strangers", "somebody else's authority")
    issued = strangers.issue("stranger", "upstream.test")
    issued.certificate.rename(folder / "stranger.crt")
    issued.key.rename(folder / "stranger.key")
    strangers.path.rename(folder / "stranger_ca.crt")
