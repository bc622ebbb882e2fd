"""Envoy's checks of TLS settings; certificates, keys and CAs are read when a policy is loaded, as at Envoy's start."""

from __future__ import annotations

import re
import ssl
import tempfile
from pathlib import Path

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
_CURVES = ("X25519", "P-256", "P-384", "P-521")
_VERSIONS = ("TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")


def check_tls(findings: Findings, tls: UpstreamTlsContext, cluster: Cluster) -> None:
    """Check the TLS settings of a cluster and read the files that they name."""
    common = tls.common_tls_context or CommonTlsContext()
    validation = common.validation_context
    if validation is None or validation.trusted_ca is None:
        findings.warn(tls, "common_tls_context", f"cluster {cluster.name}: {_NOT_VERIFIED}")
        if cluster.http_protocol_options is not None and cluster.http_protocol_options.auto_san_validation:
            message = "every connection will fail: auto_san_validation needs a trusted_ca"
            findings.warn(cluster.http_protocol_options, "upstream_http_protocol_options", message)
    if tls.auto_sni_san_validation and (validation is None or validation.trusted_ca is None):
        findings.fault(tls, "auto_sni_san_validation", "auto_sni_san_validation needs a trusted_ca")
    if validation is not None:
        _check_validation(findings, validation, cluster)
        _check_anybody(findings, tls, validation, cluster)
    if len(common.tls_certificates) > 1:
        findings.fault(common, "tls_certificates", "a client has one certificate", index=1)
    for certificate in common.tls_certificates:
        _check_certificate(findings, certificate)
    if common.tls_params is not None:
        _check_parameters(findings, common.tls_params)


def _check_validation(findings: Findings, validation: CertificateValidationContext, cluster: Cluster) -> None:
    matchers = "match_typed_subject_alt_names" if validation.match_typed_subject_alt_names else ""
    matchers = matchers or ("match_subject_alt_names" if validation.match_subject_alt_names else "")
    if validation.trusted_ca is None:
        if matchers:
            findings.fault(validation, matchers, "matching SANs needs a trusted_ca, or they could be anyone's")
        return
    if validation.trust_chain_verification == "ACCEPT_UNTRUSTED":
        findings.warn(validation, "trust_chain_verification", f"cluster {cluster.name}: certificates that the "
                      "trusted_ca did not sign are accepted (ACCEPT_UNTRUSTED)")  # fmt: skip
    content = _content(findings, validation.trusted_ca)
    if content is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("latin-1"))
    except (ssl.SSLError, ValueError):
        findings.fault(validation, "trusted_ca", "holds no certificates in PEM form")


def _check_anybody(
    findings: Findings, tls: UpstreamTlsContext, validation: CertificateValidationContext, cluster: Cluster
) -> None:
    options = cluster.http_protocol_options
    named = validation.match_typed_subject_alt_names or validation.match_subject_alt_names
    named_by_sni = tls.auto_sni_san_validation or (options is not None and options.auto_san_validation)
    trusting = validation.trust_chain_verification == "ACCEPT_UNTRUSTED"  # has its own warning
    if validation.trusted_ca is not None and not (named or named_by_sni or trusting):
        findings.warn(validation, "trusted_ca", f"cluster {cluster.name}: {_ANYBODY}")


def _content(findings: Findings, source: DataSource) -> bytes | None:
    try:
        return read_source(source)
    except SourceError as error:
        findings.fault(source, error.field, error.message)
        return None


def _check_certificate(findings: Findings, certificate: TlsCertificate) -> None:
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
            context.load_cert_chain(chain_file, key_file, password=password.strip(b"\r\n") or b"\0")
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
            if suite and not _is_cipher(suite):
                message = f"{suite} is no cipher suite of the TLS library"
                findings.fault(parameters, "cipher_suites", message, index=index)
    for index, curve in enumerate(parameters.ecdh_curves):
        if curve not in _CURVES:
            message = f"{curve} is no curve of the TLS library"
            findings.fault(parameters, "ecdh_curves", message, f"one of {', '.join(_CURVES)}", index=index)
        elif index:
            message = "more than one curve cannot be set with Python's ssl module"
            findings.fault(parameters, "ecdh_curves", message, "leave the list out, or keep one", index=index)


def _is_cipher(suite: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(suite)
    except ssl.SSLError:
        return False
    return True
