"""The parts of a request that comes out as `httpx.Client.build_request` makes it, in less time."""

# ruff: noqa: SLF001 - private names are what this room is for

from __future__ import annotations

import json as json_module
from collections.abc import Set as AbstractSet
from typing import Any, Final

import httpx
from httpx import _content

from .parts import HeaderLine, request_of

NO_BODY: Final = httpx.ByteStream(b"")
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say so when they have no body."""
_NO_LENGTH: HeaderLine = (b"Content-Length", b"content-length", b"0")
_JSON: HeaderLine = (b"Content-Type", b"content-type", b"application/json")

_encode_json = json_module.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""What httpx's call of `json.dumps` makes, each time, to do the work."""


class KeptHeaders:
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


NO_HEADERS = KeptHeaders([])


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
    made: list[HeaderLine] = httpx.Headers(headers)._list
    return made


def assemble(
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
    body, stream = b"", NO_BODY
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
    body: bytes = _content.encode_json(json)[1]._stream  # somebody has a faster one
    return body
