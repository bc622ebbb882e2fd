"""What a connection manager knows of the lists of headers that it has admitted before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracerProvider

from ambassador_lib.call import Call
from ambassador_lib.errors import AmbassadorError, LocalReplyError
from ambassador_lib.handlers import admit
from ambassador_lib.handlers.admit import Admit
from ambassador_lib.policy.model import Address, HttpConnectionManager, Listener, SocketAddress
from ambassador_lib.policy.model.listener import InternalAddressConfig
from ambassador_lib.telemetry.tracing import Tracing

RANDOM: Any = SimpleNamespace(getrandbits=lambda _bits: 7, random=lambda: 0.5)
OFF = Tracing(tracer_provider=NoOpTracerProvider())

NAMES = (
    "accept", "connection", "content-type", "expect", "host", "referer", "te", "upgrade", "via", "x-a",
    "x-envoy-internal", "x-envoy-max-retries", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
)  # fmt: skip
VALUES = ("", "a", "close", "close, x-a", "keep-alive", "trailers", "http://a/", "10.0.0.1", "9.9.9.9", "https", "h2c")
MANAGERS = (
    {},
    {"use_remote_address": True, "internal_address_config": InternalAddressConfig()},
    {"use_remote_address": True, "append_x_forwarded_port": True, "via": "me"},
    {"internal_address_config": InternalAddressConfig(), "generate_request_id": False},
)

requests = st.tuples(
    st.sampled_from(["GET", "POST", "QUERY", "BREW"]),
    st.sampled_from(["http://x.test/", "https://x.test/long/path?q=1"]),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4),
)


def handler(**manager: Any) -> Admit:
    """Return the layer of a listener with these settings of its connection manager."""
    listener = Listener(
        name="l",
        address=Address(socket_address=SocketAddress(address="0.0.0.0", port_value=80)),
        http_connection_manager=HttpConnectionManager(stat_prefix="l", **manager),
    )
    return Admit(listener, random=RANDOM, tracing=OFF)


def admitted(one: Admit, method: str, url: str, headers: list[tuple[str, str]]) -> Any:
    """Return what becomes of a request there: all that a call knows then, or why it is refused."""
    call = Call(httpx.Request(method, url, headers=headers), 0.0)
    try:
        one.handle(call, lambda call: call)  # type: ignore[arg-type, return-value]  # ends here
    except AmbassadorError as error:
        return type(error), str(error), error.reply.status, error.reply.details
    return call.headers, call.authority, call.scheme, call.internal, call.edge, call.is_last


@given(st.sampled_from(MANAGERS), st.lists(requests, min_size=1, max_size=8))
def test_what_was_admitted_before_changes_nothing(manager: dict[str, Any], sent: list[Any]) -> None:
    """Every request comes out as it would as the first one ever, be it admitted or refused."""
    experienced = handler(**manager)
    for request in [*sent, *sent]:
        assert admitted(experienced, *request) == admitted(handler(**manager), *request)


def test_what_one_call_does_to_its_headers_is_its_own() -> None:
    """The same list of headers is given to each call anew."""
    one = handler()
    for _ in range(3):
        call = Call(httpx.Request("GET", "http://x.test/"), 0.0)
        one.handle(call, lambda call: call)  # type: ignore[arg-type, return-value]  # ends here
        assert b"x-mine" not in dict(call.headers)
        call.headers.append((b"x-mine", b"1"))


def test_the_size_is_that_of_the_whole_request() -> None:
    """Known headers are too large all the same beside a longer target."""
    one = handler(max_request_headers_kb=1)
    admitted(one, "GET", "http://x.test/", [])
    refused = admitted(one, "GET", "http://x.test/" + "a" * 1000, [])
    assert (LocalReplyError, 431) == (refused[0], refused[2])


def test_a_made_id_is_never_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has an id of its own."""
    numbers = iter(range(10))
    monkeypatch.setattr(RANDOM, "getrandbits", lambda _bits: next(numbers))
    one = handler()
    ids = {dict(admitted(one, "GET", "http://x.test/", [])[0])[b"x-request-id"] for _ in range(3)}
    assert 3 == len(ids)


def test_no_more_is_known_than_fits() -> None:
    """Lists that never come again, and long ones, cannot fill the memory."""
    one = handler()
    for number in range(3 * admit.MAX_KNOWN):
        admitted(one, "GET", "http://x.test/", [("x-a", str(number))])
        assert len(one._known) <= admit.MAX_KNOWN
    one._known.clear()
    admitted(one, "GET", "http://x.test/", [("x-a", "a" * admit.MAX_KNOWN_SIZE)])
    assert not one._known
