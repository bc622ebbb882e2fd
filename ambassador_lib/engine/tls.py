"""TLS towards upstreams: one ready `ssl.SSLContext` per cluster, and the checks of the certificate's names.

Semantics 10: without `trusted_ca` nothing is verified; with it the chain is, but never the host name, unless subject
alternative names are asked for.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..policy.model.core import DataSource, StringMatcher
from ..policy.model.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
    UpstreamTlsContext,
)

if TYPE_CHECKING:
    from ..policy.model.cluster import Cluster

VERSIONS = {
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}
ALPN = {"http1": ["http/1.1"], "http2": ["h2"], "auto": ["h2", "http/1.1"]}
SAN_TYPES = {"DNS": "DNS", "URI": "URI", "EMAIL": "email", "IP_ADDRESS": "IP Address"}
"""Envoy's names of SAN types, and those of `SSLSocket.getpeercert`."""

NameCheck = Callable[[str, str], bool]
"""Tells whether a SAN of this type (as `getpeercert` names it) and value is one that was asked for."""


class NameMismatch(ValueError):  # noqa: N818 - a reason for a connect failure, never seen by callers
    """The server's certificate is not for any of the names asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class TlsSettings:
    """How to speak TLS to one cluster; equal only to itself, since its context holds keys.

    `sni` is the policy's static server name; `auto_host_sni` and `auto_sni_san_validation` are for whoever builds
    the `Destination`.
    """

    context: ssl.SSLContext
    sni: str | None = None
    auto_host_sni: bool = False
    auto_sni_san_validation: bool = False
    _names: tuple[NameCheck, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, cluster: Cluster) -> TlsSettings | None:
        """Make the cluster's settings; `None` where it speaks plain TCP."""
        socket = cluster.transport_socket
        if socket is None or not isinstance(socket.typed_config, UpstreamTlsContext):
            return None
        options = cluster.http_protocol_options
        return cls.build(socket.typed_config, protocol="http1" if options is None else options.protocol)

    @classmethod
    def build(cls, context: UpstreamTlsContext, *, protocol: str = "http1") -> TlsSettings:
        """Read certificates and keys, once; `ValueError` tells what is wrong with them."""
        common = context.common_tls_context or CommonTlsContext()
        validation = common.validation_context or CertificateValidationContext()
        return cls(
            context=_ssl_context(common, validation, protocol),
            sni=context.sni or None,
            auto_host_sni=context.auto_host_sni,
            auto_sni_san_validation=context.auto_sni_san_validation,
            _names=_name_checks(validation),
        )

    def check_names(self, certificate: Mapping[str, Any] | None, san: str | None) -> None:
        """Check a verified certificate (`getpeercert`) against the policy's matchers and the extra name `san`.

        An unverified certificate has no names here: `san` then fails every connection, as it does in Envoy.
        """
        names = (certificate or {}).get("subjectAltName", ())
        if self._names and not any(check(kind, name) for kind, name in names for check in self._names):
            raise NameMismatch("CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher")
        if san is not None and not any(_is_host(kind, name, san) for kind, name in names):
            raise NameMismatch(f"CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN of {san}")


def _ssl_context(common: CommonTlsContext, validation: CertificateValidationContext, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(common.alpn_protocols) or ALPN[protocol])
    _apply_parameters(context, common.tls_params or TlsParameters())
    _trust(context, validation)
    for certificate in common.tls_certificates[:1]:  # a client presents one certificate (semantics 10)
        _present(context, certificate)
    return context


