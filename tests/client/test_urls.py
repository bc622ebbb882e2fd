"""URLs that are taken apart without httpx are what httpx would have made of them, and what is kept is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ambassador_lib import Client
from ambassador_lib._httpx import urls

from .conftest import Recorder
from .documents import BASE, policy

SCHEMES = st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "http:/", "http:", "//", ""])
HOSTS = st.one_of(
    st.sampled_from(
        ["a", "A.Example", "127.0.0.1", "999.1.1.1", "1.2.3", "[::1]", "[::1", "[zz]", "[::1]x", "münchen.de", "xn--a",
         "u@h", "u:p@h", "h_1~2", "", "a..b", "-"]
    ),
    st.text("aZ9.-_~[]:%@é", max_size=8),
)  # fmt: skip
PORTS = st.one_of(
    st.sampled_from(["", ":", ":80", ":443", ":0", ":65536", ":080", ":x", ":-1", ":8 0", ":1:2"]),
    st.integers(0, 99999).map(":{}".format),
)
ANY = "".join(map(chr, range(0x20, 0x7F))) + "é\t\n\x00\x7f€"
PATHS = st.one_of(
    st.sampled_from(
        ["", "/", "//", "/a/../b", "/.", "/..", "/a.b", "/.well-known/x", "/a/.", "/%2e%2e/", "/%zz%", "a"]
    ),
    st.text(ANY, max_size=12).map("/".__add__),
    st.text("/.ab%2", max_size=12).map("/".__add__),
)
QUERIES = st.one_of(st.sampled_from(["", "?", "??", "?a=1&b=%20", "?a b"]), st.text(ANY, max_size=12).map("?".__add__))
FRAGMENTS = st.sampled_from(["", "", "", "#", "#x"])
URLS = st.one_of(
    st.builds("{}{}{}{}{}{}".format, SCHEMES, HOSTS, PORTS, PATHS, QUERIES, FRAGMENTS), st.text(ANY, max_size=20)
)


def agrees(url: str) -> bool:
    """Compare, and tell whether there was anything to compare."""
    place = urls._parse_absolute(url)
    if place is None:
        return False
    made, (name, lower, value) = place
    stock = httpx.URL(url)
    assert tuple(made._uri_reference) == tuple(stock._uri_reference)
    assert type(made._uri_reference) is type(stock._uri_reference)
    assert vars(made).keys() == vars(stock).keys()
    assert (name, lower, value) == (b"Host", b"host", stock.netloc)
    assert stock.is_absolute_url
    return True


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@example("http://h/a?b#c")
@example("http://h/a/../b")
@example("http://h\n")
@example("http://h/\n")
@given(URLS)
def test_a_url_is_httpxs_or_left_to_httpx(url: str) -> None:
    """Whatever the quick way makes of a string, httpx makes the same of it."""
    agrees(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:15001/charges", "https://api.example.com", "http://h?q", "http://[::1]:80/a/b;c?d=%20e&f=[1]",
     "http://H.example:80/x,y|z", "https://h:443/a%2Fb"],
)  # fmt: skip
def test_the_usual_is_quick(url: str) -> None:
    """URLs as applications write them are not left to httpx."""
    assert agrees(url)


@pytest.mark.parametrize(
    "url",
    ["http://u:p@h/", "http://h/#f", "http://h/a/./b", "http://h/ä", "http://h/a b", "http://:80/", "http://h:x/",
     "http://999.0.0.1/", "ftp://h/", "/a", "h", "", "http://h/" + "a" * urls.KEPT_LENGTH],
)  # fmt: skip
def test_the_unusual_is_httpxs(url: str) -> None:
    """What httpx escapes, resolves, refuses or gives another meaning is left to it."""
    assert not agrees(url)


NO_LISTENER = {"static_resources": {}}
"""A policy under which a URL without a host stays one."""
PAIRS: dict[tuple[str, str], tuple[httpx.Client, httpx.Client]] = {}


@pytest.fixture(scope="module", autouse=True)
def close_pairs() -> Iterator[None]:
    """Close the clients that examples share."""
    yield
    for pair in PAIRS.values():
        for client in pair:
            client.close()


def pair(ours: str, document: dict[str, Any], stock: str) -> tuple[httpx.Client, httpx.Client]:
    """Return our client and httpx's with these two `base_url`s, which examples share: what is kept takes part."""
    if (ours, stock) not in PAIRS:
        PAIRS[ours, stock] = Client(document, base_url=ours), httpx.Client(base_url=stock)
    return PAIRS[ours, stock]


def merged(client: httpx.Client, url: str) -> Any:
    """Return the merged URL, or what is wrong with it."""
    try:
        request = client.build_request("GET", url)
    except (httpx.InvalidURL, UnicodeError) as error:  # the latter for a host like xn--a
        return type(error), str(error)
    return tuple(request.url._uri_reference), request.headers.raw


BASES = [
    "", "/", "/api", "/api/", "api", "/a/../b", "http://h", "http://h:80/v1", "http://h/v1/?q=1/", "http://u:p@h/v1",
    "https://h/v1/#f", "http://[::1]:81/%20/", "http://", "//h/v1", "http:///v1", "https://h/.a/", "http://xn--a",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@example(base="", url="http://xn--a/")
@given(base=st.sampled_from(BASES), url=st.one_of(URLS, PATHS, st.builds("{}{}".format, PATHS, QUERIES)))
def test_relative_urls_are_merged_as_httpx_merges_them(base: str, url: str) -> None:
    """Any base, any URL: the merged URL and its Host header are httpx's, twice in a row."""
    ours, stock = pair(base, NO_LISTENER, base)
    expected = merged(stock, url)
    assert [merged(ours, url), merged(ours, url)] == [expected, expected]


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(base=st.sampled_from(["", "/", "/api", "/a/../b"]), url=st.builds("{}{}".format, PATHS, QUERIES))
def test_relative_urls_go_to_the_only_listener(base: str, url: str) -> None:
    """Without a host in `base_url`, a policy's only listener is where relative URLs go, as if it were in there."""
    ours, stock = pair(base, policy(), BASE + base)
    assert merged(ours, url) == merged(stock, url)


def test_a_changed_base_url_counts_at_once() -> None:
    """What relative URLs became with another `base_url` is forgotten."""
    with Client(policy(), transport=Recorder()) as client:
        seen = []
        for base in ("http://a/", "http://b/x", "", "http://a/"):
            client.base_url = base
            seen.append(str(client.build_request("GET", "/y").url))
    assert seen == ["http://a/y", "http://b/x/y", f"{BASE}/y", "http://a/y"]


def test_what_is_kept_is_bounded() -> None:
    """A client that never calls the same URL twice does not grow."""
    with Client(policy(), transport=Recorder()) as client:
        for number in range(urls.KEPT_URLS + 5):
            client.build_request("GET", f"http://host{number}/{number}")
            client.build_request("GET", f"/{number}")
        relative = client._relative_urls
        assert relative is not None
        assert 0 < len(urls.seen_places) <= urls.KEPT_URLS
        assert 0 < len(urls._origins) <= urls.KEPT_URLS
        assert 0 < len(relative._places) <= urls.KEPT_URLS
