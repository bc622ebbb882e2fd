"""TLS towards upstreams: how to speak it to one cluster, and what is checked of the server's certificate.

Semantics 10: without `trusted_ca` nothing is verified; with it the chain is, but never the host name, unless subject
alternative names are asked for. Everything is checked at the end of the handshake, before the first byte of a request.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from ..errors import connect_failure
from ..policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SdsSecretConfig,
    TlsCertificate,
    TlsParameters,
    UpstreamTlsContext,
)
from .der import key_usage, subject_public_key_info
from .dialling import Unverified
from .tls_context import is_untrusting, new_context, present, trust
from .tls_names import dns_name_matches, is_name, listed, name_checks
from .tls_sessions import Sessions

log = logging.getLogger("ambassador_lib.engine")

ALPN = {"http1": ("http/1.1",), "http2": ("h2",), "auto": ("h2", "http/1.1")}
DIGITAL_SIGNATURE = 0x80
KEY_ENCIPHERMENT = 0x20

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Current(Protocol[T_co]):
    """Something that may be delivered late, and anew."""

    @property
    def value(self) -> T_co | None:
        """What was delivered last, `None` if nothing was yet."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call the method `listener` after each delivery, as long as its object lives."""


class Fixed(Generic[T]):
    """Something that the policy itself holds."""

    def __init__(self, value: T) -> None:
        self.value = value

    def on_change(self, listener: Callable[[], None]) -> None:
        """Never changes."""


class Secrets(Protocol):
    """Where the certificates and validation contexts of SDS come from."""

    def certificate(self, common: CommonTlsContext) -> Current[TlsCertificate] | None:
        """Return the client's certificate that a context names, `None` where it names none."""

    def validation(self, common: CommonTlsContext) -> Current[CertificateValidationContext] | None:
        """Return the validation context that a context names, `None` where it names none."""


class GenericSecrets(Protocol):
    """Where the bytes come from that filters are told of by name."""

    def generic(self, config: SdsSecretConfig) -> Current[bytes]:
        """Return the bytes of a generic secret; its `value` is `None` until it is delivered."""


class TlsMaterial:
    """Keys, trust and pins as of one moment. New ones are for new connections: those that stand live on."""

    def __init__(
        self,
        tls: UpstreamTlsContext,
        certificate: TlsCertificate | None,
        validation: CertificateValidationContext | None,
        alpn: Sequence[str],
    ) -> None:
        common = tls.common_tls_context or CommonTlsContext()
        validation = validation or CertificateValidationContext()
        self.context = new_context(common.tls_params or TlsParameters(), alpn, renegotiates=tls.allow_renegotiation)
        trust(self.context, validation)
        if certificate is not None:
            present(self.context, certificate)
        self.sessions = Sessions(self.context, 1 if tls.max_session_keys is None else tls.max_session_keys)
        self._is_untrusting = is_untrusting(validation)
        self._names = name_checks(validation)
        self._names_give_way = tls.auto_sni_san_validation
        if self._names and not self._is_untrusting and validation.trusted_ca is None:
            raise ValueError("SAN matchers need a trusted_ca, or they would be checked on an unverified certificate")
        self._pins = {base64.b64decode(pin) for pin in validation.verify_certificate_spki}
        self._sums = {bytes.fromhex(text.replace(":", "")) for text in validation.verify_certificate_hash}

    def check(self, tls: ssl.SSLSocket | ssl.SSLObject, san: str | None) -> None:
        """Check the server's certificate after the handshake: key usage, the name `san`, matchers and pins.

        An unverified certificate has no names here: `san` then fails every connection, as it does in Envoy.
        """
        binary = tls.getpeercert(binary_form=True) or b""
        _check_usage(binary, tls.cipher())
        if self._is_untrusting:
            return
        if self._names or san is not None:
            certificate = tls.getpeercert() or {}
            self.check_names(certificate.get("subjectAltName", ()), san)  # type: ignore[arg-type]
        if self._pins or self._sums:
            self._check_sums(binary)

    def check_names(self, names: Sequence[tuple[str, str]], san: str | None) -> None:
        """Check names that a certificate has against the policy's matchers and the extra name `san`."""
        if san is not None and self._names_give_way:
            if not any(kind == "DNS" and dns_name_matches(san, name) for kind, name in names):
                raise Unverified(f"SAN matcher, certificate SANs are [{listed(names)}]")
            return
        if san is not None and not any(is_name(kind, name, san) for kind, name in names):
            raise Unverified(f"verify SAN list, expected SANs: [{san}], certificate SANs: [{listed(names)}]")
        if self._names and not any(check(kind, name) for kind, name in names for check in self._names):
            raise Unverified(f"SAN matcher, certificate SANs are [{listed(names)}]")

    def _check_sums(self, certificate: bytes) -> None:
        if self._sums and hashlib.sha256(certificate).digest() in self._sums:
            return
        if self._pins and hashlib.sha256(subject_public_key_info(certificate)).digest() in self._pins:
            return
        raise Unverified("cert hash and spki")


