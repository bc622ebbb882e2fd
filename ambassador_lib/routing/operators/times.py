"""Moments and durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...algorithms.header_format import UNITS
from ...call import Call, Header
from .base import Get, Value

if TYPE_CHECKING:
    from ...runtime.base import Clock

_TIME = re.compile(r"%(?:%|E([1-9])S|E(z)|([1-9])?(f)|(s))")
_LAYOUT = "%Y-%m-%dT%H:%M:%S.%3fZ"
_LOCAL_LAYOUT = "%Y-%m-%dT%H:%M:%S.%3f%z"


def _at(layout: str, clock: Clock, *, local: bool, start: bool) -> Get:
    """Format a moment: strftime plus `%s`, fractions `%3f`, and absl's `%E3S` and `%Ez`."""
    layout = layout or (_LOCAL_LAYOUT if local else _LAYOUT)

    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        at = clock.time() - (clock.monotonic() - call.started if start else 0.0)
        seconds, nanoseconds = divmod(round(at * 1e9), 10**9)
        moment = datetime.fromtimestamp(seconds, UTC)
        return _formatted(layout, moment.astimezone() if local else moment, seconds, f"{nanoseconds:09d}").encode()

    return get


def _formatted(layout: str, moment: datetime, seconds: int, digits: str) -> str:
    def replace(found: re.Match[str]) -> str:
        precision, zone, fraction, is_fraction, epoch = found.groups()
        if precision:
            return f"{moment:%S}.{digits[: int(precision)]}"
        if zone:
            offset = f"{moment:%z}"
            return f"{offset[:3]}:{offset[3:5]}"
        if is_fraction:
            return digits[: int(fraction or 9)]
        return str(seconds) if epoch else "%%"

    return moment.strftime(_TIME.sub(replace, layout))


def _seconds(call: Call, point: str, clock: Clock) -> float | None:
    """Return when something happened, in seconds since the call began; `None` if it has not, or nobody knows."""
    attempt, report = call.attempt, call.report
    if point == "DS_RX_BEG":
        return 0.0
    if point in ("DS_RX_END", "US_TX_END"):
        reached = point == "DS_RX_END" or attempt.connected
        return call.request_ended - call.started if reached and call.request_ended is not None else None
    if point in ("US_RX_BEG", "DS_TX_BEG"):
        if attempt.status is None:
            return None
        return clock.monotonic() - call.started if attempt.duration is None else attempt.started + attempt.duration
    if point in ("US_RX_END", "DS_TX_END"):
        return report.duration if point == "DS_TX_END" or attempt.status is not None else None
    return None


def _between(start: str, end: str, unit: str) -> Callable[[str, Clock], Get]:
    scale = UNITS[unit]

    def timed(_argument: str, clock: Clock) -> Get:
        def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
            began, ended = _seconds(call, start, clock), _seconds(call, end, clock)
            if began is None or ended is None or ended < began:
                return None
            return int((ended - began) * scale + 1e-6)

        return get

    return timed


def _duration(_argument: str, clock: Clock) -> Get:
    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        took = call.report.duration
        return int((clock.monotonic() - call.started if took is None else took) * 1000 + 1e-6)

    return get


def _common_duration(argument: str, clock: Clock) -> Get:
    start, end, *unit = argument.split(":")
    return _between(start, end, unit[0] if unit else "ms")("", clock)


TIMED: dict[str, Callable[[str, Clock], Get]] = {
    "COMMON_DURATION": _common_duration,
    "DURATION": _duration,
    "EMIT_TIME": lambda layout, clock: _at(layout, clock, local=False, start=False),
    "EMIT_TIME_LOCAL": lambda layout, clock: _at(layout, clock, local=True, start=False),
    "REQUEST_DURATION": _between("DS_RX_BEG", "DS_RX_END", "ms"),
    "REQUEST_TX_DURATION": _between("DS_RX_BEG", "US_TX_END", "ms"),
    "RESPONSE_DURATION": _between("DS_RX_BEG", "US_RX_BEG", "ms"),
    "RESPONSE_TX_DURATION": _between("US_RX_BEG", "US_RX_END", "ms"),
    "START_TIME": lambda layout, clock: _at(layout, clock, local=False, start=True),
    "START_TIME_LOCAL": lambda layout, clock: _at(layout, clock, local=True, start=True),
}
