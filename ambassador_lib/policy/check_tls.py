"""Envoy's checks of TLS settings; certificates, keys and CAs are read when a policy is loaded, as at Envoy's start."""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
from pathlib import Path

from . import sources
from .check_secrets import certificates
from .check_secrets import validation as validation_of
from .findings import Findings
from .model.cluster import Cluster
from .model.core import DataSource
from .model.tls import CertificateValidationContext, CommonTlsContext, TlsCertificate, TlsParameters, UpstreamTlsContext
from .sources import SourceError, read_source

_NOT_VERIFIED = (
    "the upstream's certificate is NOT verified, as in Envoy, because there is no trusted_ca: anyone in between can "
    "answer; add common_tls_context.validation_context.trusted_ca"
)
_ANYBODY = (
    "the upstream's name is NOT verified, as in Envoy: ANY certificate of that CA is accepted, whomever it was issued "
    "to; add match_typed_subject_alt_names beside trusted_ca, or auto_sni_san_validation"
)
_CURVES = {
    "X25519": "X25519", "P-256": "P-256", "P-384": "P-384", "P-521": "P-521", "prime256v1": "P-256",
    "secp384r1": "P-384", "secp521r1": "P-521", "X25519MLKEM768": "X25519MLKEM768",
}  # fmt: skip
_EVERYBODYS = {"X25519", "P-256"}
"""Envoy's own list: a server that speaks neither is not to be found."""
_VERSIONS = ("TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")


def check_tls(findings: Findings, tls: UpstreamTlsContext, cluster: Cluster) -> None:
    """Check the TLS settings of a cluster and read the files that they name."""
    common = tls.common_tls_context or CommonTlsContext()
    validation, is_known = validation_of(findings, common)
    known, count = certificates(findings, common)
    if count > 1:
        findings.fault(common, "tls_certificates", "a client has one certificate", index=1)
    for certificate in known:
        _check_certificate(findings, certificate)
    if is_known:
        _check_trust(findings, tls, validation, cluster)
    if common.tls_params is not None:
        _check_parameters(findings, common.tls_params)
    _check_protocols(findings, common)


def _check_trust(
    findings: Findings, tls: UpstreamTlsContext, validation: CertificateValidationContext | None, cluster: Cluster
) -> None:
    if validation is None or not (validation.trusted_ca or _has_sums(validation)):
        findings.warn(tls, "common_tls_context", f"cluster {cluster.name}: {_NOT_VERIFIED}")
    options = cluster.http_protocol_options
    if (validation is None or validation.trusted_ca is None) and options is not None and options.auto_san_validation:
        message = "every connection will fail: auto_san_validation needs a trusted_ca"
        findings.warn(options, "upstream_http_protocol_options", message)
    if tls.auto_sni_san_validation and (validation is None or validation.trusted_ca is None):
        findings.fault(tls, "auto_sni_san_validation", "auto_sni_san_validation needs a trusted_ca")
    if validation is not None:
        _check_validation(findings, validation, cluster)
        _check_anybody(findings, tls, validation, cluster)


def _has_sums(validation: CertificateValidationContext) -> bool:
    return bool(validation.verify_certificate_spki or validation.verify_certificate_hash)


def _check_validation(findings: Findings, validation: CertificateValidationContext, cluster: Cluster) -> None:
    matchers = "match_typed_subject_alt_names" if validation.match_typed_subject_alt_names else ""
    matchers = matchers or ("match_subject_alt_names" if validation.match_subject_alt_names else "")
    _check_sums(findings, validation)
    if validation.trusted_ca is None:
        if matchers:
            findings.fault(validation, matchers, "matching SANs needs a trusted_ca, or they could be anyone's")
        if validation.crl is not None:
            findings.fault(validation, "crl", "a revocation list needs a trusted_ca")
        if validation.allow_expired_certificate:
            message = "without a trusted_ca nobody asks whether a certificate has expired"
            findings.fault(validation, "allow_expired_certificate", message)
        return
    if validation.trust_chain_verification == "ACCEPT_UNTRUSTED":
        findings.warn(validation, "trust_chain_verification", f"cluster {cluster.name}: certificates that the "
                      "trusted_ca did not sign are accepted (ACCEPT_UNTRUSTED)")  # fmt: skip
    content = _content(findings, validation.trusted_ca)
    if content is not None and not _holds_certificates(content):
        findings.fault(validation, "trusted_ca", "holds no certificates in PEM form")
    lists = _content(findings, validation.crl) if validation.crl is not None else None
    if lists is not None and b"-----BEGIN X509 CRL-----" not in lists:
        findings.warn(validation, "crl", "every handshake will fail: this holds no revocation list in PEM form")


def _check_sums(findings: Findings, validation: CertificateValidationContext) -> None:
    for index, text in enumerate(validation.verify_certificate_hash):
        digits = text.replace(":", "") if len(text) == 95 else text
        if not re.fullmatch("[0-9a-fA-F]{64}", digits):
            message = f"{text!r} is no SHA-256 sum in hexadecimal digits"
            findings.fault(validation, "verify_certificate_hash", message, index=index)
    for index, text in enumerate(validation.verify_certificate_spki):
        try:
            size = len(base64.b64decode(text, validate=True))
        except ValueError:
            size = 0
        if size != 32:
            message = f"{text!r} is no SHA-256 sum in base64"
            findings.fault(validation, "verify_certificate_spki", message, index=index)


