"""The local rate limit filter (semantics 9.3)."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from ambassador_lib import RateLimitedError

from .documents import TYPE, header
from .harness import Spec, told
from .test_filters import ALWAYS, FORWARD, filtered

ON = {"default_value": ALWAYS}
TELL = {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}


def bucket(tokens: int, fill: int = 1, every: str = "60s") -> dict[str, Any]:
    return {"max_tokens": tokens, "tokens_per_fill": fill, "fill_interval": every}


def limit(tokens: int | None, *, enabled: Any = ON, enforced: Any = ON, **fields: Any) -> dict[str, Any]:
    """A limit that is in force unless told otherwise."""
    given = {"token_bucket": None if tokens is None else bucket(tokens), "filter_enabled": enabled}
    given |= {"filter_enforced": enforced, **fields}
    kept = {name: value for name, value in given.items() if value is not None}
    return {"@type": f"{TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "s", **kept}


def descriptor(tokens: int, *entries: tuple[str, str], fill: int = 1) -> dict[str, Any]:
    pairs = [{"key": key, "value": value} if value else {"key": key} for key, value in entries]
    return {"entries": pairs, "token_bucket": bucket(tokens, fill)}


def counted(*actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"actions": list(actions), **fields}


def key(value: str, **fields: Any) -> dict[str, Any]:
    return counted({"generic_key": {"descriptor_value": value}}, **fields)


def on_route(*limits: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "route": {"cluster": "c", "rate_limits": list(limits), **fields}}


def statuses(spec: Spec, policy: Any, count: int, path: str = "/", **arguments: Any) -> list[int]:
    spec.given(policy, local_replies="response")
    return [spec.get(path, **arguments).status_code for _ in range(count)]


def test_a_full_bucket_lets_so_many_calls_through(spec: Spec) -> None:
    """Then 429, RL, and nothing is sent until a token has come in."""
    spec.given(filtered(limit(2, token_bucket=bucket(2, 2, "1s"))))
    assert [200, 200] == [spec.get().status_code for _ in range(2)]
    with pytest.raises(RateLimitedError) as caught:
        spec.get()
    response = caught.value.response
    assert (429, b"local_rate_limited") == (response.status_code, response.content)
    assert "x-envoy-ratelimited" not in response.headers
    assert (["RL"], "local_rate_limited") == (told(caught.value).flags, told(caught.value).details)
    assert 2 == len(spec.upstream.seen)
    spec.clock.advance(0.5)
    assert 200 == spec.get().status_code


@pytest.mark.parametrize("switch", ["enabled", "enforced"])
def test_nothing_is_limited_unless_it_is_switched_on(spec: Spec, switch: str) -> None:
    """`filter_enabled` and `filter_enforced` are 0 % unless set."""
    assert [200] * 3 == statuses(spec, filtered(limit(1, **{switch: None})), 3)


def test_without_a_bucket_everything_passes(spec: Spec) -> None:
    """An enabled filter without `token_bucket` has nothing to take from."""
    assert [200] * 3 == statuses(spec, filtered(limit(None)), 3)


def test_what_is_not_enforced_is_told_to_the_upstream(spec: Spec) -> None:
    """`request_headers_to_add_when_not_enforced`, only on calls that would have been refused."""
    added = {"request_headers_to_add_when_not_enforced": [header("x-over", "%REQ(:path)%")]}
    spec.given(filtered(limit(1, enforced=None, **added)))
    assert [200, 200] == [spec.get("/p").status_code for _ in range(2)]
    assert [None, "/p"] == [request.headers.get("x-over") for request in spec.upstream.seen]


@pytest.mark.parametrize(("code", "expected"), [("ServiceUnavailable", 503), ("OK", 429), ("Found", 429)])
def test_the_status_may_be_set(spec: Spec, code: str, expected: int) -> None:
    """Below 400 it is 429 after all."""
    assert [200, expected] == statuses(spec, filtered(limit(1, status={"code": code})), 2)


def test_headers_are_added_to_what_is_refused(spec: Spec) -> None:
    """After the route's own, and with nothing of a response to look at."""
    added = {"response_headers_to_add": [header("x-by", "limit%RESP(x-by)%")]}
    policy = filtered(limit(0, **added), routes=[{**FORWARD, "response_headers_to_add": [header("x-by", "route")]}])
    spec.given(policy, local_replies="response")
    assert ["route", "limit"] == spec.get().headers.get_list("x-by")


def test_responses_tell_what_is_left(spec: Spec) -> None:
    """`x-ratelimit-*` on every response: size, tokens, whole seconds to the next one, 0 while there is one."""
    spec.given(filtered(limit(2, **TELL)), local_replies="response")
    assert [("2", "1", "0"), ("2", "0", "60"), ("2", "0", "60")] == [left(spec.get()) for _ in range(3)]
    spec.clock.advance(1.0)
    assert ("2", "0", "59") == left(spec.get())


