"""What both networks say of a connection that did not come about, in Envoy's words (semantics 12.1)."""

from __future__ import annotations

import errno
import os
import ssl

from ..errors import UpstreamConnectError, connect_failure
from .tls import NameMismatch

IMMEDIATE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EINVAL}
"""What `connect` refuses without sending anything; Envoy's details tell the two apart."""


def refused(error: OSError) -> UpstreamConnectError:
    """Tell a failed `connect`."""
    when = "immediate" if error.errno in IMMEDIATE else "delayed"
    return connect_failure(f"{when} connect error: {os.strerror(error.errno) if error.errno else error}")


def handshake_failed(error: Exception) -> UpstreamConnectError:
    """Tell a failed TLS handshake, failed checks of the certificate's names included."""
    reason = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"CERTIFICATE_VERIFY_FAILED:{error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or reason
    elif not isinstance(error, NameMismatch):
        reason = f"handshake: {reason or type(error).__name__}"
    return connect_failure(f"TLS_error:|{reason}:TLS_error_end")
