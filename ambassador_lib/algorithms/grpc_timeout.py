"""`grpc-timeout` and what it makes of a stream's or a route's limit (semantics 2). All times are whole milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST = 99_999_999
"""Eight digits. Source: gRPC over HTTP/2."""
_NANOSECONDS = {
    "H": 3_600_000_000_000, "M": 60_000_000_000, "S": 1_000_000_000, "m": 1_000_000, "u": 1_000, "n": 1,
}  # fmt: skip


def parse(value: bytes | None) -> int | None:
    """Return the milliseconds, begun ones counted whole; `None` if there is no such header or it says nothing."""
    text = (value or b"").decode("latin-1")
    number, unit = text[:-1].strip().removeprefix("+"), text[-1:]
    if len(text) > 9 or unit not in _NANOSECONDS or not (number.isascii() and number.isdigit()):
        return None
    return -(-int(number) * _NANOSECONDS[unit] // 1_000_000)


def render(milliseconds: int) -> bytes:
    """Write a `grpc-timeout` in the finest unit from milliseconds on that eight digits hold; coarser ones cut."""
    amount = milliseconds
    for unit, size in (("m", 1000), ("S", 60), ("M", 60)):
        if amount <= _LARGEST:
            return b"%d%s" % (amount, unit.encode())
        amount //= size
    return b"%dH" % min(amount, _LARGEST)


@dataclass(frozen=True, slots=True)
class StreamDuration:
    """How long a stream may last.

    `maximum` is the route's, else the connection manager's; 0 for none. `header_max` lets a request bring its own by
    `grpc-timeout`, up to so much (0: any, `None`: not at all), less `header_offset`. `is_told` says that a gRPC
    upstream is told the limit, `is_withheld` that it is told of none where there is none.
    Source: `RouteAction.MaxStreamDuration` over `HttpConnectionManager.common_http_protocol_options`.
    """

    maximum: int = 0
    header_max: int | None = None
    header_offset: int = 0
    is_told: bool = False
    is_withheld: bool = False

    def limit(self, grpc_timeout: int | None) -> int | None:
        """Return the limit of one stream, `None` for none; 0 is over at once."""
        if grpc_timeout is None or self.header_max is None:
            return self.maximum or None
        capped = min(grpc_timeout, self.header_max) if self.header_max else grpc_timeout
        return max(0, capped - self.header_offset)


def route_timeout(grpc_timeout: int | None, maximum: int, offset: int) -> int:
    """Return a gRPC request's route timeout, 0 for none.

    Source: the deprecated `RouteAction.max_grpc_timeout` (0: no cap) and `grpc_timeout_offset`, which is only taken
    off where something is left.
    """
    timeout = grpc_timeout or 0
    if offset < timeout:
        timeout -= offset
    if maximum and (timeout == 0 or timeout > maximum):
        return maximum
    return timeout
