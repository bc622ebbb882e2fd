"""What a reply made by the sidecar itself looks like to a gRPC caller (semantics 12.2)."""

from __future__ import annotations

NAMES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip
"""By number, as access logs spell them."""

CODES = {
    name: number
    for number, name in enumerate((
        "OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    ))
}  # fmt: skip
"""By the names that filters have for them."""

DEADLINE_EXCEEDED = 4
_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def grpc_status(http_status: int) -> int:
    """Return the gRPC status that stands for an HTTP status; 2 is UNKNOWN."""
    return _STATUS.get(http_status, 2)


def grpc_message(text: str) -> bytes:
    """Encode a `grpc-message` (gRPC over HTTP/2: percent-encoded but for printable ASCII)."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != ord("%") else b"%%%02X" % byte for byte in text.encode()
    )


def is_grpc(content_type: bytes | None) -> bool:
    """Tell whether a content type is gRPC's; gRPC-Web is not."""
    return content_type is not None and (
        content_type == b"application/grpc" or content_type.startswith(b"application/grpc+")
    )
