"""Path and host rewrites (semantics 1.6)."""

from __future__ import annotations

from typing import Any

import pytest

from ambassador_lib.call import Call
from ambassador_lib.policy.model.core import RegexMatchAndSubstitute, RegexMatcher
from ambassador_lib.policy.model.route import RouteAction, RouteMatch, WeightedCluster
from ambassador_lib.routing.regex import compile_substitution
from ambassador_lib.routing.rewrite import rewrite_host

from .calls import Dice, add, call_to, compiled, route, values


def regex(pattern: str, substitution: str) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(pattern=RegexMatcher(regex=pattern), substitution=substitution)


def rewritten(
    target: str = "/",
    *,
    match: RouteMatch | None = None,
    headers: list[tuple[str, str]] | None = None,
    fields: dict[str, Any] | None = None,
    suppress: bool = False,
    **action: Any,
) -> Call:
    """The call after a route's rewrites."""
    one = compiled(
        route(match=match, route=RouteAction(cluster="a", **action), **(fields or {})), suppress_envoy_headers=suppress
    )
    call = call_to(target, host="app.test", headers=headers or [])
    call.route = one
    one.apply_request(call, one.pick_cluster(call, Dice()))
    return call


@pytest.mark.parametrize(
    ("match", "replacement", "target", "expected"),
    [
        (RouteMatch(prefix="/api/"), "/", "/api/v1/x?q=1&r=%20", "/v1/x?q=1&r=%20"),
        (RouteMatch(prefix="/old"), "/new/base", "/old", "/new/base"),
        (RouteMatch(prefix="/old"), "/new/base", "/oldish?x", "/new/baseish?x"),
        (RouteMatch(prefix="/pre"), "/", "/pre/x", "//x"),
        (RouteMatch(prefix="/LAX", case_sensitive=False), "/z", "/lax/x", "/z/x"),
        (RouteMatch(path="/exact"), "/other", "/exact?z", "/other?z"),
        (RouteMatch(safe_regex=RegexMatcher(regex="/r/.*")), "/whole", "/r/1?a?b", "/whole?a?b"),
        (RouteMatch(path_separated_prefix="/s"), "/t", "/s/u?v", "/t/u?v"),
    ],
)
def test_prefix_rewrite(match: RouteMatch, replacement: str, target: str, expected: str) -> None:
    """The matched prefix is swapped, of a whole match the whole path; the query stays."""
    call = rewritten(target, match=match, prefix_rewrite=replacement)
    assert call.target == expected
    assert values(call.headers, "x-envoy-original-path") == [target]


def test_regex_rewrite() -> None:
    """All matches in the path are replaced, with groups; the query is no part of it."""
    action = regex("^/service/([^/]+)(/.*)$", r"\2/instance/\1")
    call = rewritten("/service/foo/v1/api?x=/service/", regex_rewrite=action)
    assert call.target == "/v1/api/instance/foo?x=/service/"


def test_the_original_path_is_told_even_if_nothing_changed() -> None:
    """A configured rewrite adds `x-envoy-original-path`, in place of one that came with the request."""
    call = rewritten("/x?q", regex_rewrite=regex("nothing", ""), headers=[("x-envoy-original-path", "mine")])
    assert call.target == "/x?q"
    assert values(call.headers, "x-envoy-original-path") == ["/x?q"]


def test_a_path_is_not_rewritten_to_nothing() -> None:
    """Where a substitution leaves nothing, the path stays as if there were no rewrite."""
    call = rewritten("/a?q", regex_rewrite=regex("/.*", ""))
    assert (call.target, call.headers) == ("/a?q", [])


def test_suppressed_envoy_headers() -> None:
    """`Router.suppress_envoy_headers` keeps the original path and host untold."""
    call = rewritten("/x", prefix_rewrite="/y", host_rewrite_literal="new.test", suppress=True)
    assert (call.target, call.authority, call.headers) == ("/yx", "new.test", [])


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "expected"),
    [
        ("a*", "x", "baac", "xbxcx"),
        ("a", "", "banana", "bnn"),
        ("/(a|b)", r"[\0\1]", "/a/b", "[/aa][/bb]"),
        ("(x)?b", r"<\1>", "ab", "a<>"),
        ("^/", "", "//a", "/a"),
        ("b$", r"\\", "/ab", "/a\\"),
        ("nothing", "x", "/ab", "/ab"),
    ],
)
def test_substitution_is_re2_s(pattern: str, substitution: str, text: str, expected: str) -> None:
    """Replacement is global, as RE2 does it: no empty match right behind another."""
    assert compile_substitution(regex(pattern, substitution))(text) == expected


