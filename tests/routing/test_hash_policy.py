"""What of a request is hashed, and the cookie that it is given."""

from __future__ import annotations

import pytest

from ambassador_lib.algorithms.hashing import xxhash64
from ambassador_lib.call import Call
from ambassador_lib.policy.model.core import RegexMatchAndSubstitute, RegexMatcher
from ambassador_lib.policy.model.hashing import HashPolicy
from ambassador_lib.routing.hash_policy import compile_hash_policy, set_cookie

from .calls import call_to


def header(name: str, **fields: object) -> HashPolicy:
    return HashPolicy(header=HashPolicy.Header(header_name=name, **fields))  # type: ignore[arg-type]


def cookie(**fields: object) -> HashPolicy:
    return HashPolicy(cookie=HashPolicy.Cookie(name="s", **fields))  # type: ignore[arg-type]


def hashed(policy: HashPolicy, call: Call) -> int | None:
    hash_of = compile_hash_policy([policy], lambda: "made")
    assert hash_of is not None
    return hash_of(call)


def test_no_policies_are_no_function() -> None:
    """What hashes nothing costs nothing."""
    assert compile_hash_policy([], lambda: "") is None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (header("x-key"), b"v"),
        (header("X-Key"), b"v"),
        (header("x-none"), None),
        (header(":path"), b"/p?k=a%20b&k=c"),
        (header(":authority"), b"host"),
        (
            header("x-key", regex_rewrite=RegexMatchAndSubstitute(pattern=RegexMatcher(regex="v"), substitution="w")),
            b"w",
        ),
        (HashPolicy(query_parameter=HashPolicy.QueryParameter(name="k")), b"a%20b"),
        (HashPolicy(query_parameter=HashPolicy.QueryParameter(name="none")), None),
        (HashPolicy(connection_properties=HashPolicy.ConnectionProperties(source_ip=True)), b"127.0.0.1"),
        (HashPolicy(connection_properties=HashPolicy.ConnectionProperties()), None),
        (cookie(), b"brought"),
        (cookie(ttl=5.0), b"brought"),
    ],
)
def test_what_is_hashed(policy: HashPolicy, expected: bytes | None) -> None:
    """Each kind of policy hashes its part, and nothing where that is missing."""
    call = call_to("/p?k=a%20b&k=c", host="host", headers=[("x-key", "v"), ("cookie", 'x=1; s="brought"; s=second')])
    assert hashed(policy, call) == (None if expected is None else xxhash64(expected))
    assert call.set_cookies == ()


def test_a_cookie_is_made_only_with_a_ttl() -> None:
    """The value that was made is hashed, and told to the application."""
    call = call_to("/")
    assert hashed(cookie(), call) is None
    assert hashed(cookie(ttl=0.0), call) == xxhash64(b"made")
    assert call.set_cookies == (b's="made"; HttpOnly',)


def test_a_cookie_says_all_that_the_policy_says() -> None:
    """Whole seconds, the path, attributes with and without a value."""
    attribute = HashPolicy.CookieAttribute
    policy = HashPolicy.Cookie(
        name="n", ttl=9.7, path="/p", attributes=(attribute(name="SameSite", value="Lax"), attribute(name="Secure"))
    )
    assert set_cookie(policy, "v") == 'n="v"; Max-Age=9; Path=/p; SameSite=Lax; Secure; HttpOnly'
