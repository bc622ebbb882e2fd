"""The fault filter (semantics 9.2)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ambassador_lib import FaultInjectedError, LocalReplyError
from ambassador_lib.call import Call
from ambassador_lib.filters.fault import Fault, _Charge
from ambassador_lib.policy.model.filters import HTTPFault

from .harness import Body, Hang, Spec, told
from .test_filters import ALWAYS, FORWARD, aborted, fault, filtered

NEVER = {"numerator": 0}


def delay(seconds: str = "0.2s", **fields: Any) -> dict[str, Any]:
    return {"delay": {"fixed_delay": seconds, "percentage": ALWAYS, **fields}}


def flags(response: httpx.Response) -> list[str]:
    reported: list[str] = response.extensions["ambassador"].flags
    return reported


def runtime(policy: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The policy with these runtime values; `__` stands for a dot."""
    layer = {name.replace("__", "."): value for name, value in values.items()}
    return {**policy, "layered_runtime": {"layers": [{"name": "l", "static_layer": layer}]}}


def test_a_delay_lies_outside_the_routes_timeout(spec: Spec) -> None:
    """The upstream is reached late, with all the time it has; the report says DI."""
    spec.given(filtered(fault(**delay("2s")), route={"timeout": "1s"}), Hang(0.9))
    response = spec.get()
    assert 200 == response.status_code
    assert ["DI"] == flags(response)
    assert 2.0 in spec.clock.sleeps


def test_a_delay_is_an_idle_stream(spec: Spec) -> None:
    """One that is longer than the stream's idle timeout ends with it: 504, DI and SI."""
    spec.given(filtered(fault(**delay("2s")), manager={"stream_idle_timeout": "1s"}))
    with pytest.raises(LocalReplyError) as caught:
        spec.get()
    assert (504, ["DI", "SI"]) == (caught.value.response.status_code, told(caught.value).flags)
    assert [] == spec.upstream.seen


def test_the_application_need_not_wait_that_long(spec: Spec) -> None:
    """Its own read timeout holds against a delay as against any answer."""
    spec.given_client(filtered(fault(**delay("2s"))))
    with pytest.raises(httpx.ReadTimeout) as caught:
        spec.get(timeout=1.0)
    assert ["DI", "DC"] == told(caught.value).flags


def test_delay_then_abort(spec: Spec) -> None:
    """Both faults of one filter, in this order."""
    error = aborted(spec.given(filtered(fault(503, **delay()))))
    assert ["DI", "FI"] == told(error).flags
    assert 0.2 in spec.clock.sleeps


def test_a_fault_without_a_percentage_never_happens(spec: Spec) -> None:
    """Unset is 0 %."""
    config = fault(abort={"http_status": 503}, delay={"fixed_delay": "1s"})
    spec.given(filtered(config))
    assert 200 == spec.get().status_code
    assert [] == spec.clock.sleeps


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"x-envoy-fault-abort-request": "429"}, 429),
        ({"x-envoy-fault-abort-request": "199"}, 200),
        ({"x-envoy-fault-abort-request": "abc"}, 200),
        ({"x-envoy-fault-abort-request": "429", "x-envoy-fault-abort-request-percentage": "0"}, 200),
        ({"x-envoy-fault-abort-grpc-request": "5"}, 200),
    ],
)
def test_a_header_gives_the_status(spec: Spec, headers: dict[str, str], expected: int) -> None:
    """From 200 to 599; the percentage can be lowered; a gRPC status is a 200 for others."""
    config = fault(abort={"header_abort": {}, "percentage": ALWAYS})
    response = spec.given(filtered(config), local_replies="response").get(headers=headers)
    assert expected == response.status_code
    sent_on = expected == 200 and "x-envoy-fault-abort-grpc-request" not in headers
    assert sent_on == bool(spec.upstream.seen)


def test_a_header_gives_the_delay(spec: Spec) -> None:
    """In milliseconds, and it goes on to the upstream."""
    spec.given(filtered(fault(delay={"header_delay": {}, "percentage": ALWAYS})))
    spec.get(headers={"x-envoy-fault-delay-request": "150"})
    spec.get()
    assert [0.15] == [seconds for seconds in spec.clock.sleeps if seconds]
    assert "150" == spec.upstream.seen[0].headers["x-envoy-fault-delay-request"]


