"""Which calls a filter of access logs and local replies selects."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.policy.model import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    DurationFilter,
    FractionalPercent,
    GrpcStatusFilter,
    HeaderFilter,
    HeaderMatcher,
    LogTypeFilter,
    NotHealthCheckFilter,
    OrFilter,
    ResponseFlagFilter,
    RuntimeFilter,
    RuntimeUInt32,
    StatusCodeFilter,
    TraceableFilter,
)
from ambassador_lib.routing.log_filters import LogFilters
from ambassador_lib.testing import FakeClock

from .calls import Dice, call_to


def status(op: str, value: int) -> AccessLogFilter:
    compared = ComparisonFilter(op=op, value=RuntimeUInt32(default_value=value, runtime_key="key"))
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=compared))


def selects(model: AccessLogFilter, code: int = 503, *, runtime: Any = None, dice: int = 0, **fields: Any) -> bool:
    call = call_to(headers=fields.pop("headers", ()))
    call.code = code
    for name, value in fields.items():
        setattr(call.report if hasattr(call.report, name) else call, name, value)
    compiled = LogFilters(runtime or {}, Dice(dice), FakeClock()).compile(model)
    return compiled(call, code, fields.get("response", ()))


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [("EQ", False, True, False), ("GE", False, True, True), ("LE", True, True, False), ("NE", True, False, True)],
)
def test_codes_are_compared(op: str, below: bool, equal: bool, above: bool) -> None:
    """EQ, GE, LE and NE, with the code on the left."""
    assert [selects(status(op, 500), code) for code in (499, 500, 501)] == [below, equal, above]


def test_a_runtime_key_overrides_the_number() -> None:
    """Source: `RuntimeUInt32`."""
    assert not selects(status("GE", 500), 500, runtime={"key": 501})


def test_durations_are_compared_in_milliseconds() -> None:
    """Source: `DurationFilter`."""
    compared = ComparisonFilter(op="GE", value=RuntimeUInt32(default_value=100, runtime_key="key"))
    model = AccessLogFilter(duration_filter=DurationFilter(comparison=compared))
    assert selects(model, duration=0.1)
    assert not selects(model, duration=0.0999)


def test_filters_are_joined() -> None:
    """All of an `and_filter`, any of an `or_filter`."""
    some = (status("GE", 500), status("GE", 600))
    assert not selects(AccessLogFilter(and_filter=AndFilter(filters=some)))
    assert selects(AccessLogFilter(or_filter=OrFilter(filters=some)))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (AccessLogFilter(header_filter=HeaderFilter(header=HeaderMatcher(name="x-a", present_match=True))), True),
        (AccessLogFilter(header_filter=HeaderFilter(header=HeaderMatcher(name="x-b", present_match=True))), False),
        (AccessLogFilter(not_health_check_filter=NotHealthCheckFilter()), True),
        (AccessLogFilter(traceable_filter=TraceableFilter()), False),
        (AccessLogFilter(response_flag_filter=ResponseFlagFilter()), True),
        (AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=("NR", "UH"))), True),
        (AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=("NR",))), False),
        (AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=("UNAVAILABLE",))), True),
        (AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=("UNAVAILABLE",), exclude=True)), False),
        (AccessLogFilter(grpc_status_filter=GrpcStatusFilter()), False),
        (AccessLogFilter(log_type_filter=LogTypeFilter(types=("DownstreamEnd",))), True),
        (AccessLogFilter(log_type_filter=LogTypeFilter(types=("DownstreamEnd",), exclude=True)), False),
        (AccessLogFilter(log_type_filter=LogTypeFilter(types=("DownstreamStart",))), False),
    ],
)
def test_single_conditions(model: AccessLogFilter, expected: bool) -> None:
    """Of a call with `x-a`, answered with 503 UH and not traced; each verified on Envoy 1.40."""
    assert selects(model, headers=[("x-a", "")], flags=["UH"]) is expected


def test_a_grpc_status_of_the_response_counts_before_its_code() -> None:
    """The header says it; without one the HTTP status stands for it."""
    model = AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=("NOT_FOUND",)))
    assert LogFilters({}, Dice(), FakeClock()).compile(model)(call_to(), 200, [(b"grpc-status", b"5")])
    assert not LogFilters({}, Dice(), FakeClock()).compile(model)(call_to(), 200, ())


def test_a_share_follows_the_request_id() -> None:
    """The first eight digits decide, so that every hop logs the same calls; without such an id chance does."""
    share = FractionalPercent(numerator=50)
    model = AccessLogFilter(runtime_filter=RuntimeFilter(runtime_key="key", percent_sampled=share))
    assert selects(model, headers=[("x-request-id", "00000031-x")])
    assert not selects(model, headers=[("x-request-id", "00000032-x")])
    assert selects(model, headers=[("x-request-id", "nope")], dice=149)
    assert not selects(model, headers=[("x-request-id", "nope")], dice=150)
    own = RuntimeFilter(runtime_key="key", percent_sampled=share, use_independent_randomness=True)
    assert not selects(AccessLogFilter(runtime_filter=own), headers=[("x-request-id", "00000031-x")], dice=50)
    assert not selects(AccessLogFilter(runtime_filter=RuntimeFilter(runtime_key="key")))
    assert selects(AccessLogFilter(runtime_filter=RuntimeFilter(runtime_key="key")), runtime={"key": 100})
