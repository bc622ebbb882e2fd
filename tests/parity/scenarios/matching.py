"""Which virtual host and which route (semantics 1.4, 1.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bootstrap import boot, cluster, direct, route, virtual_host
from ..expect import Between
from ..look import bodies, details, flags, status, tally
from ..model import Call, Scenario, get, times

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def _host(name: str, *domains: str, **fields: Any) -> dict[str, Any]:
    """A virtual host that answers with its name."""
    return virtual_host(direct(200, name), name=name, domains=domains, **fields)


def _to(*hosts: str) -> list[Call]:
    return [get("/", {"host": host}) for host in hosts]


def _routes(**matches: Mapping[str, Any]) -> dict[str, Any]:
    """Routes that answer with their names; without a match the answer is 404."""
    return boot([{"match": dict(match), "direct_response": _text(name)} for name, match in matches.items()])


def _text(text: str) -> dict[str, Any]:
    return {"status": 200, "body": {"inline_string": text}}


HOSTS = [
    Scenario(
        "host_exact_before_wildcards",
        "exact name, then the longest *suffix, then the longest prefix*, then *, in whatever order they are written",
        rule="1.4 order",
        policy=boot(
            hosts=[
                _host("any", "*"),
                _host("prefix", "app.*"),
                _host("longer prefix", "app.foo.*"),
                _host("suffix", "*.com"),
                _host("longer suffix", "*.foo.com"),
                _host("dash", "*-bar.foo.com"),
                _host("exact", "app.foo.com"),
            ]
        ),
        calls=_to("app.foo.com", "x.foo.com", "x-bar.foo.com", "x.com", "app.foo.org", "app.org", "else.org"),
        expect=[bodies("exact", "longer suffix", "dash", "suffix", "longer prefix", "prefix", "any")],
    ),
    Scenario(
        "host_wildcard_is_not_empty",
        "a wildcard stands for at least one character",
        rule="1.4 wildcard part must be non-empty",
        policy=boot(hosts=[_host("suffix", "*.foo.com"), _host("prefix", "bar.*"), _host("any", "*")]),
        calls=_to(".foo.com", "foo.com", "a.b.foo.com", "bar.", "bar.x"),
        expect=[bodies("any", "any", "suffix", "any", "prefix")],
    ),
    Scenario(
        "host_case_does_not_matter",
        "hosts are compared in lower case",
        rule="1.4 compared lower-case",
        policy=boot(hosts=[_host("exact", "Foo.COM"), _host("suffix", "*.Bar.com")]),
        calls=_to("foo.com", "FOO.com", "a.bAR.com"),
        expect=[bodies("exact", "exact", "suffix")],
    ),
    Scenario(
        "host_port_counts",
        "the port is part of the host: a name without it does not match, a prefix wildcard does",
        rule="1.4 with port unless stripped",
        policy=boot(hosts=[_host("exact", "foo.com"), _host("with port", "foo.com:81"), _host("prefix", "foo.*")]),
        calls=_to("foo.com:80", "foo.com:81", "foo.com"),
        expect=[bodies("prefix", "with port", "exact")],
    ),
    Scenario(
        "host_port_ignored_on_demand",
        "ignore_port_in_host_matching drops the port for matching only, and a bare colon as well",
        rule="1.4 ignore_port_in_host_matching",
        policy=boot(hosts=[_host("exact", "foo.com"), _host("any", "*")], table={"ignore_port_in_host_matching": True}),
        calls=_to("foo.com:8080", "foo.org:8080", "foo.com:"),
        expect=[bodies("exact", "any", "exact")],
    ),
    Scenario(
        "host_star_inside_is_literal",
        "f*o is an exact name, *foo* the suffix foo*",
        rule="1.4 f*o is an exact literal",
        policy=boot(hosts=[_host("inside", "f*o"), _host("both", "*foo*"), _host("any", "*")]),
        calls=_to("foo", "f*o", "xfoo*", "xfoo", "xfoox"),
        expect=[bodies("any", "inside", "both", "any", "any")],
    ),
    Scenario(
        "host_of_nobody",
        "no virtual host: 404 without a body, flag NR",
        rule="12.1 no vhost/route",
        policy=boot(hosts=[_host("one", "foo.com")]),
        calls=_to("bar.com"),
        expect=[status(404), bodies(""), flags("NR"), details("route_not_found")],
    ),
    Scenario(
        "host_no_fallback_to_star",
        "the virtual host is chosen once: where none of its routes matches, * is not asked",
        rule="1.4 order, then 404",
        policy=boot(hosts=[virtual_host(direct(200, "x", "/x"), name="one", domains=["foo.com"]), _host("any", "*")]),
        calls=[get("/x", {"host": "foo.com"}), get("/y", {"host": "foo.com"}), get("/y", {"host": "bar.com"})],
        expect=[status(200, 404, 200), bodies("x", "", "any")],
    ),
    Scenario(
        "host_strip_any_port",
        "strip_any_host_port takes the port away before virtual hosts are looked up",
        rule="1.1 strip_any_host_port",
        policy=boot(hosts=[_host("exact", "foo.com"), _host("any", "*")], manager={"strip_any_host_port": True}),
        calls=_to("foo.com:80", "foo.com:8080"),
        expect=[bodies("exact", "exact")],
    ),
    Scenario(
        "host_strip_trailing_dot",
        "strip_trailing_host_dot takes a trailing dot away",
        rule="1.1 strip_trailing_host_dot",
        policy=boot(hosts=[_host("exact", "foo.com"), _host("any", "*")], manager={"strip_trailing_host_dot": True}),
        calls=_to("foo.com.", "foo.com"),
        expect=[bodies("exact", "exact")],
    ),
    Scenario(
        "host_strip_matching_port",
        "strip_matching_host_port takes only the listener's own port away",
        rule="1.1 strip_matching_host_port",
        policy=boot(hosts=[_host("exact", "foo.com"), _host("any", "*")], manager={"strip_matching_host_port": True}),
        calls=_to("foo.com:1"),
        expect=[bodies("any")],
    ),
]

PATHS = [
    Scenario(
        "path_first_match_wins",
        "routes are asked in their order",
        rule="1.5 first match in list order",
        policy=_routes(long={"prefix": "/a/b"}, short={"prefix": "/a"}, never={"path": "/a/b/c"}, all={"prefix": ""}),
        calls=[get(path) for path in ("/a/b/c", "/a/x", "/z")],
        expect=[bodies("long", "short", "all")],
    ),
    Scenario(
        "path_prefix",
        "a prefix knows no segments and does not see the query",
        rule="1.5 prefix",
        policy=_routes(query={"prefix": "/w?x="}, prefix={"prefix": "/p"}),
        calls=[get(path) for path in ("/p", "/pzz", "/p/q", "/p?x=1", "/w?x=1", "/P")],
        expect=[status(200, 200, 200, 200, 404, 404)],
    ),
    Scenario(
        "path_exact",
        "path is equality, the query left aside",
        rule="1.5 path",
        policy=_routes(exact={"path": "/a"}),
        calls=[get(path) for path in ("/a", "/a?x=1", "/a/", "/A", "/ab")],
        expect=[status(200, 200, 404, 404, 404)],
    ),
    Scenario(
        "path_separated_prefix",
        "path_separated_prefix ends at a slash or the end",
        rule="1.5 path_separated_prefix",
        policy=_routes(separated={"path_separated_prefix": "/a/b"}),
        calls=[get(path) for path in ("/a/b", "/a/b/", "/a/b/c", "/a/b?x", "/a/bc", "/a")],
        expect=[status(200, 200, 200, 200, 404, 404)],
    ),
    Scenario(
        "path_safe_regex",
        "a regex has to match the whole path without the query",
        rule="1.5 safe_regex full match",
        policy=_routes(regex={"safe_regex": {"regex": "/v[0-9]+/.*x"}}),
        calls=[get(path) for path in ("/v12/abx", "/v12/abx?q", "/v/abx", "/v1/abxy", "/0/v1/x")],
        expect=[status(200, 200, 404, 404, 404)],
    ),
    Scenario(
        "path_case_sensitive",
        "case_sensitive: false is for prefix, path and path_separated_prefix, not for regexes",
        rule="1.5 case_sensitive",
        policy=_routes(
            prefix={"prefix": "/Pre", "case_sensitive": False},
            path={"path": "/Exact", "case_sensitive": False},
            separated={"path_separated_prefix": "/Sep", "case_sensitive": False},
            regex={"safe_regex": {"regex": "/Reg"}, "case_sensitive": False},
        ),
        calls=[get(path) for path in ("/pREfix", "/eXACT", "/sEP/x", "/Reg", "/reg")],
        expect=[bodies("prefix", "path", "separated", "regex", "")],
    ),
    Scenario(
        "path_is_taken_as_it_is",
        "by default nothing is normalised: //a and /%61 are not /a",
        rule="1.1 normalize_path, merge_slashes off",
        policy=_routes(exact={"path": "/a"}),
        calls=[
            *(get(path) for path in ("//a", "/%61", "/a")),
        ],
        expect=[status(404, 404, 200)],
    ),
    Scenario(
        "path_normalised_on_demand",
        "normalize_path resolves dots and decodes what needs no encoding, and keeps %2f; merge_slashes merges",
        rule="1.1 normalize_path, merge_slashes",
        policy=boot(
            [
                {"match": {"path": "/a"}, "direct_response": _text("a")},
                {"match": {"path": "/x%2fy"}, "direct_response": _text("kept")},
            ],
            manager={"normalize_path": True, "merge_slashes": True},
        ),
        calls=[get(path) for path in ("/%61", "//a", "/b/../a", "/b//../a", "/x%2fy", "/x%2Fy")],
        expect=[status(200, 200, 200, 404, 200, 404)],
    ),
]


def _header(
    about: str, name: str, matcher: Mapping[str, Any], good: Sequence[Headers], bad: Sequence[Headers]
) -> Scenario:
    return Scenario(
        f"header_{name}",
        about,
        rule="1.5 HeaderMatcher",
        policy=_routes(yes={"prefix": "/", "headers": [{"name": "x-v", **matcher}]}, no={"prefix": "/"}),
        calls=[get("/", headers) for headers in (*good, *bad)],
        expect=[bodies(*["yes"] * len(good), *["no"] * len(bad))],
    )


def _v(*values: str) -> list[dict[str, str]]:
    return [{"x-v": value} for value in values]


HEADERS = [
    _header("exact", "exact", {"string_match": {"exact": "ab"}}, _v("ab"), [*_v("abc", "AB", ""), {}]),
    _header("prefix", "prefix", {"string_match": {"prefix": "ab"}}, _v("ab", "abc"), [*_v("xab", "AB"), {}]),
    _header("suffix", "suffix", {"string_match": {"suffix": "ab"}}, _v("ab", "xab"), [*_v("abx"), {}]),
    _header("contains", "contains", {"string_match": {"contains": "ab"}}, _v("ab", "xaby"), [*_v("axb"), {}]),
    _header(
        "a regex has to match the whole value",
        "regex",
        {"string_match": {"safe_regex": {"regex": "a+b"}}},
        _v("ab", "aaab"),
        [*_v("aabc", "xab"), {}],
    ),
    _header(
        "ignore_case", "ignore_case", {"string_match": {"exact": "aB", "ignore_case": True}}, _v("ab", "AB"), _v("abc")
    ),
    _header(
        "range_match: a whole number in [start, end), a sign allowed",
        "range",
        {"range_match": {"start": -5, "end": 10}},
        _v("-5", "0", "+5", "9"),
        [*_v("10", "-6", "5.0", "x", "", "5 x"), {}],
    ),
    _header("present_match: true", "present", {"present_match": True}, _v("", "x"), [{}]),
    _header("present_match: false", "absent", {"present_match": False}, [{}], _v("", "x")),
    _header("a name alone asks for presence; an empty value counts", "name_only", {}, _v("", "x"), [{}]),
    _header(
        "invert_match: a header that is not there matches nothing, inverted or not",
        "inverted",
        {"string_match": {"exact": "a"}, "invert_match": True},
        _v("b", ""),
        [*_v("a"), {}],
    ),
    _header(
        "invert_match of presence: absence",
        "inverted_presence",
        {"present_match": True, "invert_match": True},
        [{}],
        _v("", "a"),
    ),
    _header(
        "treat_missing_header_as_empty: then an absent header is an empty one",
        "missing_as_empty",
        {"string_match": {"exact": "a"}, "invert_match": True, "treat_missing_header_as_empty": True},
        [*_v("b"), {}],
        _v("a"),
    ),
    _header(
        "of several lines each value is looked at, and one is enough; one line 'v, w' is one value",
        "repeated",
        {"string_match": {"exact": "v"}},
        [[("x-v", "v"), ("x-v", "w")], [("x-v", "w"), ("x-v", "v")]],
        [{"x-v": "v,w"}, {"x-v": "v, w"}],
    ),
    _header(
        "invert_match over several lines: no value may match",
        "repeated_inverted",
        {"string_match": {"exact": "v"}, "invert_match": True},
        [[("x-v", "w"), ("x-v", "u")]],
        [[("x-v", "v"), ("x-v", "w")]],
    ),
    Scenario(
        "header_all_must_match",
        "all matchers of a route must match; names in any case",
        rule="1.5 headers[] (AND)",
        policy=_routes(
            yes={
                "prefix": "/",
                "headers": [
                    {"name": "X-One", "string_match": {"exact": "1"}},
                    {"name": "x-two", "string_match": {"exact": "2"}},
                ],
            },
            no={"prefix": "/"},
        ),
        calls=[get("/", {"x-one": "1", "X-TWO": "2"}), get("/", {"x-one": "1"}), get("/", {"x-two": "2"})],
        expect=[bodies("yes", "no", "no")],
    ),
    Scenario(
        "header_pseudo",
        ":method, :authority, :path and :scheme can be matched",
        rule="1.5 pseudo-headers usable",
        policy=_routes(
            method={"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]},
            authority={"prefix": "/", "headers": [{"name": ":authority", "string_match": {"suffix": ".test"}}]},
            path={"prefix": "/", "headers": [{"name": ":path", "string_match": {"exact": "/p?q=1"}}]},
            scheme={"prefix": "/", "headers": [{"name": ":scheme", "string_match": {"exact": "https"}}]},
            none={"prefix": "/"},
        ),
        calls=[Call("/", "POST"), get("/", {"host": "a.test"}), get("/p?q=1"), get("/p?q=2")],
        expect=[bodies("method", "authority", "path", "none")],
    ),
    Scenario(
        "header_host_is_authority",
        "a matcher for `host` sees :authority",
        rule="1.5 pseudo-headers usable",
        policy=_routes(
            host={"prefix": "/", "headers": [{"name": "host", "string_match": {"exact": "a.test"}}]},
            none={"prefix": "/"},
        ),
        calls=[get("/", {"host": "a.test"}), get("/", {"host": "b.test"})],
        expect=[bodies("host", "none")],
    ),
]


def _query(name: str, about: str, matcher: Mapping[str, Any], good: Sequence[str], bad: Sequence[str]) -> Scenario:
    return Scenario(
        f"query_{name}",
        about,
        rule="1.5 query_parameters[]",
        policy=_routes(yes={"prefix": "/", "query_parameters": [{"name": "q", **matcher}]}, no={"prefix": "/"}),
        calls=[get(f"/?{query}") for query in (*good, *bad)],
        expect=[bodies(*["yes"] * len(good), *["no"] * len(bad))],
    )


OTHERS = [
    _query(
        "exact", "the value as it stands", {"string_match": {"exact": "a"}}, ["q=a", "x=1&q=a"], ["q=ab", "Q=a", "q"]
    ),
    _query(
        "first_only",
        "of several parameters of one name the first counts",
        {"string_match": {"exact": "a"}},
        ["q=a&q=b"],
        ["q=b&q=a"],
    ),
    _query(
        "raw",
        "values are compared raw: no %-decoding, + is no space",
        {"string_match": {"exact": "a%20b"}},
        ["q=a%20b"],
        ["q=a+b", "q=a%2520b"],
    ),
    _query("present", "present_match: true", {"present_match": True}, ["q=1", "q=", "q"], ["x=1", "qq=1"]),
    _query("name_only", "a name alone asks for presence", {}, ["q=1", "q="], ["x=1"]),
    Scenario(
        "query_all_must_match",
        "all parameters must match, in any order",
        rule="1.5 query_parameters[] (AND)",
        policy=_routes(
            yes={
                "prefix": "/",
                "query_parameters": [
                    {"name": "a", "string_match": {"exact": "1"}},
                    {"name": "b", "string_match": {"prefix": "x"}},
                ],
            },
            no={"prefix": "/"},
        ),
        calls=[get("/?b=xy&a=1"), get("/?a=1"), get("/?a=1&b=y")],
        expect=[bodies("yes", "no", "no")],
    ),
    Scenario(
        "match_grpc",
        "grpc: {} wants application/grpc or application/grpc+…, not grpc-web",
        rule="1.5 grpc",
        upstreams={"a": 200, "b": 200},
        policy=boot([route("a", match={"prefix": "/", "grpc": {}}), route("b")], [cluster("a"), cluster("b")]),
        calls=[
            Call("/", "POST", {"content-type": f"application/{kind}"})
            for kind in ("grpc", "grpc+proto", "json", "grpc-web", "grpcx")
        ],
        expect=[bodies("a", "a", "b", "b", "b")],
    ),
    Scenario(
        "match_runtime_fraction",
        "runtime_fraction: 0 never, 100 always, 30 of 100 about three in ten",
        rule="1.5 runtime_fraction",
        policy=_routes(
            never={"path": "/never", "runtime_fraction": {"default_value": {"numerator": 0}}},
            always={"path": "/always", "runtime_fraction": {"default_value": {"numerator": 100}}},
            some={"path": "/some", "runtime_fraction": {"default_value": {"numerator": 30}}},
        ),
        calls=[times(20, get("/never")), times(20, get("/always")), times(400, get("/some"))],
        # 400 draws with 0.3: mean 120, deviation 9.2.
        expect=[tally({200: Between(20 + 80, 20 + 160), 404: Between(20 + 240, 20 + 320)})],
    ),
]

SCENARIOS = [*HOSTS, *PATHS, *HEADERS, *OTHERS]
