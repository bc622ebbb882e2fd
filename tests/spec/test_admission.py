"""What an upstream sees of the application's headers, and the application of its (semantics 1.1 to 1.3, 11.1)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from ambassador_lib import LocalReplyError

from .documents import ROUTER, bootstrap, header, route
from .harness import Hang, Spec, story

INTERNAL = {"use_remote_address": True, "internal_address_config": {}}
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def seen(spec: Spec, headers: Any = None, **manager: Any) -> httpx.Headers:
    """Return the headers that the upstream sees of a call."""
    spec.given(bootstrap(manager=manager)).get(headers=headers)
    return httpx.Headers(spec.upstream.seen[0].headers)


# --- x-request-id ----------------------------------------------------------------------------------------------------


def test_a_request_id_is_made(spec: Spec) -> None:
    """A random UUID, another for each call."""
    spec.given(bootstrap())
    ids = set()
    for _ in range(3):
        spec.get()
        ids.add(spec.upstream.seen[-1].headers["x-request-id"])
    assert 3 == len(ids)
    assert all(map(UUID.fullmatch, ids))


def test_a_request_id_is_kept(spec: Spec) -> None:
    """Any string of the application's, unless it comes from outside by an edge; then only if that is asked for."""
    own = {"x-request-id": "my own"}
    assert "my own" == seen(spec, own)["x-request-id"]
    assert UUID.fullmatch(seen(spec, own, use_remote_address=True)["x-request-id"])
    kept = seen(spec, own, use_remote_address=True, preserve_external_request_id=True)
    assert "my own" == kept["x-request-id"]


def test_the_request_id_is_the_same_on_every_try(spec: Spec) -> None:
    """Retries belong to one request."""
    spec.given(bootstrap(route={"retry_policy": {"retry_on": "5xx"}}), 503, 200).get()
    first, second = (request.headers["x-request-id"] for request in spec.upstream.seen)
    assert first == second


def test_no_request_id_where_none_is_wanted(spec: Spec) -> None:
    """`generate_request_id: false` makes none."""
    assert "x-request-id" not in seen(spec, generate_request_id=False)


def test_the_request_id_in_the_response(spec: Spec) -> None:
    """`always_set_request_id_in_response` echoes it where responses are dressed; local replies too."""
    policy = bootstrap(manager={"always_set_request_id_in_response": True})
    for step in (200, httpx.ConnectError("refused")):
        response = spec.given(policy, step, local_replies="response").get(headers={"x-request-id": "r1"})
        assert "r1" == response.headers["x-request-id"]
    assert "x-request-id" not in spec.given(bootstrap(), 200, local_replies="response").get().headers


# --- what else goes up -----------------------------------------------------------------------------------------------


def test_forwarded_proto(spec: Spec) -> None:
    """The application's scheme; one that the application sent is kept, but not by an edge."""
    assert "http" == seen(spec)["x-forwarded-proto"]
    assert "https" == seen(spec, {"x-forwarded-proto": "https"})["x-forwarded-proto"]
    assert "http" == seen(spec, {"x-forwarded-proto": "https"}, use_remote_address=True)["x-forwarded-proto"]


def test_the_expected_timeout_is_told(spec: Spec) -> None:
    """The route's, or the try's; on a retry no more than is left."""
    assert "15000" == seen(spec)["x-envoy-expected-rq-timeout-ms"]
    retry = {"retry_on": "5xx", "per_try_timeout": "2s", "num_retries": 3}
    spec.given(bootstrap(route={"timeout": "5s", "retry_policy": retry}), Hang(1.9, 503), Hang(1.9, 503), 200).get()
    told = [int(request.headers["x-envoy-expected-rq-timeout-ms"]) for request in spec.upstream.seen]
    assert [2000, 2000] == told[:2]
    assert 1000 < told[2] <= 1200


def test_suppressed_envoy_headers(spec: Spec) -> None:
    """`suppress_envoy_headers` of the router keeps its own additions out, up and down."""
    router = {**ROUTER, "typed_config": {**ROUTER["typed_config"], "suppress_envoy_headers": True}}
    routes = [route(prefix_rewrite="/x", host_rewrite_literal="h")]
    policy = bootstrap(routes=routes, manager={"http_filters": [router]})
    response = spec.given(policy, 200, local_replies="response").get("/a")
    assert [] == [name for name in spec.upstream.seen[0].headers if name.startswith("x-envoy-")]
    assert [] == [name for name in response.headers if name.startswith("x-envoy-")]


