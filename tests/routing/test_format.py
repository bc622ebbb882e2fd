"""Command operators in header values (semantics 11.3 as far as headers have them)."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.header_format import OPERATORS, check, parse
from ambassador_lib.call import Attempt
from ambassador_lib.routing.format import compile_value
from ambassador_lib.testing import FakeClock

from .calls import call_to


def rendered(value: str, *, status: int = 0, response: Any = (), **call: Any) -> str:
    compiled = compile_value(value, FakeClock(start=100.0, epoch=1_700_000_000.0))
    if isinstance(compiled, bytes):
        return compiled.decode()
    made = call_to(call.pop("target", "/p/a?q=a%20b&r=1"), **call)
    made.started = 99.5
    return compiled(made, status, response).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("100%%", "100%"),
        ("p=%REQ(:path)%", "p=/p/a?q=a%20b&r=1"),
        ("%REQ(:METHOD)% %REQ(:scheme)%://%REQ(:authority)%%REQ(host)%", "GET http://svc.testsvc.test"),
        ("%REQ(X-Some)%", "some value"),
        ("%REQ(x-none)%", ""),
        ("%REQ(x-none?x-some)%", "some value"),
        ("%REQ(x-none?x-some):4%", "some"),
        ("%REQ(x-empty?x-some)%", ""),
        ("%PATH%", "/p/a?q=a%20b&r=1"),
        ("%PATH(NQ)%", "/p/a"),
        ("%PATH(WQ:PATH)%", "/p/a?q=a%20b&r=1"),
        ("%PATH(WQ:ORIG)%", ""),
        ("%QUERY_PARAM(q)%", "a b"),
        ("%QUERY_PARAM(none)%", ""),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "127.0.0.1:0"),
        ("%PROTOCOL%", "HTTP/1.1"),
        ("%HOSTNAME%", socket.gethostname()),
        ("%RESPONSE_CODE%", "0"),
        ("%RESPONSE_FLAGS%", "-"),
        ("%RESPONSE_CODE_DETAILS%", ""),
        ("%RESP(x-up)%", ""),
        ("%RESP(:status)%", ""),
        ("%UPSTREAM_HOST%", ""),
        ("%UPSTREAM_CLUSTER%%ROUTE_NAME%", ""),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "1"),
        ("%STREAM_ID%", "the-id"),
        ("%START_TIME%", "2023-11-14T22:13:19.500Z"),
        ("%START_TIME(%s.%3f)%", "1699999999.500"),
        ("%START_TIME(%Y %f)%", "2023 500000000"),
    ],
)
def test_values_of_a_request(value: str, expected: str) -> None:
    """What is known renders; what is not, or not yet, renders empty."""
    assert rendered(value, headers=[("x-some", "some value"), ("x-empty", ""), ("x-request-id", "the-id")]) == expected


def test_the_path_before_a_rewrite_is_preferred() -> None:
    """PATH is the original one where there is one."""
    headers = [("x-envoy-original-path", "/was?x")]
    assert rendered("%PATH(NQ)% %PATH(WQ:ORIG)% %PATH(NQ:PATH)%", headers=headers) == "/was /was?x /p/a"


def test_the_environment_is_read_when_the_policy_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change is not seen; a missing variable is a dash, as in Envoy."""
    monkeypatch.setenv("PLACE", "here")
    value = compile_value("%ENVIRONMENT(PLACE)%%ENVIRONMENT(NO_SUCH_PLACE)%", FakeClock())
    monkeypatch.setenv("PLACE", "there")
    assert not isinstance(value, bytes)
    assert value(call_to(), 0, ()) == b"here-"


def test_values_of_a_response() -> None:
    """After a try there are its endpoint, its count and a status."""
    call = call_to()
    for number in (1, 2):
        call.attempt = Attempt(number)
        call.attempt.endpoint = f"127.0.0.1:800{number}"
        call.report.attempts.append(call.attempt)
    call.attempt.status = 200
    call.report.cluster, call.report.route = "c", "r"
    call.flag("URX")
    call.flag("UF")
    value = compile_value(
        "%RESPONSE_CODE% %RESP(:status)% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% "
        "%ROUTE_NAME% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESP(x-none?X-UP):2%",
        FakeClock(),
    )
    assert not isinstance(value, bytes)
    assert value(call, 200, [(b"X-Up", b"abc")]) == b"200 200 via_upstream URX,UF 127.0.0.1:8002 c r 2 ab"


def test_local_replies_have_no_code_yet() -> None:
    """RESPONSE_CODE renders 0 in a reply of the sidecar's own, while the header `:status` is there."""
    assert rendered("%RESPONSE_CODE% %RESP(:status)%", status=503) == "0 503"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("%NOPE%", "NOPE"),
        ("%VIRTUAL_HOST_NAME%", "VIRTUAL_HOST_NAME"),
        ("%REQ%", "REQ"),
        ("%REQ()%", "REQ"),
        ("%REQ(a?b?c)%", "a?b?c"),
        ("%REQ(a b)%", "a b"),
        ("%PROTOCOL(a)%", "PROTOCOL"),
        ("%PROTOCOL:3%", "PROTOCOL"),
        ("%START_TIME:3%", "START_TIME"),
        ("%ENVIRONMENT%", "ENVIRONMENT"),
        ("%PATH(XX)%", "XX"),
        ("%PATH(WQ:YY)%", "YY"),
        ("%REQ(A):x%", "position 0"),
        ("%REQ(a)b%", "position 0"),
        ("50%", "position 2"),
        ("%%%", "position 2"),
        ("%req(x)%", "position 0"),
    ],
)
def test_what_envoy_refuses_is_refused(value: str, named: str) -> None:
    """An unknown operator or a malformed one is told by name or place."""
    message = check(value)
    assert message is not None
    assert named in message
    with pytest.raises(ValueError, match="operator"):
        compile_value(value, FakeClock())


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_that_is_accepted_renders(name: str) -> None:
    """Nothing passes the check that could not be compiled."""
    argument = "(x)" if check(f"%{name}%") and name != "PATH" else ""
    assert isinstance(rendered(f"%{name}{argument}%"), str)


@given(st.text("%aB(:)", max_size=12))
def test_parsing_is_total(value: str) -> None:
    """Any text is parsed or refused with a ValueError; text without percent signs comes back as it is."""
    message = check(value)
    if "%" not in value:
        assert parse(value) == ((value,) if value else ())
    assert message is None or message
