"""The header mutation filter (semantics 9.8)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ambassador_lib import FaultInjectedError

from .documents import TYPE, header
from .harness import Spec
from .test_filters import FORWARD, fault, filtered

KIND = f"{TYPE}.filters.http.header_mutation.v3.HeaderMutation"


def mutation(*request: Any, response: Any = (), query: Any = (), **fields: Any) -> dict[str, Any]:
    """A filter that makes these changes."""
    return {"@type": KIND, **_changes(request, response, query), **fields}


def on_route(*request: Any, response: Any = (), query: Any = ()) -> dict[str, Any]:
    """What a level adds to the filter `f0`."""
    return {"typed_per_filter_config": {"f0": {"@type": f"{KIND}PerRoute", **_changes(request, response, query)}}}


def _changes(request: Any, response: Any, query: Any) -> dict[str, Any]:
    fields = {"request_mutations": request, "response_mutations": response, "query_parameter_mutations": query}
    return {"mutations": {name: list(value) for name, value in fields.items() if value}}


def add(key: str, value: str, action: str | None = None) -> dict[str, Any]:
    return {"append": header(key, value, action)}


def query(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"append": {"record": {"key": key, "value": value}, "action": action}}


def sent(spec: Spec) -> httpx.Request:
    request: httpx.Request = spec.upstream.seen[-1]
    return request


def test_changes_are_made_one_after_the_other(spec: Spec) -> None:
    """What is removed may be added again, and what was added is there for the next change."""
    filters = mutation({"remove": "X-Gone"}, add("x-gone", "again"), add("x-copy", "%REQ(x-gone)%"))
    spec.given(filtered(filters)).get(headers={"x-gone": "1"})
    assert ["again"] == sent(spec).headers.get_list("x-gone")
    assert "again" == sent(spec).headers["x-copy"]


def test_names_are_matched_in_lower_case(spec: Spec) -> None:
    """`remove_on_match` looks at names as Envoy holds them."""
    low = {"remove_on_match": {"key_matcher": {"prefix": "x-a"}}}
    high = {"remove_on_match": {"key_matcher": {"prefix": "X-B"}}}
    spec.given(filtered(mutation(low, high))).get(headers={"X-A1": "1", "x-a2": "1", "X-B1": "1"})
    assert {"x-b1"} == {name for name in sent(spec).headers if name.startswith(("x-a", "x-b"))}


@pytest.mark.parametrize(
    ("specific_wins", "expected"),
    [(False, ["filter", "route", "vhost", "table"]), (True, ["filter", "table", "vhost", "route"])],
)
def test_all_levels_count(spec: Spec, specific_wins: bool, expected: list[str]) -> None:
    """The filter's own come first, then the most specific level, unless that is to win."""
    policy = filtered(
        mutation(add("x-by", "filter"), most_specific_header_mutations_wins=specific_wins),
        routes=[{**FORWARD, **on_route(add("x-by", "route"))}],
        vhost=on_route(add("x-by", "vhost")),
        manager={},
    )
    manager = policy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"].update(on_route(add("x-by", "table")))
    spec.given(policy).get()
    assert expected == sent(spec).headers.get_list("x-by")


@pytest.mark.parametrize(
    ("change", "target", "expected"),
    [
        (query("q", "1"), "/p", "/p?q=1"),
        (query("q", "1"), "/p?a=b", "/p?a=b&q=1"),
        (query("q", "1"), "/p?z=1&q=0&a=b", "/p?a=b&q=0&q=1&z=1"),
        (query("a", "1", "ADD_IF_ABSENT"), "/p?a=b", "/p?a=b"),
        (query("a", "1", "OVERWRITE_IF_EXISTS"), "/p?a=b&a=c", "/p?a=1"),
        (query("a", "1", "OVERWRITE_IF_EXISTS"), "/p", "/p"),
        (query("a", "1", "OVERWRITE_IF_EXISTS_OR_ADD"), "/p?x", "/p?a=1&x="),
        (query("a", "v w&~*%%"), "/p", "/p?a=v%20w%26%7E*%25"),
        (query("a", "%REQ(x-v)%"), "/p", "/p?a=5"),
        ({"remove": "a"}, "/p?a=b&a=c", "/p"),
        ({"remove": "a"}, "/p?%61=b&c=%41", "/p?c=A"),
    ],
)
def test_query_parameters_are_changed(spec: Spec, change: Any, target: str, expected: str) -> None:
    """They come out decoded and sorted by key, values that are added encoded."""
    spec.given(filtered(mutation(query=[change]))).get(target, headers={"x-v": "5"})
    assert expected == sent(spec).url.raw_path.decode()


def test_the_router_rewrites_what_the_filter_made(spec: Spec) -> None:
    """The filter sees the original path; its changes are part of `x-envoy-original-path`."""
    routes = [{"match": {"prefix": "/p"}, "route": {"cluster": "c", "prefix_rewrite": "/z"}}]
    spec.given(filtered(mutation(query=[query("q", "1")]), routes=routes)).get("/p")
    assert b"/z?q=1" == sent(spec).url.raw_path
    assert "/p?q=1" == sent(spec).headers["x-envoy-original-path"]


def test_responses_pass_the_filters_from_the_last_to_the_first(spec: Spec) -> None:
    """Each sees what those after it made of the headers."""
    filters = [mutation(response=[add("x-by", str(n))]) for n in range(2)]
    assert ["1", "0"] == spec.given(filtered(*filters)).get().headers.get_list("x-by")


def test_a_local_reply_passes_filters_that_have_not_seen_the_request(spec: Spec) -> None:
    """Envoy's way back begins at the end of the chain; the reply is framed by then, and has its code."""
    late = mutation(response=[add("x-late", "%RESP(content-type)% %RESPONSE_CODE%"), {"remove": "content-type"}])
    with pytest.raises(FaultInjectedError) as caught:
        spec.given(filtered(fault(418), late)).get()
    assert "text/plain 418" == caught.value.response.headers["x-late"]
    assert "content-type" not in caught.value.response.headers


def test_a_reply_from_before_the_route_passes_the_filters(spec: Spec) -> None:
    """Too many headers, no route: the filters change these replies, with what the filter itself has."""
    policy = filtered(
        mutation(response=[add("x-by", "f")]), routes=[{"match": {"prefix": "/x"}, "route": {"cluster": "c"}}]
    )
    spec.given(policy, local_replies="response")
    assert "f" == spec.get("/y").headers["x-by"]
    response = spec.get("/x", headers={f"x-{n}": "1" for n in range(101)})
    assert (431, "f") == (response.status_code, response.headers["x-by"])


def test_a_filter_may_ask_the_router_on_behalf_of_anybody(spec: Spec) -> None:
    """`x-envoy-*` headers of callers are stripped before the filters; what these add is honoured."""
    asks = mutation(add("x-envoy-retry-on", "5xx"), add("x-envoy-max-retries", "2"))
    spec.given(filtered(asks), 503, 503, 200)
    assert 200 == spec.get().status_code
    assert 3 == len(spec.upstream.seen)
    assert "x-envoy-retry-on" not in sent(spec).headers
