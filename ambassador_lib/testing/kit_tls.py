"""The kit's own authority and certificates, made when they are first needed, and what stands in for missing files."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .certificates import CertificateAuthority, Issued

BASE_NAMES = ("localhost", "127.0.0.1", "::1")
KIT_NAME = "upstream.test"
PEM_SUFFIXES = (".pem", ".crt", ".cer", ".cert", ".key", ".ca", ".crl")


class _Kit:
    """The authority of this process's tests, and the client's certificates that it gave out."""

    def __init__(self) -> None:
        from .certificates import CertificateAuthority

        folder = tempfile.mkdtemp(prefix="ambassador_lib-testing-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.authority: CertificateAuthority = CertificateAuthority(Path(folder))
        self.issue = functools.cache(self.authority.issue)


@functools.cache
def _kit() -> _Kit:
    return _Kit()


def kit_authority() -> CertificateAuthority:
    """Return the authority that all certificates of mapped policies come from; needs `cryptography`."""
    return _kit().authority


def issue(name: str, *names: str) -> Issued:
    """Return a certificate of the kit's authority for these names, the same each time."""
    return _kit().issue(name, *names)


def _issue_for(names: Iterable[str]) -> Issued:
    """Return a server's certificate for these names, the same each time."""
    listed = tuple(dict.fromkeys((*BASE_NAMES, KIT_NAME, *names)))
    return issue(f"upstream-{hashlib.sha256(repr(listed).encode()).hexdigest()[:8]}", *listed)


def stand_in_for_files() -> Callable[[], None]:
    """Let certificates, keys, CAs and secrets of policies be missing from now on; return what ends it.

    For clients that are made at import, before any kit is there: the kit's own files stand in for those that this
    machine does not have. Of a certificate and its key either both may be missing or none. Under pytest the setting
    `ambassador_lib_stand_ins = true` does the same.
    """
    from ..policy import sources

    before = sources.stand_in, sources.is_lenient
    sources.stand_in, sources.is_lenient = content_of_missing, True

    def end() -> None:
        sources.stand_in, sources.is_lenient = before

    return end


def content_of_missing(path: str) -> bytes:
    """Return what stands in for a file that only production has: for PEM files a certificate, its key and its CA."""
    if not path.lower().endswith(PEM_SUFFIXES):
        return secret_of_missing(path)
    issued = issue("client")
    return b"".join(file.read_bytes() for file in (issued.certificate, kit_authority().path, issued.key))


def secret_of_missing(path: str) -> bytes:
    """Return what stands in for a secret."""
    return f"stand-in-for-{Path(path).name}".encode()


@dataclass(frozen=True, slots=True)
class KitTls:
    """How a mapped upstream speaks TLS: with a certificate for whatever name it is asked for, and `names` besides."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def make(cls, authority: CertificateAuthority, names: tuple[str, ...], *, demands: bool) -> KitTls:
        """Return settings; with `demands`, clients must present a certificate of the kit."""
        issued = _issue_for(names)
        return cls(issued.certificate, issued.key, authority.path if demands else None, names)

    def context(self) -> ssl.SSLContext:
        """Return the context to accept with."""
        context = self._context(self.certificate, self.key)
        context.sni_callback = self._answer_to
        return context

    def _answer_to(self, sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None or name in self.names or name in BASE_NAMES:
            return
        issued = _issue_for((name, *self.names))
        sock.context = self._context(issued.certificate, issued.key)

    def _context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2", "http/1.1"])
        if self.client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_authority)
        return context


def as_file(name: str) -> str:
    """Return a name as one of a file, and of a certificate's subject."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in name)[:40]
