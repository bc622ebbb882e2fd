"""What spans say: OpenTelemetry's HTTP semantic conventions."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Hashable

import httpx
import pytest

from ambassador_lib.call import Call
from ambassador_lib.errors import route_timeout
from ambassador_lib.telemetry import attributes
from ambassador_lib.telemetry.attributes import (
    OTHER_NAME,
    SPAN_NAMES,
    Attributes,
    call_attributes,
    error_description,
    error_type,
    peer_attributes,
    redacted,
    split_address,
    try_attributes,
)
from ambassador_lib.telemetry.facts import CallFacts, TryFacts

MakeCall = Callable[..., Call]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/b?c=d", "http://a/b?c=d"),
        ("http://me:secret@a/b", "http://REDACTED:REDACTED@a/b"),
        ("http://me@a/b", "http://REDACTED@a/b"),
        ("http://me:p@ss@a/b", "http://REDACTED:REDACTED@a/b"),
        ("http://a/b@c?d=e@f", "http://a/b@c?d=e@f"),
        ("https://a/?sig=1&x=2", "https://a/?sig=REDACTED&x=2"),
        ("https://a/?x=2&X-Amz-Signature=1#f", "https://a/?x=2&X-Amz-Signature=REDACTED#f"),
        ("https://a/?design=1", "https://a/?design=1"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    """Neither userinfo nor the query keys that the conventions name leave the process."""
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a:80", ("a", 80)),
        ("a", ("a", None)),
        ("[::1]:443", ("::1", 443)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
        ("", ("", None)),
    ],
)
def test_addresses_are_split(text: str, parts: tuple[str, int | None]) -> None:
    """A port is split off a name, an IPv4 or a bracketed IPv6 address."""
    assert split_address(text) == parts


def test_a_call_is_described_as_the_application_made_it() -> None:
    """The logical request shows the URL that the application called."""
    assert call_attributes("GET", httpx.URL("https://me:secret@billing.test/charges")) == {
        "http.request.method": "GET",
        "url.full": "https://REDACTED:REDACTED@billing.test/charges",
        "server.address": "billing.test",
        "server.port": 443,
    }


def test_a_try_is_described_as_the_upstream_sees_it() -> None:
    """A try shows the rewritten host and path, and its cluster."""
    assert try_attributes("GET", "http", "billing.internal", "/v2/charges", 1, "billing_upstream") == {
        "http.request.method": "GET",
        "url.full": "http://billing.internal/v2/charges",
        "server.address": "billing.internal",
        "server.port": 80,
        "upstream_cluster.name": "billing_upstream",
    }


@pytest.mark.parametrize(("number", "count"), [(1, None), (2, 1), (4, 3)])
def test_resends_are_counted_after_the_first_try(number: int, count: int | None) -> None:
    """`http.request.resend_count` is the ordinal of the resend and absent from the first try."""
    assert try_attributes("GET", "http", "a", "/", number, None).get("http.request.resend_count") == count


def test_an_unknown_method_is_kept_apart() -> None:
    """A method that the conventions do not know must not widen a span's name or its attribute's values."""
    found = call_attributes("BREW", httpx.URL("http://a/"))
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "BREW")
    assert [SPAN_NAMES.get(method, OTHER_NAME) for method in ("BREW", "POST")] == ["HTTP", "POST"]


def test_a_peer_is_an_address_and_a_port() -> None:
    """The other end of the connection is told in two attributes."""
    assert peer_attributes("10.0.0.1:8443") == {"network.peer.address": "10.0.0.1", "network.peer.port": 8443}
    assert peer_attributes("/run/app.sock") == {"network.peer.address": "/run/app.sock"}


def test_errors_are_named_with_their_module() -> None:
    """`error.type` is the qualified name, without a module for built-in exceptions."""
    assert error_type(type(route_timeout())) == "ambassador_lib.errors.RouteTimeoutError"
    assert error_type(asyncio.CancelledError) == "asyncio.exceptions.CancelledError"
    assert error_type(OSError) == "OSError"


def test_a_description_is_the_message_alone(make_call: MakeCall) -> None:
    """The call's story, which repeats the URL, is not copied into the span's status."""
    error = route_timeout()
    error.call = make_call("http://me:secret@a/").report
    assert error_description(error) == "upstream request timeout"
    assert error_description(OSError()) is None


def test_a_description_is_the_spans_own() -> None:
    """What is added to one span's attributes is not seen in those of the next one of the same request."""
    for _ in range(2):
        for found in (
            call_attributes("GET", httpx.URL("http://own/a")),
            try_attributes("GET", "http", "own", "/a", 1, None),
        ):
            assert list(found) == ["http.request.method", "url.full", "server.address", "server.port"]
            found["added"] = 1


def test_what_spans_have_in_common_is_not_changed() -> None:
    """Attributes that the next span of such a request will have as well are as unchangeable as the SDK's own."""
    facts = TryFacts("GET", "http", "common", "/a", 1, "billing")
    facts.peer = "10.0.0.1:80"
    facts.ended(200, None)
    found = facts.whole()
    assert facts.whole() is found
    assert found == {**facts.at_start(), **peer_attributes("10.0.0.1:80"), "http.response.status_code": 200}
    before = dict(found)
    changes: list[Callable[[], object]] = [
        lambda: found.update(added=1),
        lambda: found.__setitem__("added", 1),
        lambda: found.pop("url.full"),
        found.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match="ended"):
            change()
    assert found == before
    assert [copy.deepcopy(found), pickle.loads(pickle.dumps(found))] == [before, before]


def test_calls_differ_in_their_ids_alone() -> None:
    """Each call tells its own request id, be all else as in the one before."""
    url = httpx.URL("http://alike/a")
    calls = [CallFacts("GET", url) for _ in range(3)]
    calls[0].request_id, calls[1].request_id = b"one", b"two"
    for call in calls:
        call.ended(200, None)
    told = [dict(call.whole()) for call in calls]
    assert [found.pop("guid:x-request-id") for found in told[:2]] == ["one", "two"]
    assert told[0] == told[1] == told[2] == {**call_attributes("GET", url), "http.response.status_code": 200}


def test_descriptions_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many are kept, none of a long URL, and none that was redacted."""
    kept: dict[Hashable, Attributes] = {}
    monkeypatch.setattr(attributes, "_kept", kept)
    monkeypatch.setattr(attributes, "KEPT", 2)
    for path in "abcde":
        call_attributes("GET", httpx.URL(f"http://a/{path}"))
    assert [found["url.full"] for found in kept.values()] == ["http://a/e"]
    call_attributes("GET", httpx.URL("http://me:secret@a/"))
    try_attributes("GET", "http", "a", "/?sig=1", 1, None)
    try_attributes("GET", "http", "a", "/" + "x" * attributes.KEPT_LENGTH, 1, None)
    assert len(kept) == 1