def test_hop_by_hop_headers_end_here(spec: Spec) -> None:
    """`connection`, all that it names, and their kin; `te` keeps trailers only."""
    headers = seen(
        spec,
        {
            "Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "1", "Proxy-Connection": "x", "Upgrade": "h2c",
            "Expect": "100-continue", "X-Forwarded-Client-Cert": "By=x", "TE": "gzip, trailers", "X-Stays": "1",
        },
    )  # fmt: skip
    gone = {"x-hop", "keep-alive", "proxy-connection", "upgrade", "expect", "x-forwarded-client-cert"}
    assert not gone & set(headers)
    assert headers.get("connection") in (None, "keep-alive")
    assert ("trailers", "1") == (headers["te"], headers["x-stays"])
    assert "te" not in seen(spec, {"te": "gzip"})


@pytest.mark.parametrize(("referer", "kept"), [("http://a.test/x", True), ("http://user:pw@a.test/", False)])
def test_a_referer_with_credentials_goes_no_further(spec: Spec, referer: str, kept: bool) -> None:
    """Only a clean URL is passed on."""
    assert kept == ("referer" in seen(spec, {"referer": referer}))


def test_repeated_headers_stay_apart(spec: Spec) -> None:
    """Lines are neither joined nor reordered."""
    headers = seen(spec, [("x-a", "1"), ("x-b", "2"), ("x-a", "3")])
    assert ["1", "3"] == headers.get_list("x-a")


def test_underscores(spec: Spec) -> None:
    """`headers_with_underscores_action` allows, drops or refuses."""

    def action(value: str) -> dict[str, Any]:
        return {"common_http_protocol_options": {"headers_with_underscores_action": value}}

    assert "1" == seen(spec, {"x_a": "1"})["x_a"]
    assert "x_a" not in seen(spec, {"x_a": "1"}, **action("DROP_HEADER"))
    with pytest.raises(LocalReplyError):
        seen(spec, {"x_a": "1"}, **action("REJECT_REQUEST"))


# --- who may steer ---------------------------------------------------------------------------------------------------

STEERING = {
    "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "2", "x-envoy-upstream-rq-timeout-ms": "900",
    "x-envoy-upstream-rq-per-try-timeout-ms": "500", "x-envoy-retriable-status-codes": "418",
}  # fmt: skip


def test_by_default_nobody_is_internal(spec: Spec) -> None:
    """Steering headers are taken away and do nothing; other `x-envoy-*` headers pass."""
    spec.given(bootstrap(), 503)
    spec.get(headers={**STEERING, "x-envoy-internal": "true", "x-envoy-mine": "1"})
    [request] = spec.upstream.seen
    assert not (set(STEERING) | {"x-envoy-internal"}) & set(request.headers)
    assert ("1", "15000") == (request.headers["x-envoy-mine"], request.headers["x-envoy-expected-rq-timeout-ms"])


@pytest.mark.parametrize(
    ("manager", "forwarded_for", "internal"),
    [
        ({}, "127.0.0.1", False),
        ({"use_remote_address": True}, None, False),
        ({"internal_address_config": {}}, None, False),
        ({"internal_address_config": {}}, "10.1.1.1", True),
        ({"internal_address_config": {}}, "10.1.1.1, 10.1.1.2", False),
        ({"internal_address_config": {}}, "8.8.8.8", False),
        (INTERNAL, None, True),
        (INTERNAL, "10.1.1.1", False),
    ],
)
def test_who_is_internal(spec: Spec, manager: Any, forwarded_for: str | None, internal: bool) -> None:
    """The table of semantics 1.2."""
    spec.given(bootstrap(manager=manager), 503)
    forwarded = {} if forwarded_for is None else {"x-forwarded-for": forwarded_for}
    spec.get(headers={**STEERING, **forwarded})
    assert (3 if internal else 1) == len(spec.upstream.seen)
    headers = spec.upstream.seen[0].headers
    assert ("true" if internal else None) == headers.get("x-envoy-internal")
    assert ("500" if internal else "15000") == headers["x-envoy-expected-rq-timeout-ms"]
    assert not set(STEERING) & set(headers)


def test_internal_only_headers(spec: Spec) -> None:
    """`internal_only_headers` go the way of the steering ones."""
    own = {"route_config": {"internal_only_headers": ["x-secret"], "virtual_hosts": [
        {"name": "v", "domains": ["*"], "routes": [route()]}
    ]}}  # fmt: skip
    assert "x-secret" not in seen(spec, {"x-secret": "1"}, **own)
    assert "1" == seen(spec, {"x-secret": "1"}, **own, **INTERNAL)["x-secret"]


