"""Command operators in header values (semantics 11.3 as far as headers have them)."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.algorithms.header_format import OPERATORS, check, parse
from ambassador_lib.call import Attempt
from ambassador_lib.policy.model.core import FrozenDict, Metadata
from ambassador_lib.routing.format import compile_json, compile_text, compile_value
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
        ("%START_TIME(%E3S %Ez %%)%", "19.500 +00:00 %"),
        ("%EMIT_TIME(%s)%", "1700000000"),
        ("%QUERY_PARAMS% %QUERY_PARAMS(DECODED):4%", "q=a%20b&r=1 q=a "),
        ("%QUERY_PARAMS%", "q=a%20b&r=1"),
        ("%PATH():2%", "/p"),
        ("%REQUEST_HEADER(x-some)%", "some value"),
        ("%TRAILER(x)%%DOWNSTREAM_TLS_VERSION%", ""),
        ("%DURATION%", "500"),
        ("%REQUEST_HEADERS_BYTES%", str(10 + 8 + 7 + 3 + 5 + 16 + 7 + 4 + 6 + 10 + 7 + 12 + 6)),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "127.0.0.0/8"),
        ("%RESPONSE_FLAGS_LONG%", "-"),
        ("%ACCESS_LOG_TYPE%", "NotSet"),
        ("%METADATA(ROUTE:a:b)%%DYNAMIC_METADATA(a:b)%", ""),
    ],
)
def test_values_of_a_request(value: str, expected: str) -> None:
    """What is known renders; what is not, or not yet, renders empty."""
    assert rendered(value, headers=[("x-some", "some value"), ("x-empty", ""), ("x-request-id", "the-id")]) == expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%", 10_000),
        ("%COMMON_DURATION(DS_RX_BEG:US_RX_BEG)%", 60),
        ("%COMMON_DURATION(US_TX_END:US_RX_BEG:ns)%", 50_000_000),
        ("%COMMON_DURATION(US_RX_BEG:DS_RX_BEG)%", None),
        ("%COMMON_DURATION(US_CX_BEG:US_CX_END)%", None),
        ("%COMMON_DURATION(NOPE:DS_TX_END)%", None),
        ("%REQUEST_DURATION%", 10),
        ("%REQUEST_TX_DURATION%", 10),
        ("%RESPONSE_DURATION%", 60),
        ("%RESPONSE_TX_DURATION%", 20),
        ("%DURATION%", 80),
        ("%BYTES_SENT%", 7),
        ("%UPSTREAM_REMOTE_ADDRESS%", "10.0.0.1:80"),
        ("%UPSTREAM_REMOTE_PORT%", 80),
        ("%UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%", "10.0.0.1"),
        ("%ACCESS_LOG_TYPE%", "DownstreamEnd"),
    ],
)
def test_values_of_a_call_that_has_ended(operator: str, expected: object) -> None:
    """Durations are those between the moments that are known; JSON keeps the type of a single operator."""
    call = call_to()
    call.started, call.request_ended, call.report.duration, call.bytes_sent = 5.0, 5.01, 0.08, 7
    call.attempt = attempt = Attempt(1)
    call.report.attempts.append(attempt)
    attempt.connected, attempt.status, attempt.endpoint = True, 200, "10.0.0.1:80"
    attempt.started, attempt.duration = 0.02, 0.04
    render = compile_json({"v": operator}, FakeClock(), log=True)
    assert json.loads(render(call, 200, ())) == {"v": expected}


def test_json_is_sorted_typed_and_nested() -> None:
    """Unset is null; text around an operator makes a string of it; what is no string is kept."""
    template = {"z": "%REQ(nope)%", "a": {"y": [True, None, "%RESPONSE_CODE%", 2.0]}, "b": "p=%REQ(nope)%", "c": 1.5}
    render = compile_json(FrozenDict(template), FakeClock())
    assert render(call_to(), 0, ()) == b'{"a":{"y":[true,null,0,2]},"b":"p=-","c":1.5,"z":null}\n'


def test_empty_values_may_be_omitted() -> None:
    """`omit_empty_values` takes unset values out, and what held nothing else."""
    template = {"a": "%REQ(no)%", "b": {"c": "%REQ(no)%"}, "d": ["%REQ(no)%", 1], "e": ["%REQ(no)%"], "f": "x%REQ(no)%"}
    render = compile_json(template, FakeClock(), omit_empty=True)
    assert render(call_to(), 0, ()) == b'{"d":[1],"f":"x"}\n'
    assert compile_json({"a": "%REQ(no)%"}, FakeClock(), omit_empty=True)(call_to(), 0, ()) == b"{}\n"
    assert compile_text("[%REQ(no)%]", FakeClock(), omit_empty=True)(call_to(), 0, ()) == b"[]"


def test_metadata_of_a_route_keeps_its_types() -> None:
    """A path of keys leads into metadata; what is a structure is JSON."""
    call = call_to()
    metadata = Metadata(filter_metadata=FrozenDict({"n": FrozenDict({"s": "text", "o": FrozenDict({"k": (1, "x")})})}))
    call.route = SimpleNamespace(model=SimpleNamespace(metadata=metadata))
    value = compile_text("%METADATA(ROUTE:n:s):3% %METADATA(ROUTE:n:o)% %METADATA(ROUTE:n:no)%", FakeClock())
    assert value(call, 0, ()) == b'tex {"k":[1,"x"]} -'


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
        ("%CONNECTION_ID%", "nobody here can tell"),
        ("%METADATA(NOPE:a)%", "NOPE"),
        ("%QUERY_PARAMS(RAW)%", "RAW"),
        ("%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "DS_RX_BEG:DS_TX_END:s"),
        ("%UPSTREAM_METADATA(a):3%", "UPSTREAM_METADATA"),
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
    argument = {"COMMON_DURATION": "(DS_RX_BEG:DS_TX_END)", "METADATA": "(ROUTE:x)"}.get(name, "")
    if not argument and check(f"%{name}%"):
        argument = "(x)"
    assert isinstance(rendered(f"%{name}{argument}%"), str)


@given(st.text("%aB(:)", max_size=12))
def test_parsing_is_total(value: str) -> None:
    """Any text is parsed or refused with a ValueError; text without percent signs comes back as it is."""
    message = check(value)
    if "%" not in value:
        assert parse(value) == ((value,) if value else ())
    assert message is None or message
