"""Header mutations (semantics 1.6), all verified against Envoy 1.40."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.call import Attempt
from ambassador_lib.policy.model.core import HeaderValueOption
from ambassador_lib.policy.model.route import RouteAction

from .calls import add, call_to, compiled, route, table, values, virtual_host

APPEND, ABSENT = "APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT"
OVERWRITE, REPLACE = "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"


def sent(
    options: list[HeaderValueOption], *headers: tuple[str, str], remove: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    """The request's headers after one level."""
    one = compiled(route(request_headers_to_add=tuple(options), request_headers_to_remove=remove))
    call = call_to(headers=headers)
    call.route = one
    one.apply_request(call, None)
    return [(name.decode(), value.decode()) for name, value in call.headers]


@pytest.mark.parametrize(
    ("action", "present", "missing"),
    [
        (APPEND, ["old", "new"], ["new"]),
        (ABSENT, ["old"], ["new"]),
        (OVERWRITE, ["new"], ["new"]),
        (REPLACE, ["new"], []),
    ],
)
def test_append_actions(action: str, present: list[str], missing: list[str]) -> None:
    """Each action on a header that is there, and on one that is not; names are lower case on the way out."""
    option = add("X-H", "new", action)
    assert [value for _, value in sent([option], ("x-h", "old"))] == present
    assert sent([option]) == [("x-h", value) for value in missing]


@pytest.mark.parametrize(("append", "expected"), [(True, ["old", "new"]), (False, ["new"]), (None, ["old"])])
def test_deprecated_append(append: bool | None, expected: list[str]) -> None:
    """`append`, where it is set, decides instead of `append_action`."""
    assert [value for _, value in sent([add("x-h", "new", ABSENT, append=append)], ("x-h", "old"))] == expected


def test_overwriting_leaves_one_line() -> None:
    """All lines of the header give way to the new one."""
    assert sent([add("x-h", "new", OVERWRITE)], ("x-h", "1"), ("x-o", "o"), ("x-h", "2")) == [
        ("x-o", "o"),
        ("x-h", "new"),
    ]


def test_a_level_removes_before_it_adds() -> None:
    """What is removed is gone for the additions' values and conditions, too."""
    options = [add("x-a", "new", ABSENT), add("x-b", "%REQ(x-a)%", keep_empty_value=True)]
    assert sent(options, ("x-a", "old"), remove=("X-A",)) == [("x-a", "new"), ("x-b", "")]


def test_a_level_takes_all_values_before_it_changes_anything() -> None:
    """Overwriting comes before adding, and neither shows in the values or conditions of the same level."""
    options = [
        add("x-a", "1"),
        add("x-a", "2", OVERWRITE),
        add("x-b", "%REQ(x-a)%"),
        add("x-c", "1", ABSENT),
        add("x-c", "2", ABSENT),
    ]
    assert sent(options, ("x-a", "0")) == [("x-a", "2"), ("x-a", "1"), ("x-b", "0"), ("x-c", "1"), ("x-c", "2")]


@pytest.mark.parametrize("action", [APPEND, ABSENT, OVERWRITE])
def test_an_empty_value_adds_nothing_unless_kept(action: str) -> None:
    """An operator that renders to nothing takes the header with it."""
    assert sent([add("x-e", "%REQ(x-none)%", action)]) == []
    assert sent([add("x-e", "%REQ(x-none)%", action, keep_empty_value=True)]) == [("x-e", "")]


@pytest.mark.parametrize(
    ("lines", "value", "expected"),
    [(["a"], "b", ["a,b"]), (["a", "b"], "c", ["a", "b,c"]), ([], "b", ["b"]), ([""], "b", ["b"]), (["a"], "", ["a"])],
)
def test_well_known_headers_grow_by_a_comma(lines: list[str], value: str, expected: list[str]) -> None:
    """Envoy holds one line of `accept` and its like: a value appended is joined to it."""
    option = add("Accept", value, keep_empty_value=True)
    assert [value for _, value in sent([option], *(("accept", line) for line in lines))] == expected


