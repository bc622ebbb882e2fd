"""Headers of which Envoy holds one line only: further values are joined to it with a comma.

Envoy keeps its well-known headers in fixed slots (`INLINE_REQ_HEADERS` and friends). Several lines of one become one
line, a mutation that appends does so to that line, and matchers see the whole of it.
Verified against Envoy 1.40 for those listed here; all others keep their lines.
"""

from __future__ import annotations

from ..call import Header

_BOTH = (
    b"cache-control", b"content-encoding", b"content-type", b"via", b"x-request-id",
)  # fmt: skip

REQUEST_HEADERS = frozenset((
    *_BOTH, b"accept", b"accept-encoding", b"access-control-request-headers", b"access-control-request-method",
    b"authorization", b"expect", b"grpc-accept-encoding", b"grpc-timeout", b"if-match", b"if-modified-since",
    b"if-none-match", b"origin", b"pragma", b"referer", b"te", b"user-agent", b"x-client-trace-id",
    b"x-envoy-attempt-count", b"x-envoy-decorator-operation", b"x-envoy-downstream-service-cluster",
    b"x-envoy-downstream-service-node", b"x-envoy-external-address", b"x-envoy-is-timeout-retry",
    b"x-envoy-max-retries", b"x-envoy-original-host", b"x-envoy-original-path", b"x-envoy-retriable-header-names",
    b"x-envoy-retriable-status-codes", b"x-envoy-retry-grpc-on", b"x-envoy-retry-on", b"x-forwarded-for",
    b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto",
))  # fmt: skip

RESPONSE_HEADERS = frozenset((
    *_BOTH, b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods",
    b"access-control-allow-origin", b"access-control-expose-headers", b"access-control-max-age", b"age", b"date",
    b"etag", b"expires", b"grpc-message", b"grpc-status", b"last-modified", b"location", b"vary",
    b"x-envoy-attempt-count", b"x-envoy-decorator-operation", b"x-envoy-degraded",
    b"x-envoy-immediate-health-check-fail", b"x-envoy-ratelimited", b"x-envoy-upstream-healthchecked-cluster",
))  # fmt: skip


def on_one_line(headers: list[Header], names: frozenset[bytes]) -> None:
    """Make one line of several, where the first of them stood, of each header in `names`; empty ones add nothing."""
    lines: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if (key := name.lower()) in names:
            lines.setdefault(key, []).append(value)
    merged = {name: b",".join(filter(None, values)) for name, values in lines.items() if len(values) > 1}
    if not merged:
        return
    kept: list[Header] = []
    for name, value in headers:
        if (key := name.lower()) not in lines or len(lines[key]) == 1:
            kept.append((name, value))
        elif key in merged:
            kept.append((name, merged.pop(key)))
    headers[:] = kept
