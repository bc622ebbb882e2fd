"""URLs taken apart and made of their parts; they are immutable, so one may be shared by many."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Final

import httpx
from httpx._urlparse import ParseResult

from .parts import HeaderLine

KEPT_URLS = 1024
KEPT_LENGTH = 2048
"""Characters of the longest URL that is kept: all that are kept take 2 MB at most, and usually a tenth of it."""

Place = tuple[httpx.URL, HeaderLine]
"""A URL and the Host header that goes with it."""

_targets: dict[tuple[str, str, str, int | None, str], httpx.URL] = {}
"""URLs with another target, most of which come again."""
seen_places: Final[dict[str, Place]] = {}
"""Absolute URLs as applications write them, most of which come again; see `absolute`."""
_origins: dict[str, tuple[ParseResult, HeaderLine]] = {}
"""The beginnings of URLs: a URL that was never seen is usually one of an origin that was."""

# Only what httpx leaves as it is: no character that it would escape, no userinfo, no fragment.
_PLAIN = re.compile(
    r"(?P<origin>https?://[A-Za-z0-9._~:\[\]-]+)?"
    r"(?P<path>/[!$-;=@-_a-z|~]*)?"
    r"(?:\?(?P<query>[!$-;=?-~]*))?"
)


def target_of(url: httpx.URL) -> str:
    """Return path and query as they are sent."""
    parts = url._uri_reference
    path = parts.path or "/"
    return path if parts.query is None else f"{path}?{parts.query}"


def scheme_of(url: httpx.URL) -> str:
    """Return the scheme."""
    scheme: str = url._uri_reference.scheme
    return scheme


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port (`None` where it is the scheme's own)."""
    parts = url._uri_reference
    return parts.scheme, parts.host, parts.port


def parts_of(url: httpx.URL) -> Hashable:
    """Return what equal URLs have in common; unlike a URL's own, its hash costs nearly nothing."""
    return url._uri_reference


def with_target(url: httpx.URL, target: str) -> httpx.URL:
    """Return `url` with another path and query, which are taken as they are."""
    parts = url._uri_reference
    key = (parts.scheme, parts.userinfo, parts.host, parts.port, target)
    made = _targets.get(key)
    if made is None:
        path, mark, query = target.partition("?")
        made = _made_of(parts._replace(path=path, query=query if mark else None, fragment=None))
        if len(_targets) >= KEPT_URLS:
            _targets.clear()
        _targets[key] = made
    return made


def host_line(url: httpx.URL) -> HeaderLine | None:
    """Return the Host header that httpx would make for `url`, `None` for a URL without a host.

    Raises `idna.IDNAError`, as httpx does, for an international name that cannot be decoded.
    """
    return (b"Host", b"host", url.netloc) if url.host else None


def absolute(url: str) -> Place | None:
    """Return what `httpx.URL` makes of an absolute URL of http or https; `None` for what must be left to httpx."""
    place = seen_places.get(url)
    if place is None:
        place = _parse_absolute(url)
        if place is not None:
            if len(seen_places) >= KEPT_URLS:
                seen_places.clear()
            seen_places[url] = place
    return place


def _parse_absolute(url: str) -> Place | None:
    plain = _PLAIN.fullmatch(url) if len(url) <= KEPT_LENGTH else None
    if plain is None:
        return None
    origin, path, query = plain.groups()
    if origin is None or (path is not None and "/." in path):  # httpx resolves dots
        return None
    known = _origins.get(origin) or _parse_origin(origin)
    if known is None:
        return None
    parts, line = known
    return _made_of(ParseResult(parts.scheme, "", parts.host, parts.port, path or "", query, None)), line


def _parse_origin(origin: str) -> tuple[ParseResult, HeaderLine] | None:
    try:
        url = httpx.URL(origin)
        line = host_line(url)
    except (httpx.InvalidURL, UnicodeError):
        return None
    if line is None:
        return None
    if len(_origins) >= KEPT_URLS:
        _origins.clear()
    known = _origins[origin] = url._uri_reference, line
    return known


class RelativeUrls:
    """What relative URLs become: `base` is where they go, and `prefix` the path that comes before theirs."""

    def __init__(self, base_url: httpx.URL, origin: httpx.URL | None) -> None:
        """Take a client's `base_url`, and where it leads if it has no host itself."""
        self.base_url, self.origin = base_url, origin
        parts = base_url._uri_reference
        self._prefix = parts.path or "/"
        has_base = bool(parts.scheme and parts.host)
        is_bare = not parts.scheme and not parts.host and self._prefix.startswith("/") and "/." not in self._prefix
        self._base: httpx.URL | None = base_url if has_base else origin if is_bare else None
        if parts.userinfo or (parts.query, parts.fragment) != (None, None) or parts.host.startswith("xn--"):
            self._base = None
        self._line = None if self._base is None else host_line(self._base)
        self._places: dict[str, Place] = {}

    def find(self, url: str) -> Place | None:
        """Return the merged URL; `None` for what must be left to httpx."""
        place = self._places.get(url)
        if place is None:
            place = self._merge(url)
            if place is not None:
                if len(self._places) >= KEPT_URLS:
                    self._places.clear()
                self._places[url] = place
        return place

    def _merge(self, url: str) -> Place | None:
        base, line = self._base, self._line
        plain = _PLAIN.fullmatch(url) if base is not None and len(url) <= KEPT_LENGTH else None
        if plain is None or base is None or line is None:
            return None
        origin, path, query = plain.groups()
        if origin is not None or path is None or path.startswith("//") or "/." in path:
            return None
        scheme, _, host, port, *_ = base._uri_reference
        return _made_of(ParseResult(scheme, "", host, port, self._prefix + path.lstrip("/"), query, None)), line


def _made_of(parts: ParseResult) -> httpx.URL:
    url = httpx.URL.__new__(httpx.URL)
    url._uri_reference = parts
    return url