def test_a_grpc_call_gets_the_grpc_status(spec: Spec) -> None:
    """As it is configured, not what follows from an HTTP status."""
    config = fault(abort={"grpc_status": 5, "percentage": ALWAYS})
    response = spec.given(filtered(config), local_replies="response").get(headers={"content-type": "application/grpc"})
    assert (200, "5", "fault filter abort") == (
        response.status_code, response.headers["grpc-status"], response.headers["grpc-message"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "headers", "strikes"),
    [
        ({"upstream_cluster": "c"}, {}, True),
        ({"upstream_cluster": "d"}, {}, False),
        ({"downstream_nodes": ["n"]}, {}, False),
        ({"downstream_nodes": ["n"]}, {"x-envoy-downstream-service-node": "n"}, True),
        ({"headers": [{"name": "x-a"}, {"name": "x-b"}]}, {"x-a": "1"}, False),
        ({"headers": [{"name": "x-a"}, {"name": "x-b"}]}, {"x-a": "1", "x-b": "1"}, True),
    ],
)
def test_only_those_concerned_suffer(spec: Spec, fields: Any, headers: Any, strikes: bool) -> None:
    """By the chosen cluster, the caller's node, and headers, of which all must match."""
    spec.given(filtered(fault(503, **fields)), local_replies="response")
    assert (503 if strikes else 200) == spec.get(headers=headers).status_code


def test_no_more_than_so_many_suffer_at_a_time(spec: Spec) -> None:
    """`max_active_faults` counts calls to the end of their bodies, each once."""
    config = fault(max_active_faults=1, headers=[{"name": "x-slow", "invert_match": False}], **delay("0.1s"))
    spec.given(filtered(config))
    first = spec.get(headers={"x-slow": "1"}, stream=True)
    assert [] == flags(spec.get(headers={"x-slow": "1"}))
    spec.close(first)
    assert ["DI"] == flags(spec.get(headers={"x-slow": "1"}))


def test_a_call_that_ends_inside_of_anothers_count_gives_back() -> None:
    """The garbage collector may end an abandoned call wherever it likes, in this very thread."""
    filter_ = Fault(HTTPFault(), SimpleNamespace(values={}))  # type: ignore[arg-type]
    call = Call(httpx.Request("GET", "http://x/"), 0.0, "/")
    assert _Charge(filter_, 1, call).take()
    with filter_.lock:
        call.finish()
    assert filter_.active == 0


def test_the_runtime_overrides(spec: Spec) -> None:
    """Shares, duration and status; under keys of one's own, and of the caller's name."""
    config = fault(503, **delay("1s", percentage=NEVER))
    values = {"fault__http__abort__abort_percent": 0, "fault__http__delay__fixed_delay_percent": 100}
    spec.given(runtime(filtered(config), **values, fault__http__delay__fixed_duration_ms=300))
    assert ["DI"] == flags(spec.get())
    assert [0.3] == [seconds for seconds in spec.clock.sleeps if seconds]
    own = runtime(
        filtered(fault(503, abort_http_status_runtime="mine")), mine=418, fault__http__me__abort__abort_percent=0
    )
    spec.given(own, local_replies="response")
    assert 418 == spec.get().status_code
    assert 200 == spec.get(headers={"x-envoy-downstream-service-cluster": "me"}).status_code


def slow(kbps: int | None = None) -> dict[str, Any]:
    limit = {"header_limit": {}} if kbps is None else {"fixed_limit": {"limit_kbps": kbps}}
    return fault(response_rate_limit={**limit, "percentage": ALWAYS})


def test_a_body_is_slowed_down(spec: Spec) -> None:
    """A twentieth of a second's bytes at once, then as many every 50 ms; the route's timeout does not run meanwhile."""
    policy = filtered(slow(10), routes=[{**FORWARD, "route": {"cluster": "c", "timeout": "0.3s"}}])
    spec.given(policy, httpx.Response(200, stream=Body(b"x" * 10_240)))
    response = spec.get(stream=True)
    chunks = spec.chunks(response)
    assert b"x" * 10_240 == b"".join(chunks)
    assert 512 == len(chunks[0])
    assert max(map(len, chunks)) <= 513
    assert 0.9 < spec.clock.monotonic() - started(spec) < 1.1


def started(spec: Spec) -> float:
    """When the clock of the case began."""
    return spec.clock.monotonic() - sum(spec.clock.sleeps)


@pytest.mark.parametrize(("headers", "is_slow"), [({}, False), ({"x-envoy-fault-throughput-response": "1"}, True)])
def test_a_header_gives_the_rate(spec: Spec, headers: dict[str, str], is_slow: bool) -> None:
    """In KiB a second; without it nothing happens."""
    spec.given(filtered(slow()), httpx.Response(200, stream=Body(b"x" * 512)))
    assert b"x" * 512 == spec.get(headers=headers).content
    assert is_slow == (sum(spec.clock.sleeps) > 0.4)


def test_a_slow_body_that_is_left_is_closed(spec: Spec) -> None:
    """Whoever reads no further gives everything back."""
    body = Body(b"x" * 10_240)
    response = spec.given(filtered(slow(1)), httpx.Response(200, stream=body)).get(stream=True)
    spec.close(response)
    assert body.closed
    spec.assert_nothing_held()


def test_an_abort_is_the_contracts_exception(spec: Spec) -> None:
    """It names what was injected."""
    error = aborted(spec.given(filtered(fault(418))))
    assert isinstance(error, FaultInjectedError)
    assert "fault filter abort: HTTP 418" in str(error)