@pytest.mark.parametrize("substitution", [r"\1", r"\x", "a\\"])
def test_a_bad_substitution_is_refused(substitution: str) -> None:
    """A reference to a group that is not there, or to nothing, is a ValueError."""
    with pytest.raises(ValueError, match="substitution"):
        compile_substitution(regex("a", substitution))


@pytest.mark.parametrize(
    ("action", "headers", "host"),
    [
        ({"host_rewrite_literal": "lit.test"}, [], "lit.test"),
        ({"host_rewrite_header": "X-Host"}, [("x-host", "from-header.test")], "from-header.test"),
        ({"host_rewrite_header": "x-host"}, [("x-host", "")], "app.test"),
        ({"host_rewrite_header": "x-host"}, [], "app.test"),
        ({"host_rewrite_path_regex": regex("^/(.+)/.*$", r"\1.test")}, [], "svc.test"),
        ({"host_rewrite_path_regex": regex("^/none$", "")}, [], "/svc/x"),
        ({}, [], "app.test"),
    ],
)
def test_host_rewrites(action: dict[str, Any], headers: list[tuple[str, str]], host: str) -> None:
    """By literal, header, or the path (which becomes the host where the expression does not match)."""
    call = rewritten("/svc/x?q", headers=headers, **action)
    assert call.authority == host
    assert values(call.headers, "x-envoy-original-host") == ([] if host == "app.test" else ["app.test"])


def test_a_host_header_sees_what_mutations_added() -> None:
    """Mutations come before rewrites."""
    call = rewritten(host_rewrite_header="x-host", fields={"request_headers_to_add": (add("x-host", "added.test"),)})
    assert call.authority == "added.test"


def test_values_of_mutations_see_host_and_path_before_their_rewrite() -> None:
    """A value taken from the request is the original."""
    fields = {"request_headers_to_add": (add("x-was", "%REQ(:authority)%%REQ(:path)%"),)}
    call = rewritten("/p?q", fields=fields, host_rewrite_literal="new.test", prefix_rewrite="/new/")
    assert values(call.headers, "x-was") == ["app.test/p?q"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["app.test"]),
        (["first.test"], ["first.test,app.test"]),
        (["first.test,app.test"], ["first.test,app.test"]),
        (["first.test, app.test"], ["first.test, app.test,app.test"]),
    ],
)
def test_x_forwarded_host_grows_by_the_old_host(before: list[str], after: list[str]) -> None:
    """With `append_x_forwarded_host` the old host is appended, unless it is the last one already."""
    call = rewritten(
        headers=[("x-forwarded-host", value) for value in before],
        host_rewrite_literal="new.test",
        append_x_forwarded_host=True,
    )
    assert values(call.headers, "x-forwarded-host") == after


def test_auto_host_rewrite_follows_the_endpoint_from_try_to_try() -> None:
    """Every try starts from the host of the one before: that is the original host, and x-forwarded-host grows."""
    call = rewritten(auto_host_rewrite=True, append_x_forwarded_host=True)
    assert call.route.auto_host_rewrite
    told = []
    for endpoint in ("h1.test", "h1.test", "h2.test"):
        rewrite_host(call, endpoint)
        told.append((call.authority, values(call.headers, "x-envoy-original-host")[-1]))
    assert told == [("h1.test", "app.test"), ("h1.test", "h1.test"), ("h2.test", "h1.test")]
    assert values(call.headers, "x-forwarded-host") == ["app.test,h1.test"]


@pytest.mark.parametrize(
    ("route_literal", "host", "original"), [(None, "w.test", []), ("r.test", "r.test", ["w.test"])]
)
def test_the_weights_host_is_set_silently_and_first(route_literal: str | None, host: str, original: list[str]) -> None:
    """A weighted cluster's `host_rewrite_literal` is told nobody, and gives way to the route's."""
    weight = WeightedCluster.ClusterWeight(name="a", weight=1, host_rewrite_literal="w.test")
    one = compiled(
        route(
            route=RouteAction(
                weighted_clusters=WeightedCluster(clusters=(weight,)),
                host_rewrite_literal=route_literal,
                append_x_forwarded_host=True,
            )
        )
    )
    call = call_to(host="app.test")
    call.route = one
    one.apply_request(call, one.pick_cluster(call, Dice()))
    assert call.authority == host
    assert values(call.headers, "x-envoy-original-host") == original
    assert values(call.headers, "x-forwarded-host") == original