def _holds_certificates(content: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("latin-1"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _check_anybody(
    findings: Findings, tls: UpstreamTlsContext, validation: CertificateValidationContext, cluster: Cluster
) -> None:
    options = cluster.http_protocol_options
    named = validation.match_typed_subject_alt_names or validation.match_subject_alt_names
    named_by_sni = tls.auto_sni_san_validation or (options is not None and options.auto_san_validation)
    trusting = validation.trust_chain_verification == "ACCEPT_UNTRUSTED"  # has its own warning
    known = named or named_by_sni or _has_sums(validation)
    if validation.trusted_ca is not None and not (known or trusting):
        findings.warn(validation, "trusted_ca", f"cluster {cluster.name}: {_ANYBODY}")


def _content(findings: Findings, source: DataSource) -> bytes | None:
    try:
        return read_source(source)
    except SourceError as error:
        if not sources.is_lenient:
            findings.fault(source, error.field, error.message)
        return None


def _check_certificate(findings: Findings, certificate: TlsCertificate) -> None:
    if certificate.certificate_chain is None and certificate.private_key is None:
        return  # Envoy passes over it
    if certificate.certificate_chain is None or certificate.private_key is None:
        missing = "certificate_chain" if certificate.certificate_chain is None else "private_key"
        findings.fault(certificate, missing, f"{missing} is missing: a certificate needs its key")
        return
    chain, key = (_content(findings, source) for source in (certificate.certificate_chain, certificate.private_key))
    password = _content(findings, certificate.password) if certificate.password is not None else b""
    if chain is None or key is None or password is None:
        return
    with tempfile.TemporaryDirectory() as folder:  # the ssl module takes files only; the folder is its owner's alone
        chain_file, key_file = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain_file.write_bytes(chain)
        key_file.write_bytes(key)
        try:
            # A password is always given: without one the TLS library would ask for it at the terminal.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(chain_file, key_file, password=password or b"\0")
        except ssl.SSLError as error:
            _report_unusable(findings, certificate, error)


def _report_unusable(findings: Findings, certificate: TlsCertificate, error: ssl.SSLError) -> None:
    if error.reason == "KEY_VALUES_MISMATCH":
        findings.fault(certificate, "private_key", "the private key is not the certificate's")
    else:
        reason = (error.reason or "no PEM data").replace("_", " ").lower()
        findings.fault(certificate, "certificate_chain", f"certificate and key cannot be used: {reason}")


def _check_parameters(findings: Findings, parameters: TlsParameters) -> None:
    low, high = parameters.tls_minimum_protocol_version, parameters.tls_maximum_protocol_version
    if low in _VERSIONS and high in _VERSIONS and _VERSIONS.index(low) > _VERSIONS.index(high):
        findings.warn(parameters, "tls_maximum_protocol_version", f"every handshake will fail: {high} is below {low}")
    for index, suites in enumerate(parameters.cipher_suites):
        for suite in re.split(r"[\[\]|:]+", suites):
            if suite and not _is_cipher(suite.lstrip("-+!")):
                message = f"{suite} is no cipher suite of the TLS library"
                findings.fault(parameters, "cipher_suites", message, index=index)
    _check_curves(findings, parameters)


def _check_curves(findings: Findings, parameters: TlsParameters) -> None:
    named = {_CURVES.get(curve) for curve in parameters.ecdh_curves}
    for index, curve in enumerate(parameters.ecdh_curves):
        if curve not in _CURVES:
            message = f"{curve} is no curve of the TLS library"
            findings.fault(parameters, "ecdh_curves", message, f"one of {', '.join(_CURVES)}", index=index)
    if None in named or not named:
        return
    if len(parameters.ecdh_curves) > 1:
        if named >= _EVERYBODYS:
            message = "no effect: Python's ssl module sets one curve at most; the TLS library's own list is offered"
            findings.warn(parameters, "ecdh_curves", message)
        else:
            findings.fault(parameters, "ecdh_curves", "Python's ssl module can set no more than one curve",
                           "leave the list out, or keep one", index=1)  # fmt: skip
    elif not _is_curve(parameters.ecdh_curves[0]):
        findings.fault(
            parameters, "ecdh_curves", f"Python's ssl module cannot set {parameters.ecdh_curves[0]}", index=0
        )


def _check_protocols(findings: Findings, common: CommonTlsContext) -> None:
    names = [name for entry in common.alpn_protocols for name in entry.split(",")]
    if any(len(name.encode()) > 255 for name in names) or sum(len(name.encode()) + 1 for name in names) > 65535:
        findings.fault(common, "alpn_protocols", "a protocol's name has 255 bytes at most, all of them 65535")


def _is_curve(name: str) -> bool:
    openssl = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ecdh_curve(openssl.get(name, name))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _is_cipher(suite: str) -> bool:
    if suite.startswith(("DHE-", "TLS_")):  # OpenSSL's, but not BoringSSL's; those of TLS 1.3 are always offered
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(suite)
    except ssl.SSLError:
        return False
    return True
