"""Which virtual host a Host belongs to (semantics 1.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.routing.domains import Domains

from .calls import add, call_to, name_of, route, table, virtual_host

SEARCHED = ["*", "www.*", "*.example.com", "*.eu.example.com", "www.example.com", "www.shop.*", "*-x.foo.com", "f*o"]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.com", "www.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("x.eu.example.com", "*.eu.example.com"),
        ("www.other.org", "www.*"),
        ("www.shop.org", "www.shop.*"),
        ("example.com", "*"),
        (".example.com", "*"),
        ("www.", "*"),
        ("y-x.foo.com", "*-x.foo.com"),
        ("-x.foo.com", "*"),
        ("f*o", "f*o"),
        ("foo", "*"),
        ("", "*"),
    ],
)
def test_exact_beats_suffix_beats_prefix_beats_any(host: str, domain: str) -> None:
    """The most specific kind wins, within a kind the longest; a wildcard stands for one character at least."""
    assert Domains((name, name) for name in SEARCHED).find(host) == domain


def naive(domains: list[str], host: str) -> str | None:
    """The same search, written as the documentation tells it."""
    if host in domains:
        return host
    suffixes = [d for d in domains if d[0] == "*" and d != "*" and host.endswith(d[1:]) and len(host) >= len(d)]
    if suffixes:
        return max(suffixes, key=len)
    prefixes = [d for d in domains if d[-1] == "*" and d[0] != "*" and host.startswith(d[:-1]) and len(host) >= len(d)]
    if prefixes:
        return max(prefixes, key=len)
    return "*" if "*" in domains else None


@given(
    st.lists(st.from_regex(r"\*?[ab.]{1,3}\*?|\*", fullmatch=True), unique=True, max_size=8).filter(
        lambda found: not any(d[0] == d[-1] == "*" and d != "*" for d in found)
    ),
    st.text("ab.", max_size=5),
)
def test_the_search_agrees_with_its_description(domains: list[str], host: str) -> None:
    """Looking up by length finds what going through all domains finds."""
    assert Domains((name, name) for name in domains).find(host) == naive(domains, host)


@pytest.mark.parametrize(
    ("host", "found"),
    [("svc.test", "plain"), ("SVC.Test", "plain"), ("svc.test:8080", "port"), ("svc.test:9090", "any")],
)
def test_a_port_counts_and_case_does_not(host: str, found: str) -> None:
    """The whole Host is compared, port included, in lower case; so are the domains."""
    routes = table(
        virtual_host(route("plain"), domains=["Svc.test"]),
        virtual_host(route("port"), domains=["svc.test:8080"]),
        virtual_host(route("any")),
    )
    assert name_of(routes, call_to(host=host)) == found


def test_no_domain_no_virtual_host() -> None:
    """Without a domain that matches there is neither virtual host nor route."""
    assert table(virtual_host(route(), domains=["only.test"])).find(call_to(host="other.test")) == (None, None)


def test_a_virtual_host_without_a_matching_route_is_told() -> None:
    """The virtual host is known even where none of its routes matches."""
    host, found = table(virtual_host(name="empty")).find(call_to())
    assert host is not None
    assert (host.name, found) == ("empty", None)


@pytest.mark.parametrize("host", ["svc.test:81", "svc.test", "[::1]:80", "[::1]"])
def test_ignore_port_in_host_matching(host: str) -> None:
    """With the option set, the port is cut off for the comparison only."""
    routes = table(virtual_host(route("x"), domains=["svc.test", "[::1]"]), ignore_port_in_host_matching=True)
    call = call_to(host=host)
    assert name_of(routes, call) == "x"
    assert call.authority == host


@pytest.mark.parametrize(
    ("name", "claimed"),
    [
        ("svc.test", True),
        ("svc.test:80", False),
        ("with-port.test:8080", True),
        ("with-port.test:80", False),
        ("a.suffix.test", True),
        ("elsewhere.test", False),
    ],
)
def test_a_bare_wildcard_claims_nothing(name: str, claimed: bool) -> None:
    """A name is claimed by a named domain, never by `*`."""
    routes = table(
        virtual_host(route(), domains=["*", "svc.test", "with-port.test:8080"]),
        virtual_host(route(), domains=["*.suffix.test"]),
    )
    assert routes.claims(name) is claimed


def test_a_table_may_be_asked_without_ports() -> None:
    """A virtual host that was found by its host alone is found again whatever port the authority carries."""
    routes = table(virtual_host(route(), domains=["svc.test"]))
    call = call_to(host="svc.test:8080")
    assert routes.find(call) == (None, None)
    assert routes.ignoring_port().find(call)[1] is routes.routes[0]


@pytest.mark.parametrize(
    ("require_tls", "headers", "internal", "redirected"),
    [
        ("NONE", [], False, False),
        ("ALL", [], False, True),
        ("ALL", [], True, True),
        ("ALL", [("x-forwarded-proto", "https")], False, False),
        ("EXTERNAL_ONLY", [], False, True),
        ("EXTERNAL_ONLY", [], True, False),
    ],
)
def test_require_tls(require_tls: str, headers: list[tuple[str, str]], internal: bool, redirected: bool) -> None:
    """Plain HTTP is answered by a 301 to the same URL with https, port and all, without the levels' mutations."""
    routes = table(
        virtual_host(route("in"), require_tls=require_tls, response_headers_to_add=(add("x-v", "1"),)),
        response_headers_to_add=(add("x-rc", "1"),),
    )
    call = call_to("/a?b", host="TLS:80", headers=headers)
    call.internal = internal
    found = routes.find(call)[1]
    assert found is not None
    assert found in routes.routes
    answer = found.local_response(call)
    expected = (301, [(b"location", b"https://TLS:80/a?b"), (b"content-length", b"0")], b"") if redirected else None
    assert answer == expected
