"""What both networks say of a connection that did not come about, in Envoy's words (semantics 12.1)."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from ..errors import UpstreamConnectError, connect_failure

ATTEMPT_DELAY = 0.3
"""Seconds without an answer after which the next of a host's addresses is tried, beside the one before; Envoy's."""

IMMEDIATE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EINVAL}
"""What `connect` refuses without sending anything; Envoy's details tell the two apart."""

VERIFY_FAILED = "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
"""BoringSSL's words, number included: what operators look for in their logs."""
REVOCATION = {3, 12, 23}
"""`X509_V_ERR_UNABLE_TO_GET_CRL`, `X509_V_ERR_CRL_HAS_EXPIRED`, `X509_V_ERR_CERT_REVOKED`."""


def unix_sockets() -> int:
    """Return the family of unix sockets; `OSError` where the system, or Python on it, has none."""
    family: int | None = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return family


class Unverified(ValueError):  # noqa: N818 - a reason for a connect failure, never seen by callers
    """The chain may be fine, but this is not the certificate that was asked for."""


def bare(host: str) -> str | bytes:
    """Return a host for `getaddrinfo`: addresses as bytes, since the codec that it has for text is 0.2 MB."""
    return host.encode() if host.isascii() and (":" in host or host.replace(".", "").isdigit()) else host


def refused(error: OSError) -> UpstreamConnectError:
    """Tell a failed `connect`."""
    when = "immediate" if error.errno in IMMEDIATE else "delayed"
    return connect_failure(f"{when} connect error: {os.strerror(error.errno) if error.errno else error}")


def handshake_failed(error: Exception) -> UpstreamConnectError:
    """Tell a failed TLS handshake, failed checks of the certificate's names included.

    A peer that just closes the connection leaves no reason, as in Envoy.
    """
    if isinstance(error, Unverified):
        return _tls_error(f"{VERIFY_FAILED}:verify cert failed: {error}")
    if isinstance(error, ssl.SSLCertVerificationError):
        message = error.verify_message
        if error.verify_code in REVOCATION:
            message = f"certificate revocation check against provided CRLs failed: {message}"
        return _tls_error(
            f"{VERIFY_FAILED}:verify cert failed: X509_verify_cert: certificate verification error: {message}"
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return connect_failure("")
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or (error.args[-1] if error.args else "")
        return _tls_error(f"SSL routines:OPENSSL_internal:{reason}")
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, ssl.SSLError):
        return handshake_failed(cause)
    if isinstance(cause, OSError) and cause.errno:
        return _tls_error(f"system library:OPENSSL_internal:{os.strerror(cause.errno)}")
    if isinstance(error, ValueError):
        return _tls_error(str(error))
    return connect_failure("")


def _tls_error(reason: str) -> UpstreamConnectError:
    return connect_failure(f"TLS_error:|{reason}:TLS_error_end")
