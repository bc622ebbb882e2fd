"""Many routes are searched by look-ups, and the one found is the first that matches all the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ambassador_lib.policy.model.core import RegexMatcher
from ambassador_lib.policy.model.matcher import HeaderMatcher
from ambassador_lib.policy.model.route import RouteMatch
from ambassador_lib.routing import path_index
from ambassador_lib.routing.path_index import PathIndex

from .calls import call_to, name_of, route, table, virtual_host

paths = st.builds("".join, st.lists(st.sampled_from(["/", "a", "b", "A", "?", "/a/", "/a/b"]), max_size=4))
texts = st.builds(str.__add__, st.just("/"), paths) | paths


@st.composite
def matches(draw: st.DrawFn) -> RouteMatch:
    """Draw a rule for the path, sometimes with a header beside it."""
    kind = draw(st.sampled_from(["prefix", "path", "path_separated_prefix", "safe_regex"]))
    text = draw(texts)
    rule: Any = RegexMatcher(regex="/a.*") if kind == "safe_regex" else text
    fields: dict[str, Any] = {kind: rule, "case_sensitive": draw(st.sampled_from([None, None, None, False]))}
    if draw(st.booleans()) and draw(st.booleans()):
        fields["headers"] = (HeaderMatcher(name="x-a", present_match=True),)
    return RouteMatch(**fields)


def padded(rules: list[RouteMatch]) -> list[RouteMatch]:
    """Return the rules behind as many others, which never match, as make a table look paths up."""
    return [RouteMatch(path=f"/never/{number}") for number in range(8)] + rules


@given(st.lists(matches(), max_size=7), texts, st.booleans(), st.booleans())
@example([RouteMatch(prefix="/a/"), RouteMatch(prefix="/a")], "/a/b", False, True)
@example([RouteMatch(prefix="/a"), RouteMatch(path="/a/b"), RouteMatch(prefix="/")], "/a/b?c", False, True)
@example([RouteMatch(path_separated_prefix="/a/b"), RouteMatch(prefix="")], "/a/b", False, True)
@example([RouteMatch(prefix="/"), RouteMatch(prefix="/a/b/")], "/a/b/", False, True)
def test_the_first_that_matches_is_found(rules: list[RouteMatch], target: str, marked: bool, many: bool) -> None:
    """What is found is what trying one route after the other finds, in every order of the routes, few or many."""
    routes = [route(str(number), match=rule) for number, rule in enumerate(padded(rules) if many else rules)]
    routing = table(virtual_host(*routes))
    call = call_to(target, headers=[("x-a", "1")] if marked else [])
    first = next((compiled.name for compiled in routing.routes if compiled.matches(call)), None)
    assert first == name_of(routing, call)


KINDS: dict[str, Any] = {
    "prefix": (lambda number: RouteMatch(prefix=f"/service{number}/"), "/service{}/x?y"),
    "path": (lambda number: RouteMatch(path=f"/service{number}"), "/service{}?x"),
    "segment": (lambda number: RouteMatch(path_separated_prefix=f"/service{number}"), "/service{}/x"),
    "deep": (lambda number: RouteMatch(prefix=f"/v{'1' * (number % 50)}/a/{number}/"), "/v{1}/a/{0}/x/y/z"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_more_routes_are_no_more_to_try(kind: str) -> None:
    """Of a thousand routes with paths of their own one is asked for its whole condition, however long they are."""
    rule, target = KINDS[kind]
    host = virtual_host(*(route(str(number), match=rule(number)) for number in range(1000)))
    routing = table(host)
    index = PathIndex(host.routes, routing.virtual_hosts[0].route)
    for number in (0, 499, 999):
        sent = target.format(number, "1" * (number % 50))
        assert [str(number)] == [found.name for found in index.candidates(sent)]
        assert str(number) == name_of(routing, call_to(sent))


def test_routes_that_nobody_calls_are_not_made() -> None:
    """A look-up makes the routes of its path alone, once; they come in the order of the file."""
    made: list[int] = []
    host = virtual_host(
        *(route(str(number), match=RouteMatch(prefix=f"/service{number % 100}/")) for number in range(1000))
    )
    compiled = table(host).virtual_hosts[0]

    def make(place: int) -> Any:
        made.append(place)
        return compiled.route(place)

    index = PathIndex(host.routes, make)
    for _ in range(2):
        assert [found.place for found in index.candidates("/service7/x")] == list(range(7, 1000, 100))
    assert made == list(range(7, 1000, 100))
    assert compiled.route(7) is compiled.route(7)


def test_no_more_is_kept_in_order_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What paths have found together is forgotten before it fills the memory, and found again."""
    monkeypatch.setattr(path_index, "MAX_MERGED", 3)
    rules = [*(RouteMatch(prefix=f"/service{number}/") for number in range(20)), RouteMatch(prefix="")]
    routing = table(virtual_host(*(route(str(place), match=rule) for place, rule in enumerate(rules))))
    index = routing._hosts[0].index
    assert index is not None
    for number in [*range(20), *range(20)]:
        assert name_of(routing, call_to(f"/service{number}/x")) == str(number)
        assert len(index._merged) <= 3
