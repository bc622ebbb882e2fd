"""What each command operator stands for: one small function of the call each (semantics 11.3).

`algorithms/header_format.py` parses, `routing/format.py` makes text or JSON of what is returned here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...algorithms.header_format import UNKNOWN, UNSET, Operator
from ...call import Call, Header
from . import downstream, metadata, request, response, upstream
from .base import Get, Value, constant
from .times import TIMED

if TYPE_CHECKING:
    from ...runtime.base import Clock


def getter(operator: Operator, clock: Clock) -> Get:
    """Return what finds the operator's value."""
    name, argument = operator.name, operator.argument or ""
    if name in UNSET or name in UNKNOWN:
        return constant(None)
    if (of_call := _OF_CALL.get(name)) is not None:
        return of_call
    if (timed := TIMED.get(name)) is not None:
        return timed(argument, clock)
    return _WITH_ARGUMENT[name](argument)


def _trace_part(name: str, width: int) -> Get:
    def get(call: Call, _status: int, _response: Sequence[Header]) -> Value:
        if call.span is None:
            return None
        return f"{getattr(call.span.told, name):0{width}x}".encode()

    return get


_OF_CALL: dict[str, Get] = {
    **downstream.OF_CALL,
    **request.OF_CALL,
    **response.OF_CALL,
    **upstream.OF_CALL,
    "ACCESS_LOG_TYPE": lambda call, _s, _r: b"NotSet" if call.report.duration is None else b"DownstreamEnd",
    "ROUTE_NAME": lambda call, _s, _r: (call.report.route or "").encode() or None,
    "SPAN_ID": _trace_part("span_id", 16),
    "TRACE_ID": _trace_part("trace_id", 32),
}
_WITH_ARGUMENT: dict[str, Callable[[str], Get]] = {
    **downstream.WITH_ARGUMENT,
    **metadata.WITH_ARGUMENT,
    **request.WITH_ARGUMENT,
    **response.WITH_ARGUMENT,
    **upstream.WITH_ARGUMENT,
    # Environment and host name are taken once, when the policy is compiled, as Envoy does.
    "ENVIRONMENT": lambda argument: constant(os.environ.get(argument, "-").encode()),
    "HOSTNAME": lambda _argument: constant(socket.gethostname().encode()),
}