def test_cookies_keep_their_lines() -> None:
    """`cookie` and `set-cookie` are never joined."""
    assert sent([add("cookie", "b=2")], ("cookie", "a=1")) == [("cookie", "a=1"), ("cookie", "b=2")]


def level(name: str) -> dict[str, Any]:
    return {
        "request_headers_to_add": (add("x-l", name),),
        "request_headers_to_remove": (f"x-gone-{name}",),
        "response_headers_to_add": (add("x-r", name),),
        "response_headers_to_remove": (f"x-gone-{name}",),
    }


@pytest.mark.parametrize(("wins", "order"), [(False, ["route", "vhost", "rc"]), (True, ["rc", "vhost", "route"])])
def test_levels(wins: bool, order: list[str]) -> None:
    """Route, virtual host, route configuration; or the other way round, so that the most specific has the last word."""
    routes = table(
        virtual_host(route(**level("route")), **level("vhost")), most_specific_header_mutations_wins=wins, **level("rc")
    )
    one = routes.routes[0]
    call = call_to(headers=[(f"x-gone-{name}", "1") for name in order] + [("x-l", "client")])
    call.route = one
    one.apply_request(call, None)
    response = [(b"X-Gone-Rc", b"1"), (b"X-Stays", b"1")]
    one.apply_response(call, None, 200, response)
    assert call.headers == [(b"x-l", value.encode()) for value in ["client", *order]]
    assert response == [(b"X-Stays", b"1"), *((b"x-r", name.encode()) for name in order)]


def test_a_response_keeps_the_spelling_of_names_that_are_not_touched() -> None:
    """Names are compared without case and only those added are written anew."""
    one = compiled(
        route(response_headers_to_add=(add("x-over", "new", REPLACE), add("vary", "b"), add("x-abs", "no", ABSENT)))
    )
    response = [(b"X-Over", b"old"), (b"Vary", b"a"), (b"X-Abs", b"yes")]
    one.apply_response(call_to(), None, 200, response)
    assert response == [(b"Vary", b"a,b"), (b"X-Abs", b"yes"), (b"x-over", b"new")]


def test_a_route_with_nothing_to_change_says_so() -> None:
    """The flags let the hot path pass by; with them false the two methods change nothing."""
    one = compiled(route())
    call = call_to(headers=[("x-a", "1")])
    one.apply_request(call, None)
    response = [(b"x", b"1")]
    one.apply_response(call, None, 200, response)
    assert (one.changes_request, one.changes_response) == (False, False)
    assert (call.headers, response) == ([(b"x-a", b"1")], [(b"x", b"1")])


@pytest.mark.parametrize(
    "fields",
    [
        {"request_headers_to_add": (add("x", "1"),)},
        {"request_headers_to_remove": ("x",)},
        {"route": RouteAction(cluster="a", prefix_rewrite="/x")},
        {"route": RouteAction(cluster="a", host_rewrite_literal="x")},
    ],
)
def test_a_route_that_changes_the_request_says_so(fields: dict[str, Any]) -> None:
    """Mutations and rewrites alike are work for `apply_request`, none for `apply_response`."""
    one = compiled(route(**fields))
    assert (one.changes_request, one.changes_response) == (True, False)


def test_values_of_responses() -> None:
    """A response's values see its status, its headers and the request as it was sent."""
    one = compiled(
        route(
            response_headers_to_add=(
                add("x-code", "%RESPONSE_CODE%"),
                add("x-path", "%REQ(:path)%"),
                add("x-up", "%RESP(x-up?x-other)%"),
            ),
            route=RouteAction(cluster="a", prefix_rewrite="/new"),
        )
    )
    call = call_to("/?q")
    call.route = one
    one.apply_request(call, None)
    call.attempt = Attempt(1)
    call.attempt.status = 418
    response = [(b"X-Other", b"o")]
    one.apply_response(call, None, 418, response)
    assert [values(response, name) for name in ("x-code", "x-path", "x-up")] == [["418"], ["/new?q"], ["o"]]
