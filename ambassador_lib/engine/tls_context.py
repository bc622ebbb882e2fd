"""From the policy's TLS settings to a ready `ssl.SSLContext`: versions, ciphers, trust, the client's certificate."""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..policy.model.core import DataSource
from ..policy.model.tls import CertificateValidationContext, TlsCertificate, TlsParameters
from ..policy.sources import SourceError, read_source

VERSIONS = {
    "TLSv1_0": ssl.TLSVersion.TLSv1,
    "TLSv1_1": ssl.TLSVersion.TLSv1_1,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)
"""What Envoy's clients offer up to TLS 1.2 unless told otherwise."""
NO_CHECK_TIME = 0x200000
"""`X509_V_FLAG_NO_CHECK_TIME`, for which Python has no name."""
CRL_MARK = b"-----BEGIN X509 CRL-----"
CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}


def new_context(parameters: TlsParameters, alpn: Sequence[str], *, renegotiates: bool) -> ssl.SSLContext:
    """Return a client's context that verifies nothing yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if not renegotiates:
        context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    _apply_parameters(context, parameters)
    return context


def _apply_parameters(context: ssl.SSLContext, parameters: TlsParameters) -> None:
    # Envoy's clients stop at TLS 1.2 unless told otherwise; ours do not (docs/parity.md).
    context.minimum_version = VERSIONS.get(parameters.tls_minimum_protocol_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = VERSIONS.get(parameters.tls_maximum_protocol_version, ssl.TLSVersion.TLSv1_3)
    if context.minimum_version > context.maximum_version:
        raise ValueError("tls_params: tls_minimum_protocol_version is above tls_maximum_protocol_version")
    # BoringSSL groups ciphers of equal preference as [a|b]; OpenSSL knows no such groups.
    ciphers = re.sub(r"[\[\]]", "", ":".join(parameters.cipher_suites)).replace("|", ":") or CIPHERS
    if context.minimum_version < ssl.TLSVersion.TLSv1_2:  # asked for by name; OpenSSL's level 1 forbids it
        ciphers += ":@SECLEVEL=0"
    with _explained("tls_params.cipher_suites"):
        context.set_ciphers(ciphers)
    if len(parameters.ecdh_curves) == 1:  # of more, Python's ssl can set none: the TLS library's own are offered
        (curve,) = parameters.ecdh_curves
        with _explained("tls_params.ecdh_curves"):
            context.set_ecdh_curve(CURVES.get(curve, curve))


def trust(context: ssl.SSLContext, validation: CertificateValidationContext) -> None:
    """Have the server's chain verified where the policy asks for it."""
    if validation.trusted_ca is None:
        return
    content = _bytes(validation.trusted_ca, "trusted_ca")
    with _explained("trusted_ca"):
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    if is_untrusting(validation):
        return
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate may be the anchor, as in Envoy
    if validation.allow_expired_certificate:
        context.verify_flags |= NO_CHECK_TIME
    revoked = content if CRL_MARK in content else b""
    if validation.crl is not None:
        revoked += _bytes(validation.crl, "crl")
    if revoked or validation.crl is not None:
        _revoke(context, revoked, leaf_only=validation.only_verify_leaf_cert_crl)


def is_untrusting(validation: CertificateValidationContext) -> bool:
    """Whether any certificate is taken although there is something to verify."""
    return validation.trust_chain_verification == "ACCEPT_UNTRUSTED"


def _revoke(context: ssl.SSLContext, lists: bytes, *, leaf_only: bool) -> None:
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF if leaf_only else ssl.VERIFY_CRL_CHECK_CHAIN
    if CRL_MARK not in lists:  # every certificate fails then, for want of a list
        return
    with _explained("crl"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "crl.pem")  # `ssl` reads revocation lists from files alone
        path.write_bytes(lists)
        context.load_verify_locations(path)


def present(context: ssl.SSLContext, certificate: TlsCertificate) -> None:
    """Present the client's certificate where a server asks for one."""
    password = _bytes(certificate.password, "password") if certificate.password is not None else b""
    if certificate.certificate_chain is None or certificate.private_key is None:
        raise ValueError("tls_certificates: certificate_chain and private_key are both needed")
    chain = _bytes(certificate.certificate_chain, "certificate_chain")
    key = _bytes(certificate.private_key, "private_key")
    with _explained("tls_certificates"), tempfile.TemporaryDirectory() as folder:  # made with mode 0700
        # `ssl` reads certificates of its own only from files.
        Path(folder, "chain").write_bytes(chain)
        Path(folder, "key").write_bytes(key)
        # A password is always given: without one OpenSSL asks on the terminal.
        context.load_cert_chain(Path(folder, "chain"), Path(folder, "key"), password=password or b"\0")


def _bytes(source: DataSource, what: str) -> bytes:
    try:
        return read_source(source)
    except SourceError as error:
        raise ValueError(f"{what}: {error.message}") from None


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise ValueError(f"{what}: {getattr(error, 'reason', None) or error.args[-1]}") from error
    except OSError as error:
        raise ValueError(f"{what}: {error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error