def test_via(spec: Spec) -> None:
    """`via` is appended on the way up, and down where responses are dressed."""
    assert "1.1 first, mesh" == seen(spec, {"via": "1.1 first"}, via="mesh")["via"]
    response = spec.given(bootstrap(manager={"via": "mesh"}), 200, local_replies="response").get()
    assert "mesh" == response.headers["via"]


def test_the_policy_adds_after_admission(spec: Spec) -> None:
    """A mutation of the policy may set what an application may not."""
    added = {"request_headers_to_add": [header("x-envoy-retry-on", "told")]}
    spec.given(bootstrap(vhost=added), 503).get(headers={"x-envoy-retry-on": "5xx"})
    assert ["told"] == [request.headers["x-envoy-retry-on"] for request in spec.upstream.seen]


def test_too_many_headers(spec: Spec) -> None:
    """A hundred headers go through, one more is 431 as behind Envoy."""
    few = [(f"x-{n}", "v") for n in range(95)]
    assert 200 == spec.given(bootstrap()).get(headers=few).status_code
    spec.given(bootstrap(), local_replies="response")
    response = spec.get(headers=[*few, *((f"y-{n}", "v") for n in range(6))])
    assert (431, ["DPE"]) == (response.status_code, story(response).flags)


def test_an_empty_request_id_is_none(spec: Spec) -> None:
    """Envoy makes an id where the application's is empty, and joins two lines of it."""
    spec.given(bootstrap()).get(headers={"x-request-id": ""})
    assert 36 == len(spec.upstream.seen[0].headers["x-request-id"])
    spec.given(bootstrap()).get(headers=[("x-request-id", "a"), ("x-request-id", "b")])
    assert "a,b" == spec.upstream.seen[0].headers["x-request-id"]


@pytest.mark.parametrize(("direction", "told"), [("OUTBOUND", "op"), ("UNSPECIFIED", None)])
def test_the_operation_is_told_upstream(spec: Spec, direction: str, told: str | None) -> None:
    """An outbound listener sends the route's operation and not the application's; on others the latter counts."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "c"}, "decorator": {"operation": "op"}}]
    policy = bootstrap(routes=routes, manager={"tracing": {}})
    policy["static_resources"]["listeners"][0]["traffic_direction"] = direction
    response = spec.given(policy, local_replies="response").get(headers={"x-envoy-decorator-operation": "mine"})
    assert told == spec.upstream.seen[0].headers.get("x-envoy-decorator-operation")
    assert "x-envoy-decorator-operation" not in response.headers


@pytest.mark.parametrize("direction", ["OUTBOUND", "UNSPECIFIED"])
def test_an_operation_that_is_not_propagated_is_told_nobody(spec: Spec, direction: str) -> None:
    """`Decorator.propagate: false` keeps the name to the span."""
    decorator = {"operation": "op", "propagate": False}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "c"}, "decorator": decorator}]
    policy = bootstrap(routes=routes, manager={"tracing": {}})
    policy["static_resources"]["listeners"][0]["traffic_direction"] = direction
    response = spec.given(policy, local_replies="response").get()
    assert "x-envoy-decorator-operation" not in spec.upstream.seen[0].headers
    assert "x-envoy-decorator-operation" not in response.headers


def test_white_space_around_an_added_value_is_not_sent(spec: Spec) -> None:
    """A header's value has none at its ends, whatever a mutation renders."""
    added = [{"header": {"key": "x-a", "value": "%REQ(x-none)% v "}}]
    spec.given(bootstrap(vhost={"request_headers_to_add": added})).get()
    assert "v" == spec.upstream.seen[0].headers["x-a"]


@pytest.mark.parametrize("number", ["9" * 5000, "\u00b2".encode("latin-1")])
def test_numbers_that_are_none(spec: Spec, number: Any) -> None:
    """A number that nobody can read, from an internal caller or in a gRPC reply, is none and breaks nothing."""
    policy = bootstrap(
        manager={"use_remote_address": True, "internal_address_config": {}}, cluster={"outlier_detection": {}}
    )
    headers = [("content-type", "application/grpc"), ("x-envoy-max-retries", number)]
    spec.given(policy, httpx.Response(200, headers=[("grpc-status", number)]))
    assert 200 == spec.post(headers=headers).status_code
    spec.assert_nothing_held()