def left(response: httpx.Response) -> tuple[str, ...]:
    return tuple(response.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset"))


@pytest.mark.parametrize(("exhausted", "code"), [(False, "14"), (True, "8")])
def test_a_grpc_call_gets_a_grpc_status(spec: Spec, exhausted: bool, code: str) -> None:
    """UNAVAILABLE, or RESOURCE_EXHAUSTED where the policy says so."""
    policy = filtered(limit(0, rate_limited_as_resource_exhausted=exhausted))
    response = spec.given(policy, local_replies="response").get(headers={"content-type": "application/grpc"})
    assert (200, code) == (response.status_code, response.headers["grpc-status"])


# Descriptors.


def test_a_descriptor_has_a_bucket_of_its_own(spec: Spec) -> None:
    """What it lets through is counted in the common bucket, too."""
    policy = filtered(limit(9, descriptors=[descriptor(1, ("generic_key", "a"))], **TELL), routes=[on_route(key("a"))])
    assert [200, 429] == statuses(spec, policy, 2)
    assert "1" == spec.get().headers["x-ratelimit-limit"]


def test_the_common_bucket_may_refuse_what_a_descriptor_allows(spec: Spec) -> None:
    """Unless `always_consume_default_token_bucket` is false: then it is for calls without a descriptor."""
    descriptors = [descriptor(3, ("generic_key", "a"))]
    routes = [{"match": {"prefix": "/other"}, "route": {"cluster": "c"}}, on_route(key("a"))]
    assert [200, 429] == statuses(spec, filtered(limit(1, descriptors=descriptors), routes=routes), 2)
    alone = limit(1, descriptors=descriptors, always_consume_default_token_bucket=False)
    assert [200, 200, 200, 429] == statuses(spec, filtered(alone, routes=routes), 4)
    assert [200, 429] == [spec.get("/other").status_code for _ in range(2)]


def test_the_slowest_bucket_is_asked_first_and_told_of(spec: Spec) -> None:
    """By what comes in a second, not by its size."""
    descriptors = [descriptor(5, ("generic_key", "a"), fill=5), descriptor(7, ("generic_key", "b"))]
    policy = filtered(limit(9, descriptors=descriptors, **TELL), routes=[on_route(key("a"), key("b"))])
    assert "7" == spec.given(policy).get().headers["x-ratelimit-limit"]


@pytest.mark.parametrize(
    ("option", "on_action", "limits", "expected"),
    [
        ("OVERRIDE", {}, [key("route")], "5"),
        ("OVERRIDE", {}, [], "4"),
        ("INCLUDE", {}, [key("route")], "4"),
        ("IGNORE", {}, [], "9"),
        ("OVERRIDE", {"include_vh_rate_limits": True}, [key("route")], "4"),
    ],
)
def test_the_virtual_hosts_limits_count_as_told(
    spec: Spec, option: str, on_action: Any, limits: Any, expected: str
) -> None:
    """Instead of none on the route, as well, or never; the limit that is told shows which bucket it was."""
    descriptors = [descriptor(5, ("generic_key", "route"), fill=2), descriptor(4, ("generic_key", "vhost"))]
    policy = filtered(
        limit(9, vh_rate_limits=option, descriptors=descriptors, **TELL),
        routes=[on_route(*limits, **on_action)],
        vhost={"rate_limits": [key("vhost")]},
    )
    assert expected == spec.given(policy).get().headers["x-ratelimit-limit"]


def test_the_filters_own_limits_take_the_place_of_the_routes(spec: Spec) -> None:
    """And there a call may take more than one token."""
    own = [key("own", hits_addend={"number": 2})]
    descriptors = [descriptor(3, ("generic_key", "own")), descriptor(1, ("generic_key", "route"))]
    policy = filtered(limit(9, rate_limits=own, descriptors=descriptors), routes=[on_route(key("route"))])
    assert [200, 429] == statuses(spec, policy, 2)
    assert 1 == len(spec.upstream.seen)


def test_other_stages_and_disabled_limits_do_not_count(spec: Spec) -> None:
    """A filter looks at the limits of its own stage; one with a `disable_key` is passed over."""
    descriptors = [descriptor(0, ("generic_key", value)) for value in "ab"]
    limits = [key("a"), key("b", stage=1, disable_key="k")]
    assert [200] == statuses(spec, filtered(limit(9, stage=1, descriptors=descriptors), routes=[on_route(*limits)]), 1)
    assert [429] == statuses(spec, filtered(limit(9, descriptors=descriptors), routes=[on_route(*limits)]), 1)


ENTRIES = [
    ({"destination_cluster": {}}, ("destination_cluster", "c")),
    ({"source_cluster": {}}, ("source_cluster", "me")),
    ({"request_headers": {"header_name": "X-U", "descriptor_key": "u"}}, ("u", "1")),
    ({"request_headers": {"header_name": ":path", "descriptor_key": "p"}}, ("p", "/p?q=5")),
    ({"query_parameters": {"query_parameter_name": "q", "descriptor_key": "q"}}, ("q", "5")),
    ({"remote_address": {}}, ("remote_address", "127.0.0.1")),
    ({"masked_remote_address": {"v4_prefix_mask_len": 8}}, ("masked_remote_address", "127.0.0.0/8")),
    ({"generic_key": {"descriptor_key": "k", "descriptor_value": "v"}}, ("k", "v")),
    ({"header_value_match": {"descriptor_value": "v", "headers": [{"name": "x-u"}]}}, ("header_match", "v")),
    (
        {"header_value_match": {"descriptor_value": "v", "expect_match": False, "headers": [{"name": "x-none"}]}},
        ("header_match", "v"),
    ),
    (
        {"query_parameter_value_match": {"descriptor_value": "v", "query_parameters": [{"name": "q"}]}},
        ("query_match", "v"),
    ),
]


@pytest.mark.parametrize(("action", "entry"), ENTRIES, ids=lambda value: str(value)[:40])
def test_actions_make_entries(spec: Spec, action: Any, entry: tuple[str, str]) -> None:
    """Each kind of action, with the key that it has unless told otherwise."""
    policy = filtered(limit(9, descriptors=[descriptor(0, entry)]), routes=[on_route(counted(action))])
    policy["node"] = {"id": "i", "cluster": "me"}
    assert [429] == statuses(spec, policy, 1, "/p?q=5", headers={"x-u": "1"})


def test_an_action_without_a_value_drops_its_descriptor(spec: Spec) -> None:
    """Unless it may be skipped; and entries count in their order."""
    user = {"request_headers": {"header_name": "x-u", "descriptor_key": "u"}}
    maybe = {"request_headers": {"header_name": "x-v", "descriptor_key": "v", "skip_if_absent": True}}
    constant = {"generic_key": {"descriptor_value": "a"}}
    descriptors = [descriptor(0, ("u", "1"), ("generic_key", "a"))]
    policy = filtered(limit(9, descriptors=descriptors), routes=[on_route(counted(user, maybe, constant))])
    assert [429] == statuses(spec, policy, 1, headers={"x-u": "1"})
    assert [200] == statuses(spec, policy, 1)
    assert [200] == statuses(spec, policy, 1, headers={"x-u": "1", "x-v": "2"})
    swapped = filtered(limit(9, descriptors=descriptors), routes=[on_route(counted(constant, user))])
    assert [200] == statuses(spec, swapped, 1, headers={"x-u": "1"})


def test_an_entry_without_a_value_stands_for_any(spec: Spec) -> None:
    """Each value gets a bucket, as many as `max_dynamic_descriptors`; an exact descriptor comes first."""
    user = counted({"request_headers": {"header_name": "x-u", "descriptor_key": "u"}})
    descriptors = [descriptor(1, ("u", "")), descriptor(2, ("u", "vip"))]
    policy = filtered(limit(99, descriptors=descriptors, max_dynamic_descriptors=2), routes=[on_route(user)])
    spec.given(policy, local_replies="response")
    asked = ["1", "1", "2", "2", "vip", "vip", "vip", "3", "3", "1"]
    answers = [200, 429, 200, 429, 200, 200, 429, 200, 429, 200]
    assert answers == [spec.get(headers={"x-u": value}).status_code for value in asked]


def test_a_bucket_belongs_to_the_place_that_configures_it(spec: Spec) -> None:
    """The routes of a virtual host share its bucket; a route with one of its own has that alone."""
    own = {"typed_per_filter_config": {"f0": limit(1)}}
    routes = [{**FORWARD, "match": {"prefix": "/own"}, **own}, {**FORWARD, "match": {"prefix": "/a"}}, FORWARD]
    spec.given(filtered(limit(None), routes=routes, vhost=own), local_replies="response")
    asked = ["/a", "/b", "/own", "/own"]
    assert [200, 429, 200, 429] == [spec.get(path).status_code for path in asked]


def test_threads_share_a_bucket(spec: Spec) -> None:
    """Of many calls at once exactly as many pass as there are tokens."""
    if not spec.is_blocking:
        pytest.skip("threads use the blocking client")
    spec.given(filtered(limit(20)), local_replies="response")
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(spec.get().status_code for _ in range(10))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (20, 60) == (answers.count(200), answers.count(429))
