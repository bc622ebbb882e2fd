"""Path and Host before routing (semantics 1.1); the results are those of Envoy 1.40."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambassador_lib.policy.model.listener import HttpConnectionManager
from ambassador_lib.routing.normalize import (
    merge_slashes,
    normalize_path,
    strip_any_host_port,
    strip_host,
    strip_matching_host_port,
    strip_trailing_host_dot,
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/../../x", "/x"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/a/%2e%2E/b", "/b"),
        ("/%61%62%7e%41", "/ab~A"),
        ("/a%2fb%2F", "/a%2fb%2F"),
        ("/a\\b%5cc", "/a/b%5cc"),
        ("/a\\..\\b", "/b"),
        ("//a", "//a"),
        ("/x/..//z", "//z"),
        ("/x/y//../z", "/x/y/z"),
        ("/...", "/..."),
        ("/a/.b", "/a/.b"),
        ("/a;b=c/..;/d", "/d"),
        ("/a/.;x", "/a/"),
        ("/a/%2e%2e;x/b", "/a/..;x/b"),
        ("/%2d%5f%20", "/-_%20"),
        ("/a%zz%4", "/a%zz%4"),
        ('/[]|^`{}"<>', "/[]%7C%5E%60%7B%7D%22%3C%3E"),
        ("/\xe9", "/%E9"),
        ("/x?y=/../%61\\", "/x?y=/../%61\\"),
        ("/%00x", None),
        ("*", None),
    ],
)
def test_normalize_path(target: str, expected: str | None) -> None:
    """Dot segments, needless escapes and backslashes go; the query stays; None is for a 400."""
    assert normalize_path(target) == expected


@given(st.text("/.a%2e;\\?", max_size=14))
def test_a_normalized_path_has_no_dot_segments(text: str) -> None:
    """Whatever comes in, no segment that is left climbs or stands still, except behind a parameter."""
    normalized = normalize_path("/" + text)
    assert normalized is not None
    assert not {".", ".."} & set(normalized.partition("?")[0].split("/"))


@given(st.text("/.a%61b?", max_size=14))
def test_normalization_settles(text: str) -> None:
    """Once nothing is left to decode, a second pass changes nothing."""
    once = normalize_path("/" + text)
    assert once is not None
    twice = normalize_path(once)
    assert twice is not None
    if "%" not in once.partition("?")[0]:
        assert twice == once


@pytest.mark.parametrize(
    ("target", "expected"), [("//a///b//", "/a/b/"), ("/a?b=//c", "/a?b=//c"), ("/a/b", "/a/b"), ("//", "/")]
)
def test_merge_slashes(target: str, expected: str) -> None:
    """Several slashes of the path become one, none of the query."""
    assert merge_slashes(target) == expected


@given(st.text("/a?", max_size=12))
def test_merging_is_idempotent(text: str) -> None:
    """Merged slashes stay merged."""
    assert merge_slashes(merge_slashes(text)) == merge_slashes(text)


@pytest.mark.parametrize(
    ("authority", "any_port", "matching_80", "no_dot"),
    [
        ("svc.test:80", "svc.test", "svc.test", "svc.test:80"),
        ("svc.test:8080", "svc.test", "svc.test:8080", "svc.test:8080"),
        ("svc.test.", "svc.test.", "svc.test.", "svc.test"),
        ("svc.test.:80", "svc.test.", "svc.test.", "svc.test:80"),
        ("[::1]:80", "[::1]", "[::1]", "[::1]:80"),
        ("[::1]", "[::1]", "[::1]", "[::1]"),
        ("svc.test:", "svc.test:", "svc.test:", "svc.test:"),
        ("", "", "", ""),
    ],
)
def test_host_stripping(authority: str, any_port: str, matching_80: str, no_dot: str) -> None:
    """Ports and trailing dots, around the colons of an IPv6 address."""
    assert strip_any_host_port(authority) == any_port
    assert strip_matching_host_port(authority, 80) == matching_80
    assert strip_trailing_host_dot(authority) == no_dot


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        (HttpConnectionManager(stat_prefix="x"), "a.test.:80"),
        (HttpConnectionManager(stat_prefix="x", strip_any_host_port=True), "a.test."),
        (HttpConnectionManager(stat_prefix="x", strip_matching_host_port=True), "a.test."),
        (HttpConnectionManager(stat_prefix="x", strip_any_host_port=True, strip_trailing_host_dot=True), "a.test"),
    ],
)
def test_the_connection_manager_decides(manager: HttpConnectionManager, expected: str) -> None:
    """Only what the policy asks for is stripped."""
    assert strip_host("a.test.:80", manager, 80) == expected
