"""Where an internal redirect leads, if anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy.model import InternalRedirectPolicy, RouteAction
from ambassador_lib.routing.redirects import Redirection, compile_redirects

from .calls import call_to, route, table, virtual_host


def accepted(location: bytes | None, **fields: object) -> tuple[str, str] | None:
    """Return host and target of the call after the redirect, `None` where it was not accepted."""
    call = call_to("/x", host="h.test")
    call.redirection = Redirection("http")
    policy = InternalRedirectPolicy(**fields)  # type: ignore[arg-type]
    redirects = compile_redirects(RouteAction(cluster="a", internal_redirect_policy=policy), "r")
    assert redirects is not None
    headers = [] if location is None else [(b"Location", location)]
    before = (call.headers, call.authority, call.target, call.route)
    if redirects.accept(call, headers, table(virtual_host(route())).find):
        return call.authority, call.target
    assert (call.headers, call.authority, call.target, call.route) == before
    return None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"http://b.test/y?q=1", ("b.test", "/y?q=1")),
        (b"HTTP://b.test:8/y", ("b.test:8", "/y")),
        (b"http://b.test", ("b.test", "/")),
        (b"http://b.test?q", ("b.test", "/?q")),
        (b"http://b.test/y#part", ("b.test", "/y")),
        (b"/relative", None),
        (b"//b.test/y", None),
        (b"ftp://b.test/y", None),
        (b"http:///y", None),
        (b"https://b.test/y", None),
        (b"", None),
        (None, None),
    ],
)
def test_absolute_urls_of_the_same_scheme_are_followed(location: bytes | None, target: tuple[str, str] | None) -> None:
    """Anything else leaves the call as it was."""
    assert accepted(location) == target


def test_another_scheme_only_where_the_policy_says_so() -> None:
    """`allow_cross_scheme_redirect`."""
    assert accepted(b"https://b.test/y", allow_cross_scheme_redirect=True) == ("b.test", "/y")


@given(st.binary(max_size=40))
def test_no_location_breaks_it(location: bytes) -> None:
    """Whatever an upstream says, the call goes somewhere definite or stays."""
    found = accepted(location)
    assert found is None or found[1].startswith("/")
