"""What Envoy's HTTP/1 codec and sanitizers accept in a request's head; each verified on Envoy 1.40."""

from __future__ import annotations

import re

METHODS = frozenset((
    "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY",
    "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
    "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK",
    "UNSUBSCRIBE",
))  # fmt: skip
"""Which methods there are, unless `allow_custom_methods` is set."""

AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]@%]*")
"""What an authority is made of (RFC 3986 3.2)."""

_RELATIVE = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=@?%]*(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?")


def is_clean_referer(referer: bytes) -> bool:
    """Tell whether a referer goes on: an absolute or relative URL without user information and fragment."""
    scheme, mark, rest = referer.partition(b"://")
    if mark and scheme.lower() in (b"http", b"https"):
        return b"@" not in rest.partition(b"/")[0] and b"#" not in rest
    return _RELATIVE.fullmatch(referer) is not None
