"""Conditions of routes (semantics 1.5)."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy.model.core import (
    FractionalPercent,
    Int64Range,
    RegexMatcher,
    RuntimeFractionalPercent,
    StringMatcher,
)
from ambassador_lib.policy.model.matcher import HeaderMatcher, QueryParameterMatcher
from ambassador_lib.policy.model.route import RouteMatch
from ambassador_lib.routing.match import compile_match, only_prefix

from .calls import Dice, call_to, name_of, route, table, virtual_host


def matches(match: RouteMatch, target: str = "/", **call: Any) -> bool:
    return compile_match(match, runtime={}, random=Dice())(call_to(target, **call))


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (RouteMatch(prefix="/p"), ["/p", "/pzz", "/p?x"], ["/", "/P", "/q?/p"]),
        (RouteMatch(prefix=""), ["/", "/x", "*"], []),
        (RouteMatch(prefix="/w?x="), [], ["/w?x=1", "/w"]),
        (RouteMatch(prefix="/Lax", case_sensitive=False), ["/lax/x", "/LAX"], ["/la"]),
        (RouteMatch(path="/p"), ["/p", "/p?q=1", "/p?"], ["/p/", "/pp", "/P"]),
        (RouteMatch(path="/p?q"), [], ["/p?q"]),
        (RouteMatch(path="/Exact", case_sensitive=False), ["/exact", "/EXACT?q"], ["/exact/"]),
        (RouteMatch(path_separated_prefix="/s"), ["/s", "/s/t", "/s?x", "/s/"], ["/st", "/", "/S"]),
        (RouteMatch(path_separated_prefix="/s", case_sensitive=False), ["/S/t", "/S?x"], ["/St"]),
        (RouteMatch(safe_regex=RegexMatcher(regex="/r/[0-9]+")), ["/r/12", "/r/12?x=1"], ["/r/12/", "/x/r/1", "/R/1"]),
        (RouteMatch(safe_regex=RegexMatcher(regex=r"/r\?x=1")), [], ["/r?x=1"]),
    ],
)
def test_paths(match: RouteMatch, yes: list[str], no: list[str]) -> None:
    """Every kind of path condition sees the path without its query."""
    assert [target for target in yes + no if matches(match, target)] == yes


@pytest.mark.parametrize(
    ("match", "prefix"),
    [
        (RouteMatch(prefix="/p"), "/p"),
        (RouteMatch(prefix="", case_sensitive=True), ""),
        (RouteMatch(prefix="/p?"), None),
        (RouteMatch(prefix="/p", case_sensitive=False), None),
        (RouteMatch(prefix="/p", headers=(HeaderMatcher(name="x-a"),)), None),
        (RouteMatch(prefix="/p", query_parameters=(QueryParameterMatcher(name="a"),)), None),
        (RouteMatch(prefix="/p", grpc=RouteMatch.GrpcRouteMatchOptions()), None),
        (RouteMatch(prefix="/p", tls_context=RouteMatch.TlsContextMatchOptions(presented=True)), None),
        (RouteMatch(path="/p"), None),
        (RouteMatch(path_separated_prefix="/p"), None),
    ],
)
def test_a_prefix_and_nothing_else_is_told(match: RouteMatch, prefix: str | None) -> None:
    """A prefix stands for the whole condition exactly where nothing else is asked for."""
    assert only_prefix(match) == prefix


@given(st.text("/ab?", max_size=6), st.text("/ab", min_size=1, max_size=4).map(lambda text: "/" + text.strip("/")))
def test_a_separated_prefix_ends_at_a_segment(target: str, prefix: str) -> None:
    """The path is the prefix itself or goes on with a slash."""
    path = target.partition("?")[0]
    expected = path == prefix or path.startswith(prefix + "/")
    assert matches(RouteMatch(path_separated_prefix=prefix), target) is expected


def header(**fields: Any) -> RouteMatch:
    return RouteMatch(prefix="/", headers=(HeaderMatcher(name=fields.pop("name", "X-M"), **fields),))


def string(**fields: Any) -> StringMatcher:
    return StringMatcher(**fields)


MISSING: list[str] = []


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({"string_match": string(exact="one")}, [["one"]], [["ONE"], ["ones"], MISSING]),
        ({"string_match": string(exact="one", ignore_case=True)}, [["ONE"]], [["two"]]),
        ({"string_match": string(exact=""), "treat_missing_header_as_empty": True}, [[""], MISSING], [["a"]]),
        ({"string_match": string(prefix="pre")}, [["prelude"]], [["a pre"]]),
        ({"string_match": string(suffix="FIX", ignore_case=True)}, [["my-fix"]], [["fixed"]]),
        ({"string_match": string(contains="mid")}, [["a-mid-b"]], [["a-mi-d"]]),
        ({"string_match": string(safe_regex=RegexMatcher(regex="[a-c]{3}"))}, [["abc"]], [["abcd"], ["ab"]]),
        ({"range_match": Int64Range(start=10, end=20)}, [["10"], ["19"], ["+10"], [" 0012 "]], [["20"], ["9"]]),
        ({"range_match": Int64Range(start=-5, end=6)}, [["-5"], ["x", "5"]], [["5.0"], [""], ["9" * 5000], ["x"]]),
        ({"exact_match": "a"}, [["a"], ["b", "a"]], [["a,b"]]),
        ({"exact_match": ""}, [[""], ["a"]], [MISSING]),
        ({"prefix_match": "a"}, [["ab"]], [["ba"]]),
        ({"suffix_match": "a"}, [["ba"]], [["ab"]]),
        ({"contains_match": "a"}, [["bab"]], [["b"]]),
        ({"safe_regex_match": RegexMatcher(regex="a|b")}, [["a"]], [["ab"]]),
        ({"present_match": True}, [[""], ["a"]], [MISSING]),
        ({"present_match": False}, [MISSING], [[""], ["a"]]),
        ({"present_match": True, "invert_match": True}, [MISSING], [["a"]]),
        ({"present_match": False, "invert_match": True}, [["a"]], [MISSING]),
        ({"present_match": False, "treat_missing_header_as_empty": True}, [], [MISSING, ["a"]]),
        ({}, [[""], ["a"]], [MISSING]),
        ({"invert_match": True}, [MISSING], [["a"]]),
        ({"treat_missing_header_as_empty": True}, [MISSING, ["a"]], []),
        ({"string_match": string(exact="a"), "invert_match": True}, [["b"], ["a,b"]], [["a"], ["b", "a"], MISSING]),
        (
            {"string_match": string(exact="a"), "invert_match": True, "treat_missing_header_as_empty": True},
            [MISSING, ["b"]],
            [["a"]],
        ),
    ],
)
def test_headers(condition: dict[str, Any], yes: list[list[str]], no: list[list[str]]) -> None:
    """A missing header fulfils no condition on a value; of several lines each counts by itself."""
    found = [lines for lines in yes + no if matches(header(**condition), headers=[("x-m", line) for line in lines])]
    assert found == yes


def test_a_header_that_envoy_keeps_on_one_line_is_matched_joined() -> None:
    """Two lines of `accept` are one value, `a,b`."""
    lines = [("accept", "a"), ("accept", ""), ("accept", "b")]
    assert matches(header(name="accept", string_match=string(exact="a,b")), headers=lines)
    assert not matches(header(name="accept", string_match=string(exact="a")), headers=lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":method", "POST"),
        (":authority", "Api.test"),
        ("host", "Api.test"),
        (":path", "/p?q=1"),
        (":scheme", "http"),
    ],
)
def test_the_request_line_can_be_matched_like_headers(name: str, value: str) -> None:
    """Method, authority, path with query, and scheme have names of their own."""
    condition = header(name=name, string_match=string(exact=value))
    assert matches(condition, "/p?q=1", method="POST", host="Api.test")
    assert not matches(condition, "/", scheme="https")


@pytest.mark.parametrize(("proto", "scheme"), [("https", "https"), ("HTTPS", "https"), ("ftp", "http"), ("", "http")])
def test_the_scheme_follows_x_forwarded_proto(proto: str, scheme: str) -> None:
    """`:scheme` is what the caller is believed to have used, if that is a scheme."""
    condition = header(name=":scheme", string_match=string(exact=scheme))
    assert matches(condition, headers=[("x-forwarded-proto", proto)])


def test_all_header_conditions_must_hold() -> None:
    """Several conditions are joined by and."""
    match = RouteMatch(prefix="/", headers=(HeaderMatcher(name="x-a", exact_match="1"), HeaderMatcher(name="x-b")))
    assert matches(match, headers=[("x-a", "1"), ("x-b", "2")])
    assert not matches(match, headers=[("x-a", "1")])
    assert not matches(match, headers=[("x-a", "2"), ("x-b", "2")])


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({"string_match": string(exact="2")}, ["/?k=2&k=1"], ["/?k=1&k=2", "/?K=2", "/", "/?k"]),
        ({"string_match": string(exact="a%20b")}, ["/?k=a%20b"], ["/?k=a+b"]),
        ({"string_match": string(exact="a b")}, [], ["/?k=a%20b", "/?k=a+b"]),
        ({"string_match": string(prefix="AB", ignore_case=True)}, ["/?k=abc"], ["/?k=b"]),
        ({"string_match": string(safe_regex=RegexMatcher(regex="[0-9]+"))}, ["/?k=42"], ["/?k=4x"]),
        ({"present_match": True}, ["/?k", "/?k=", "/?a&k=0"], ["/", "/?kk", "/k=1"]),
        ({"present_match": False}, ["/", "/?kk"], ["/?k"]),
        ({}, ["/?k"], ["/"]),
    ],
)
def test_query_parameters(condition: dict[str, Any], yes: list[str], no: list[str]) -> None:
    """The first occurrence counts, as it was written."""
    match = RouteMatch(prefix="/", query_parameters=(QueryParameterMatcher(name="k", **condition),))
    assert [target for target in yes + no if matches(match, target)] == yes


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc-web", False),
        ("text/plain", False),
        (None, False),
    ],
)
def test_grpc(content_type: str | None, expected: bool) -> None:
    """gRPC is told by its content type."""
    headers = [] if content_type is None else [("content-type", content_type)]
    match = RouteMatch(prefix="/", grpc=RouteMatch.GrpcRouteMatchOptions())
    assert matches(match, headers=headers) is expected


def fraction(numerator: int, denominator: str = "HUNDRED", key: str = "") -> RouteMatch:
    share = FractionalPercent(numerator=numerator, denominator=denominator)
    return RouteMatch(prefix="/", runtime_fraction=RuntimeFractionalPercent(default_value=share, runtime_key=key))


@pytest.mark.parametrize(
    ("numerator", "denominator", "draw", "expected"),
    [
        (30, "HUNDRED", 129, True),
        (30, "HUNDRED", 130, False),
        (3000, "TEN_THOUSAND", 2999, True),
        (3000, "TEN_THOUSAND", 3000, False),
        (1, "MILLION", 1_000_000, True),
        (1, "MILLION", 1, False),
        (0, "HUNDRED", 0, False),
        (100, "HUNDRED", 99, True),
        (200, "HUNDRED", 99, True),
    ],
)
def test_a_share_of_traffic(numerator: int, denominator: str, draw: int, expected: bool) -> None:
    """A draw modulo the denominator below the numerator is in."""
    condition = compile_match(fraction(numerator, denominator), runtime={}, random=Dice(draw))
    assert condition(call_to()) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, False),
        (100, True),
        ("100", True),
        (50, False),
        (FractionalPercent(numerator=51), True),
        (FractionalPercent(numerator=50, denominator="MILLION"), False),
        (None, True),
        (True, True),
        (-1, True),
        ("many", True),
        (0.5, False),
        (float("nan"), True),
    ],
)
def test_a_runtime_key_overrides_the_share(value: Any, expected: bool) -> None:
    """An integer is per cent, a mapping any fraction; what is neither leaves the default (here: always)."""
    runtime = {} if value is None else {"frac.key": value}
    condition = compile_match(fraction(100, key="frac.key"), runtime=runtime, random=Dice(50))
    assert condition(call_to()) is expected


def test_a_call_draws_once() -> None:
    """All shares of one call are compared with the same number; certain ones need none."""
    dice = Dice(40)
    routes = table(
        virtual_host(
            route("never", match=fraction(0)), route("30", match=fraction(30)), route("50", match=fraction(50))
        ),
        random=dice,
    )
    call = call_to()
    assert name_of(routes, call) == "50"
    assert name_of(routes, call) == "50"
    assert dice.throws == 1


def test_the_first_route_that_matches_is_taken() -> None:
    """Order decides, not how specific a route is."""
    routes = table(
        virtual_host(
            route("first", match=RouteMatch(prefix="/a")),
            route("second", match=RouteMatch(path="/a/exact")),
            route("third", match=RouteMatch(prefix="/")),
        )
    )
    assert [name_of(routes, call_to(target)) for target in ("/a/exact", "/b", "/")] == ["first", "third", "third"]


PATHS = st.text("/aA", max_size=4).map(lambda text: "/" + text)
KINDS = st.sampled_from(["prefix", "path", "path_separated_prefix"])


@given(st.lists(st.tuples(KINDS, PATHS, st.booleans()), min_size=20, max_size=30), st.lists(PATHS, max_size=20))
def test_a_long_table_keeps_its_order(kinds: list[tuple[str, str, bool]], targets: list[str]) -> None:
    """Looking prefixes up finds the route that trying one after the other would find."""
    fields: list[dict[str, Any]] = [{kind: path, "case_sensitive": sensitive} for kind, path, sensitive in kinds]
    models = [RouteMatch(**field) for field in fields]
    routes = table(virtual_host(*(route(str(number), match=model) for number, model in enumerate(models))))
    for target in targets:
        expected = next((str(number) for number, model in enumerate(models) if matches(model, target)), None)
        assert name_of(routes, call_to(target)) == expected


@pytest.mark.parametrize("regex", ["(", "a(?=b)", "[z-a]"])
def test_what_re2_does_not_know_is_refused(regex: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A bad expression is a ValueError, and RE2 itself keeps quiet."""
    with pytest.raises(ValueError, match="RE2"):
        matches(RouteMatch(safe_regex=RegexMatcher(regex=regex)))
    assert capfd.readouterr().err == ""


def test_without_google_re2_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing, a policy with an expression is refused."""
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ValueError, match="google-re2"):
        matches(RouteMatch(safe_regex=RegexMatcher(regex="a")))