class TlsSettings:
    """How to speak TLS to one cluster; equal only to itself, since connections are shared only within it.

    `sni` is the policy's static server name; `auto_host_sni` and `auto_sni_san_validation` are for whoever builds
    the `Destination`. What secrets bring replaces `_material` in one assignment.
    """

    def __init__(
        self,
        tls: UpstreamTlsContext,
        alpn: Sequence[str],
        secrets: Secrets | None = None,
        *,
        alpn_override: Sequence[str] = (),
    ) -> None:
        self.sni = tls.sni or None
        self.auto_host_sni = tls.auto_host_sni
        self.auto_sni_san_validation = tls.auto_sni_san_validation
        self._tls = tls
        self._secrets = secrets
        common = tls.common_tls_context or CommonTlsContext()
        self._alpn = tuple(alpn_override or _split(common.alpn_protocols) or alpn)
        self._certificate: Current[TlsCertificate] | None = None
        self._validation: Current[CertificateValidationContext] | None = None
        if secrets is not None:
            self._certificate = secrets.certificate(common)
            self._validation = secrets.validation(common)
        for certificate in common.tls_certificates[:1]:  # a client presents one certificate (semantics 10)
            if certificate.certificate_chain is not None:
                self._certificate = Fixed(certificate)
        if self._validation is None and common.validation_context is not None:
            self._validation = Fixed(common.validation_context)
        self._material: TlsMaterial | None = None
        sources = [source for source in (self._certificate, self._validation) if source is not None]
        if all(isinstance(source, Fixed) for source in sources):
            self._refresh()
        else:
            self._renew()
            for source in sources:
                source.on_change(self._renew)

    @classmethod
    def build(
        cls, context: UpstreamTlsContext, *, protocol: str = "http1", secrets: Secrets | None = None
    ) -> TlsSettings:
        """Read certificates and keys, once; `ValueError` tells what is wrong with them."""
        return cls(context, ALPN[protocol], secrets)

    def for_health_checks(self, alpn: Sequence[str]) -> TlsSettings:
        """Return the same for health checks: their own protocols, else the policy's, else none are offered."""
        return TlsSettings(self._tls, (), self._secrets, alpn_override=alpn)

    def material(self) -> TlsMaterial:
        """Return what a new connection is made with; fails while a secret is still to come."""
        material = self._material
        if material is None:
            raise connect_failure("TLS_error: Secret is not supplied by SDS")
        return material

    def _renew(self) -> None:
        """Take what was delivered; what each part alone could not tell wrong shows here."""
        try:
            self._refresh()
        except ValueError as error:
            log.warning("new secrets are refused, the last ones stay: %s", error)

    def _refresh(self) -> None:
        certificate = validation = None
        if self._certificate is not None and (certificate := self._certificate.value) is None:
            return
        if self._validation is not None and (validation := self._validation.value) is None:
            return
        self._material = TlsMaterial(self._tls, certificate, validation, self._alpn)


def _split(protocols: Sequence[str]) -> list[str]:
    return [name for entry in protocols for name in entry.split(",") if name]


def _check_usage(certificate: bytes, cipher: tuple[str, str, int] | None) -> None:
    """BoringSSL wants a key to be used as the certificate says; Envoy 1.40 leaves no way around it."""
    usage = key_usage(certificate)
    name = cipher[0] if cipher is not None else ""
    wanted = DIGITAL_SIGNATURE if name.startswith(("TLS_", "ECDHE-", "DHE-")) else KEY_ENCIPHERMENT
    if usage is not None and not usage & wanted:
        raise ssl.SSLError(1, "KEY_USAGE_BIT_INCORRECT")
