"""`build_request` without the work that comes to the same result in nearly every call.

What is usual is made of parts that are kept: URLs, and the client's own headers for as long as nobody changes them.
All else is left to httpx.
"""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import json as json_module
from collections.abc import Set as AbstractSet
from http.cookiejar import CookieJar
from typing import Any, ClassVar

import httpx
from httpx import _content
from httpx._client import USE_CLIENT_DEFAULT, BaseClient, UseClientDefault
from httpx._types import (
    CookieTypes,
    HeaderTypes,
    QueryParamTypes,
    RequestContent,
    RequestData,
    RequestExtensions,
    RequestFiles,
    TimeoutTypes,
)

from .parts import HeaderLine, request_of
from .patched import AsWritten
from .urls import RelativeUrls, absolute, host_line, seen_places

_NOTHING = httpx.ByteStream(b"")
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say so when they have no body."""
_NO_LENGTH: HeaderLine = (b"Content-Length", b"content-length", b"0")
_JSON: HeaderLine = (b"Content-Type", b"content-type", b"application/json")

_encode_json = json_module.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""What httpx's call of `json.dumps` makes, each time, to do the work."""


class _KeptHeaders:
    """A client's own headers, as they were when they were last looked at."""

    __slots__ = ("lines", "names")

    def __init__(self, lines: list[HeaderLine]) -> None:
        self.lines = lines.copy()
        self.names: AbstractSet[bytes] = frozenset([lower for _, lower, _ in lines])

    def merged(self, headers: Any) -> tuple[list[HeaderLine], AbstractSet[bytes] | None]:
        """Return the client's headers with `headers` merged into them, and all names in lower case.

        No names: what a header's name means depends on an encoding that httpx has to guess.
        """
        own = _lines_of(headers)
        names = {lower for _, lower, _ in own}
        if not all(map(bytes.isascii, names)):
            return own, None
        if self.names.isdisjoint(names):
            return [*self.lines, *own], names | self.names
        return [*[line for line in self.lines if line[1] not in names], *own], names | self.names


class RequestBuilder(BaseClient):
    """`httpx.BaseClient`, with a `build_request` that makes equal requests in less time."""

    _kept_headers = _KeptHeaders([])
    _relative_urls: RelativeUrls | None = None
    _httpx_client: ClassVar[type] = BaseClient

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        timeout: TimeoutTypes | UseClientDefault = USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> httpx.Request:
        """Build a request, with the client's own settings merged into it, as `httpx.Client.build_request` does."""
        if (
            data is None
            and files is None
            and params is None
            and cookies is None
            and type(content) in _WHOLE
            and type(method) is str
            and not self._params._dict
            and type(jar := self._cookies.jar) is CookieJar
            and not jar._cookies  # type: ignore[attr-defined]  # a jar has no other quick way to tell
            and _steps.are_as_written(type(self))
        ):
            place = seen_places.get(url) if type(url) is str else None
            target, host = self._place(url) if place is None else place
            kept = self._kept_headers
            if kept.lines != self._headers._list:
                kept = self._kept_headers = _KeptHeaders(self._headers._list)
            lines: list[HeaderLine] = kept.lines
            names: AbstractSet[bytes] | None = kept.names
            if headers is not None:
                if type(headers) is not dict:
                    headers = httpx.Headers(headers)  # what can be read only once, super() may have to read again
                lines, names = kept.merged(headers)
            if names is not None:
                if extensions is None and timeout is USE_CLIENT_DEFAULT:
                    made = {"timeout": self._timeout.as_dict()}
                else:
                    made = self._extended(extensions, timeout)
                lines = lines.copy() if host is None or b"host" in names else [host, *lines]
                if method == "GET" and content is None and json is None:
                    return request_of(method, target, lines, made, _NOTHING, b"")
                return _assemble(method.upper(), target, host, lines, names, content, json, made)
        return super().build_request(
            method,
            url,
            content=content,
            data=data,
            files=files,
            json=json,
            params=params,
            headers=headers,
            cookies=cookies,
            timeout=timeout,
            extensions=extensions,
        )

    def _place(self, url: httpx.URL | str) -> tuple[httpx.URL, HeaderLine | None]:
        """Return the merged URL, and the Host header that goes with it."""
        place = None
        if type(url) is str:
            place = self._relative().find(url) if url[:1] == "/" else absolute(url)
        if place is not None:
            return place
        merged = self._merge_url(url)
        return merged, host_line(merged)

    def _relative(self) -> RelativeUrls:
        known, base = self._relative_urls, self._base_url
        origin = None if base._uri_reference.host else self._relative_base()
        if known is None or known.base_url is not base or known.origin is not origin:
            known = self._relative_urls = RelativeUrls(base, origin)
        return known

    def _merge_url(self, url: httpx.URL | str) -> httpx.URL:
        merged = super()._merge_url(url)
        # "http:///path" has a scheme and no host: that is no relative URL, and left for httpx to refuse.
        if not merged.scheme and not merged.host and not httpx.URL(url).scheme:
            origin = self._relative_base()
            return merged if origin is None else origin.copy_with(raw_path=merged.raw_path)
        return merged

    def _relative_base(self) -> httpx.URL | None:
        """Return the address of the policy's only listener: where relative URLs go that have no other base."""
        return None

    def _extended(
        self, extensions: RequestExtensions | None, timeout: TimeoutTypes | UseClientDefault
    ) -> dict[str, Any]:
        if extensions is not None and "timeout" in extensions:
            return dict(extensions)
        chosen = self._timeout if isinstance(timeout, UseClientDefault) else httpx.Timeout(timeout)
        return {"timeout": chosen.as_dict()} if extensions is None else dict(**extensions, timeout=chosen.as_dict())


