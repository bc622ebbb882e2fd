"""Headers of which Envoy holds one line only: further values are joined to it with a comma.

Envoy keeps its well-known headers in fixed slots (`INLINE_REQ_HEADERS` and friends). For the application this shows
in two places: a mutation that appends to one of them, and a matcher on one that was sent on several lines.
Verified against Envoy 1.40 for those listed here; all others keep their lines.
"""

from __future__ import annotations

_BOTH = (
    b"cache-control", b"content-encoding", b"content-type", b"grpc-status", b"via", b"x-request-id",
)  # fmt: skip

REQUEST_HEADERS = frozenset((
    *_BOTH, b"accept", b"accept-encoding", b"access-control-request-method", b"authorization", b"expect",
    b"grpc-timeout", b"if-none-match", b"origin", b"referer", b"te", b"user-agent", b"x-client-trace-id",
    b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
))  # fmt: skip

RESPONSE_HEADERS = frozenset((
    *_BOTH, b"access-control-allow-origin", b"date", b"etag", b"last-modified", b"location", b"vary",
))  # fmt: skip
