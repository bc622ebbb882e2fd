"""The `x-envoy-*` request headers with which an internal caller overrides a route (semantics 1.2, 2, 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from . import retry_on
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
EXPECTED = b"x-envoy-expected-rq-timeout-ms"
_TIMEOUT = b"x-envoy-upstream-rq-timeout-ms"


@dataclass(slots=True)
class Overrides:
    """What an internal caller asked for. Times are seconds, 0 for none; `None` where the header is absent."""

    timeout: float | None = None
    stream_duration: float | None = None
    per_try_timeout: float | None = None
    retry_on: str = ""
    max_retries: int | None = None
    retriable_status_codes: frozenset[int] = frozenset()
    retriable_header_names: tuple[bytes, ...] = ()
    alt_response: bool = False
    hedge: bool | None = None


def take_overrides(headers: list[tuple[bytes, bytes]], *, respect_expected: bool = False) -> Overrides | None:
    """Remove the override headers from `headers`, in place, and return what they ask for.

    What cannot be parsed is ignored but removed all the same, as in Envoy. Several lines of one header are one value,
    joined by commas. `respect_expected`: an `x-envoy-expected-rq-timeout-ms` counts as the timeout, and the header
    that else would is left alone (`Router.respect_expected_rq_timeout`).
    """
    expected = _joined(headers, {EXPECTED}).get(EXPECTED) if respect_expected else None
    consumed = CONSUMED if expected is None else CONSUMED - {_TIMEOUT}
    taken = _joined(headers, consumed)
    if not taken and expected is None:
        return None
    headers[:] = [header for header in headers if header[0] not in consumed]
    retry_on = (taken.get(b"x-envoy-retry-on", ""), taken.get(b"x-envoy-retry-grpc-on", ""))
    codes = (natural(code.strip()) for code in taken.get(b"x-envoy-retriable-status-codes", "").split(","))
    names = (name.strip().lower() for name in taken.get(b"x-envoy-retriable-header-names", "").split(","))
    return Overrides(
        timeout=_milliseconds(taken.get(_TIMEOUT) if expected is None else expected),
        stream_duration=_milliseconds(taken.get(b"x-envoy-upstream-stream-duration-ms")),
        per_try_timeout=_milliseconds(taken.get(b"x-envoy-upstream-rq-per-try-timeout-ms")),
        retry_on=",".join(filter(None, retry_on)),
        max_retries=_number(taken.get(b"x-envoy-max-retries", "")),
        retriable_status_codes=frozenset(code for code in codes if code is not None),
        retriable_header_names=tuple(name.encode("latin-1") for name in names if name),
        hedge={"true": True, "false": False}.get(taken.get(b"x-envoy-hedge-on-per-try-timeout", "")),
        alt_response=b"x-envoy-upstream-rq-timeout-alt-response" in taken,
    )


def strict_fault(headers: Iterable[tuple[bytes, bytes]], names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first of the named headers that does not say what it should, with its value.

    Source: `Router.strict_check_headers`.
    """
    found = _joined(headers, {name.encode() for name in names})
    for name in names:
        value = found.get(name.encode())
        if value is not None and not _STRICT[name](value):
            return name, value
    return None


def _is_number(text: str) -> bool:
    return _number(text) is not None


def _names_only(known: Iterable[str]) -> Callable[[str], bool]:
    names = {*known, ""}
    return lambda text: names.issuperset(token.strip() for token in text.split(","))


_STRICT: dict[str, Callable[[str], bool]] = {
    "x-envoy-upstream-rq-timeout-ms": _is_number,
    "x-envoy-upstream-rq-per-try-timeout-ms": _is_number,
    "x-envoy-max-retries": _is_number,
    "x-envoy-retry-on": _names_only(set(retry_on.TOKENS) - retry_on.GRPC_TOKENS),
    "x-envoy-retry-grpc-on": _names_only(retry_on.GRPC_TOKENS),
}


def _joined(headers: Iterable[tuple[bytes, bytes]], names: Container[bytes]) -> dict[bytes, str]:
    """Several lines of one header are one value, joined by commas."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in names:
            text = value.decode("latin-1").strip()
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _number(text: str) -> int | None:
    """A whole number of 64 bits, with or without a plus sign."""
    number = natural(text.strip().removeprefix("+"))
    return number if number is not None and number < 2**64 else None


def _milliseconds(text: str | None) -> float | None:
    number = _number(text or "")
    return None if number is None else number / 1000
