"""The conditions of `retry_on` and what each of them retries (semantics 3.2)."""

from __future__ import annotations

from enum import Enum, IntFlag, auto


class RetryOn(IntFlag):
    """Envoy's retry conditions; tokens it does not know are no error and mean nothing."""

    SERVER_ERROR = auto()
    GATEWAY_ERROR = auto()
    RESET = auto()
    RESET_BEFORE_REQUEST = auto()
    CONNECT_FAILURE = auto()
    REFUSED_STREAM = auto()
    ENVOY_RATELIMITED = auto()
    RETRIABLE_4XX = auto()
    RETRIABLE_STATUS_CODES = auto()
    RETRIABLE_HEADERS = auto()
    HTTP3_POST_CONNECT_FAILURE = auto()
    GRPC_CANCELLED = auto()
    GRPC_DEADLINE_EXCEEDED = auto()
    GRPC_RESOURCE_EXHAUSTED = auto()
    GRPC_INTERNAL = auto()
    GRPC_UNAVAILABLE = auto()


NOTHING = RetryOn(0)
TOKENS = {
    "5xx": RetryOn.SERVER_ERROR,
    "gateway-error": RetryOn.GATEWAY_ERROR,
    "reset": RetryOn.RESET,
    "reset-before-request": RetryOn.RESET_BEFORE_REQUEST,
    "connect-failure": RetryOn.CONNECT_FAILURE,
    "refused-stream": RetryOn.REFUSED_STREAM,
    "envoy-ratelimited": RetryOn.ENVOY_RATELIMITED,
    "retriable-4xx": RetryOn.RETRIABLE_4XX,
    "retriable-status-codes": RetryOn.RETRIABLE_STATUS_CODES,
    "retriable-headers": RetryOn.RETRIABLE_HEADERS,
    "http3-post-connect-failure": RetryOn.HTTP3_POST_CONNECT_FAILURE,
    "cancelled": RetryOn.GRPC_CANCELLED,
    "deadline-exceeded": RetryOn.GRPC_DEADLINE_EXCEEDED,
    "resource-exhausted": RetryOn.GRPC_RESOURCE_EXHAUSTED,
    "internal": RetryOn.GRPC_INTERNAL,
    "unavailable": RetryOn.GRPC_UNAVAILABLE,
}
NAMES = {condition: token for token, condition in TOKENS.items()}
GRPC_TOKENS = frozenset(("cancelled", "deadline-exceeded", "resource-exhausted", "internal", "unavailable"))
_GRPC = {
    b"1": RetryOn.GRPC_CANCELLED,
    b"4": RetryOn.GRPC_DEADLINE_EXCEEDED,
    b"8": RetryOn.GRPC_RESOURCE_EXHAUSTED,
    b"13": RetryOn.GRPC_INTERNAL,
    b"14": RetryOn.GRPC_UNAVAILABLE,
}


class Failure(Enum):
    """How a try failed without a response."""

    CONNECT = auto()
    RESET = auto()
    REFUSED_STREAM = auto()
    PER_TRY_TIMEOUT = auto()
    OTHER = auto()


_ANY_RESET = (RetryOn.RESET, RetryOn.SERVER_ERROR, RetryOn.GATEWAY_ERROR)
_RETRIED_BY: dict[Failure, tuple[RetryOn, ...]] = {
    Failure.CONNECT: (RetryOn.CONNECT_FAILURE, *_ANY_RESET, RetryOn.RESET_BEFORE_REQUEST),
    Failure.RESET: _ANY_RESET,
    Failure.REFUSED_STREAM: (RetryOn.REFUSED_STREAM, *_ANY_RESET),
    Failure.PER_TRY_TIMEOUT: _ANY_RESET,
    Failure.OTHER: (),
}


_BY_STATUS_ALONE = (
    RetryOn.SERVER_ERROR
    | RetryOn.GATEWAY_ERROR
    | RetryOn.RETRIABLE_4XX
    | RetryOn.RESET
    | RetryOn.RESET_BEFORE_REQUEST
    | RetryOn.CONNECT_FAILURE
    | RetryOn.REFUSED_STREAM
    | RetryOn.HTTP3_POST_CONNECT_FAILURE
)


def parse(text: str) -> RetryOn:
    """Parse a `retry_on` list: tokens are trimmed and case-sensitive."""
    conditions = NOTHING
    for token in text.split(","):
        conditions |= TOKENS.get(token.strip(), NOTHING)
    return conditions


def least_status(conditions: RetryOn) -> int:
    """Return the least status of a response that the conditions can retry; 0 where not the status alone decides."""
    if conditions & ~_BY_STATUS_ALONE:
        return 0
    return 409 if conditions & RetryOn.RETRIABLE_4XX else 500


def failure_retried(conditions: RetryOn, failure: Failure) -> str | None:
    """Return the condition's name that retries a try without a response, or `None`."""
    return next((NAMES[condition] for condition in _RETRIED_BY[failure] if conditions & condition), None)


def status_retried(conditions: RetryOn, status: int, codes: frozenset[int]) -> str | None:
    """Return the condition's name that retries a response for its status, or `None`."""
    if conditions & RetryOn.SERVER_ERROR and 500 <= status < 600:
        return "5xx"
    if conditions & RetryOn.GATEWAY_ERROR and 502 <= status <= 504:
        return "gateway-error"
    if conditions & RetryOn.RETRIABLE_4XX and status == 409:
        return "retriable-4xx"
    if conditions & RetryOn.RETRIABLE_STATUS_CODES and status in codes:
        return "retriable-status-codes"
    return None


def grpc_retried(conditions: RetryOn, grpc_status: bytes) -> str | None:
    """Return the condition's name that retries a response for its `grpc-status` header, or `None`."""
    condition = _GRPC.get(grpc_status)
    return NAMES[condition] if condition is not None and conditions & condition else None
