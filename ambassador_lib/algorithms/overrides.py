"""The `x-envoy-*` request headers with which an internal caller overrides a route (semantics 1.2, 2, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from .natural import natural

CONSUMED = frozenset(
    b"x-envoy-" + name
    for name in (
        b"retry-on",
        b"retry-grpc-on",
        b"max-retries",
        b"retriable-status-codes",
        b"retriable-header-names",
        b"upstream-rq-timeout-ms",
        b"upstream-rq-per-try-timeout-ms",
        b"upstream-rq-timeout-alt-response",
        b"hedge-on-per-try-timeout",
        b"upstream-alt-stat-name",
        b"upstream-stream-duration-ms",
    )
)
"""Headers that the router takes for itself and never sends on."""


@dataclass(slots=True)
class Overrides:
    """What an internal caller asked for. Times are seconds, 0 for none; `None` where the header is absent."""

    timeout: float | None = None
    per_try_timeout: float | None = None
    retry_on: str = ""
    max_retries: int | None = None
    retriable_status_codes: frozenset[int] = frozenset()
    retriable_header_names: tuple[bytes, ...] = ()
    alt_response: bool = False


def take_overrides(headers: list[tuple[bytes, bytes]]) -> Overrides | None:
    """Remove the override headers from `headers`, in place, and return what they ask for.

    What cannot be parsed is ignored but removed all the same, as in Envoy.
    """
    taken = {name: value.decode("latin-1").strip() for name, value in reversed(headers) if name in CONSUMED}
    if not taken:
        return None
    headers[:] = [header for header in headers if header[0] not in CONSUMED]
    retry_on = (taken.get(b"x-envoy-retry-on", ""), taken.get(b"x-envoy-retry-grpc-on", ""))
    codes = (natural(code.strip()) for code in taken.get(b"x-envoy-retriable-status-codes", "").split(","))
    names = (name.strip().lower() for name in taken.get(b"x-envoy-retriable-header-names", "").split(","))
    return Overrides(
        timeout=_milliseconds(taken.get(b"x-envoy-upstream-rq-timeout-ms")),
        per_try_timeout=_milliseconds(taken.get(b"x-envoy-upstream-rq-per-try-timeout-ms")),
        retry_on=",".join(filter(None, retry_on)),
        max_retries=natural(taken.get(b"x-envoy-max-retries", "")),
        retriable_status_codes=frozenset(code for code in codes if code is not None),
        retriable_header_names=tuple(name.encode("latin-1") for name in names if name),
        alt_response=b"x-envoy-upstream-rq-timeout-alt-response" in taken,
    )


def _milliseconds(text: str | None) -> float | None:
    number = natural(text or "")
    return None if number is None else number / 1000