_WHOLE = (bytes, str, type(None))
"""The types of bodies that are at hand."""
_steps = AsWritten(
    RequestBuilder,
    "_merge_url",
    "_merge_headers",
    "_merge_cookies",
    "_merge_queryparams",
    "headers",
    "cookies",
    "params",
    "timeout",
    "base_url",
    "_httpx_client.build_request",
    "_httpx_client._merge_url",
)


def _lines_of(headers: Any) -> list[HeaderLine]:
    if type(headers) is dict:
        lines = []
        for name, value in headers.items():
            if type(name) is not str or type(value) is not str:
                break
            raw = name.encode("ascii")
            lines.append((raw, raw.lower(), value.encode("ascii")))
        else:
            return lines
    return httpx.Headers(headers)._list


def _assemble(
    method: str,
    url: httpx.URL,
    host: HeaderLine | None,
    lines: list[HeaderLine],
    names: AbstractSet[bytes],
    content: Any,
    json: Any,
    extensions: dict[str, Any],
) -> httpx.Request:
    """Make the request, with the headers that httpx adds to those that are not there, where it adds them."""
    body, stream = b"", _NOTHING
    if content is not None:
        body = content.encode("utf-8") if type(content) is str else content
        stream = httpx.ByteStream(body)
    elif json is not None:
        body = _json_body(json)
        stream = httpx.ByteStream(body)
    if body:
        if b"content-length" not in names:
            lines.append((b"Content-Length", b"content-length", b"%d" % len(body)))
        if content is None and b"content-type" not in names:
            lines.append(_JSON)
    elif method in _WITH_LENGTH and b"content-length" not in names and b"transfer-encoding" not in names:
        lines.insert(0 if host is None or b"host" in names else 1, _NO_LENGTH)
    return request_of(method, url, lines, extensions, stream, body)


def _json_body(json: Any) -> bytes:
    if _content.json_dumps is json_module.dumps:  # type: ignore[attr-defined]  # not exported, but replaced
        return _encode_json(json).encode("utf-8")
    return _content.encode_json(json)[1]._stream  # somebody has a faster one