def _apply_parameters(context: ssl.SSLContext, parameters: TlsParameters) -> None:
    # Envoy's clients stop at TLS 1.2 unless told otherwise; ours do not (docs/parity.md).
    context.minimum_version = VERSIONS.get(parameters.tls_minimum_protocol_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = VERSIONS.get(parameters.tls_maximum_protocol_version, ssl.TLSVersion.TLSv1_3)
    if context.minimum_version > context.maximum_version:
        raise ValueError("tls_params: tls_minimum_protocol_version is above tls_maximum_protocol_version")
    if parameters.cipher_suites:
        # BoringSSL groups ciphers of equal preference as [a|b]; OpenSSL knows no such groups.
        ciphers = re.sub(r"[\[\]]", "", ":".join(parameters.cipher_suites)).replace("|", ":")
        with _explained("tls_params.cipher_suites"):
            context.set_ciphers(ciphers)
    if len(parameters.ecdh_curves) > 1:
        raise ValueError("tls_params.ecdh_curves: Python's ssl module can set no more than one curve")
    for curve in parameters.ecdh_curves:
        with _explained("tls_params.ecdh_curves"):
            context.set_ecdh_curve({"P-256": "prime256v1", "P-384": "secp384r1"}.get(curve, curve))


def _trust(context: ssl.SSLContext, validation: CertificateValidationContext) -> None:
    asks_for_names = validation.match_typed_subject_alt_names or validation.match_subject_alt_names
    unverified = validation.trusted_ca is None or validation.trust_chain_verification == "ACCEPT_UNTRUSTED"
    if asks_for_names and unverified:
        raise ValueError("SAN matchers need a trusted_ca, or they would be checked on an unverified certificate")
    if validation.trusted_ca is not None:
        with _explained("trusted_ca"):
            pem = read_source(validation.trusted_ca).decode("ascii", "ignore")
            context.load_verify_locations(cadata=pem)
    if not unverified:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate may be the anchor, as in Envoy


def _present(context: ssl.SSLContext, certificate: TlsCertificate) -> None:
    if certificate.certificate_chain is None or certificate.private_key is None:
        raise ValueError("tls_certificates: certificate_chain and private_key are both needed")
    with _explained("tls_certificates"), tempfile.TemporaryDirectory() as folder:  # made with mode 0700
        chain = _as_file(certificate.certificate_chain, Path(folder, "chain"))
        key = _as_file(certificate.private_key, Path(folder, "key"))
        password = read_source(certificate.password) if certificate.password is not None else b""
        # A password is always given: without one OpenSSL asks on the terminal.
        context.load_cert_chain(chain, key, password=lambda: password.rstrip(b"\r\n"))


def _as_file(source: DataSource, path: Path) -> str:
    # `ssl` reads certificates of its own only from files.
    if source.filename is not None:
        return source.filename
    path.write_bytes(read_source(source))
    return str(path)


def read_source(source: DataSource) -> bytes:
    """Return the bytes that a `DataSource` stands for."""
    if source.filename is not None:
        return Path(source.filename).read_bytes()
    if source.inline_bytes is not None:
        return source.inline_bytes
    if source.inline_string is not None:
        return source.inline_string.encode()
    if source.environment_variable is not None:
        try:
            return os.environ[source.environment_variable].encode()
        except KeyError:
            raise ValueError(f"the environment variable {source.environment_variable} is not set") from None
    raise ValueError("names no source")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise ValueError(f"{what}: {getattr(error, 'reason', None) or error.args[-1]}") from error
    except OSError as error:
        raise ValueError(f"{what}: {error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error


# --- names in certificates -------------------------------------------------------------------------------------------


def _name_checks(validation: CertificateValidationContext) -> tuple[NameCheck, ...]:
    typed = [_typed_check(matcher) for matcher in validation.match_typed_subject_alt_names]
    untyped = [
        _typed_check(SubjectAltNameMatcher(san_type=san_type, matcher=matcher))
        for matcher in validation.match_subject_alt_names
        for san_type in SAN_TYPES
    ]
    return (*typed, *untyped)


def _typed_check(wanted: SubjectAltNameMatcher) -> NameCheck:
    try:
        wanted_kind = SAN_TYPES[wanted.san_type]
    except KeyError:
        raise ValueError(f"match_typed_subject_alt_names: san_type {wanted.san_type} is not supported") from None
    exact = wanted.matcher.exact
    if wanted_kind == "DNS" and exact is not None:
        return lambda kind, name: kind == "DNS" and _dns_name_matches(exact, name)
    matches = _string_check(wanted.matcher)
    if wanted_kind == "IP Address":
        return lambda kind, name: kind == wanted_kind and matches(_plain_ip(name))
    return lambda kind, name: kind == wanted_kind and matches(name)


def _string_check(matcher: StringMatcher) -> Callable[[str], bool]:
    if matcher.safe_regex is not None:
        return _regex_check(matcher.safe_regex.regex)

    def fold(text: str) -> str:
        return text.lower() if matcher.ignore_case else text

    if matcher.exact is not None:
        exact = fold(matcher.exact)
        return lambda name: fold(name) == exact
    if matcher.prefix is not None:
        prefix = fold(matcher.prefix)
        return lambda name: fold(name).startswith(prefix)
    if matcher.suffix is not None:
        suffix = fold(matcher.suffix)
        return lambda name: fold(name).endswith(suffix)
    if matcher.contains is not None:
        part = fold(matcher.contains)
        return lambda name: part in fold(name)
    raise ValueError("match_typed_subject_alt_names: the matcher is empty")


def _regex_check(pattern: str) -> Callable[[str], bool]:
    try:
        import re2
    except ImportError:
        raise ValueError("safe_regex needs the package google-re2") from None
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options=options)
    except re2.error as error:
        raise ValueError(f"safe_regex {pattern!r}: {error}") from error
    return lambda name: compiled.fullmatch(name) is not None


def _dns_name_matches(host: str, pattern: str) -> bool:
    """Match a host name against a certificate's, which may have one `*` in its first label (RFC 6125 6.4.3)."""
    host, pattern = host.lower(), pattern.lower()
    if host == pattern:
        return True
    label, _, domain = host.partition(".")
    wildcard, _, pattern_domain = pattern.partition(".")
    if not domain or domain != pattern_domain or wildcard.count("*") != 1 or wildcard.startswith("xn--"):
        return False
    start, _, end = wildcard.partition("*")
    return len(label) >= len(start) + len(end) and label.startswith(start) and label.endswith(end)


def _is_host(kind: str, name: str, host: str) -> bool:
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        return kind == "DNS" and _dns_name_matches(host, name)
    return kind == "IP Address" and _plain_ip(name) == address


def _plain_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))  # OpenSSL writes IPv6 in full and in upper case
    except ValueError:
        return text
