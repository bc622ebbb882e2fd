"""URLs taken apart and made of their parts; they are immutable, so one may be shared by many."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import httpx

KEPT_URLS = 1024
_urls: dict[tuple[str, str, str, int | None, str], httpx.URL] = {}
"""URLs with another target, most of which come again; they are immutable."""


def target_of(url: httpx.URL) -> str:
    """Return path and query as they are sent."""
    parts = url._uri_reference
    path = parts.path or "/"
    return path if parts.query is None else f"{path}?{parts.query}"


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port (`None` where it is the scheme's own)."""
    parts = url._uri_reference
    return parts.scheme, parts.host, parts.port


def with_target(url: httpx.URL, target: str) -> httpx.URL:
    """Return `url` with another path and query, which are taken as they are."""
    parts = url._uri_reference
    key = (parts.scheme, parts.userinfo, parts.host, parts.port, target)
    made = _urls.get(key)
    if made is None:
        path, mark, query = target.partition("?")
        made = httpx.URL.__new__(httpx.URL)
        made._uri_reference = parts._replace(path=path, query=query if mark else None, fragment=None)
        if len(_urls) >= KEPT_URLS:
            _urls.clear()
        _urls[key] = made
    return made
