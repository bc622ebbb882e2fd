"""What an upstream does with one request (`Reaction`) or one connection (`Reception`): frozen data, and short makers.

The makers (`reply`, `hang`, `close`, …) are for where an answer is a value: `Upstream(503, hang(), 200)`, or what a
function of the request returns. Everywhere else the verbs of `verbs.py` say the same as a sentence.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from .misuse import ScriptError
from .seen import Seen

Ending = Literal["keep", "close", "reset", "hang"]
Place = Literal["before head", "in head", "before body", "in body", "after body"]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

UNSAID: Any = object()
"""Stands for an argument that was not given, where `None` is a value."""

NOT_HTTP = b"\x00\xffnot HTTP at all\r\n\r\n"
NEVER_WHOLE = b"never whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What happens with one request.

    A `body` of bytes goes with a content-length, a tuple of pieces goes chunked, `pause` seconds apart; `trailers`
    follow it. `delay` is in seconds and lies before the head. `place` is how far the answer gets, `ending` what then
    becomes of the connection: kept, closed (FIN), reset (RST; over HTTP/2 RST_STREAM) or left silent. `raw` goes out
    in place of a well-formed response, then `ending` follows. `content_length` is told instead of the true one.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | tuple[bytes, ...] = b""
    delay: float = 0.0
    pause: float = 0.0
    place: Place = "after body"
    ending: Ending = "keep"
    raw: bytes | None = None
    content_length: int | None = None
    trailers: tuple[tuple[str, str], ...] = ()
    label: str = field(default="", compare=False)
    """The code of the step that made it."""

    @property
    def fails(self) -> bool:
        """True where a caller cannot take it for a good answer: a 5xx, or one that never comes whole."""
        return (
            self.status >= 500
            or self.raw is not None
            or self.place != "after body"
            or self.ending == "hang"
            or self.content_length is not None
        )

    def __repr__(self) -> str:
        told = ((each.name, getattr(self, each.name), each.default) for each in fields(self) if each.compare)
        return f"Reaction({', '.join(f'{name}={value!r}' for name, value, usual in told if value != usual)})"

    @property
    def content(self) -> bytes:
        """The body in one piece."""
        return self.body if isinstance(self.body, bytes) else b"".join(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """What happens with one connection: accepted, refused, never answered, or broken off in the TLS handshake."""

    kind: Literal["accept", "refuse", "black hole", "tls failure"] = "accept"
    label: str = ""
    """The code of the step that made it."""


Answer = int | Reaction | Callable[[Seen], "int | Reaction"]
"""A status, a whole reaction, or a function that makes one from the request."""


def reply(
    status: int = 200,
    *,
    json: Any = UNSAID,
    text: str | None = None,
    content: bytes | Sequence[bytes] | None = None,
    headers: Headers = (),
    trailers: Headers = (),
    after: float = 0.0,
    pause: float = 0.0,
) -> Reaction:
    """Return a well-formed answer, `after` seconds; pieces of `content` go chunked, `pause` seconds apart."""
    if sum((json is not UNSAID, text is not None, content is not None)) > 1:
        raise ScriptError("a reply has one body: json, text or content")
    if not 200 <= status <= 999:
        raise ScriptError(f"{status!r} is no status of an answer (200 to 999)")
    told = pairs(headers)
    body: bytes | tuple[bytes, ...] = b""
    if json is not UNSAID:
        body, told = json_module.dumps(json).encode(), _with_type(told, "application/json")
    elif text is not None:
        body, told = text.encode(), _with_type(told, "text/plain; charset=utf-8")
    elif content is not None:
        body = content if isinstance(content, bytes) else tuple(content)
    return Reaction(status=status, headers=told, body=body, delay=after, pause=pause, trailers=pairs(trailers))


def hang(place: Place = "before head") -> Reaction:
    """Say nothing (more) until the peer leaves."""
    return Reaction(ending="hang", place=place, body=NEVER_WHOLE)


def close(place: Place = "before head", *, after: float = 0.0) -> Reaction:
    """Close the connection with a FIN, `after` seconds."""
    return Reaction(ending="close", place=place, body=NEVER_WHOLE, delay=after)


def reset(place: Place = "before head", *, after: float = 0.0) -> Reaction:
    """Break off with an RST (over HTTP/2: of the stream), `after` seconds."""
    return Reaction(ending="reset", place=place, body=NEVER_WHOLE, delay=after)


def garbage(data: bytes = NOT_HTTP) -> Reaction:
    """Answer something that is no HTTP, then close."""
    return Reaction(raw=data, ending="close")


def drip(*pieces: bytes, pause: float = 0.05, status: int = 200) -> Reaction:
    """Send a chunked body piece by piece, `pause` seconds apart."""
    return Reaction(status=status, body=pieces, pause=pause)


def pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Return headers as pairs."""
    return tuple(headers.items()) if isinstance(headers, Mapping) else tuple((name, value) for name, value in headers)


def broken(good: Reaction, place: Place, ending: Ending) -> Reaction:
    """Return `good`, broken off at `place`; what has no body to be cut in gets one."""
    long_enough = good.status not in (204, 304) and len(good.body) > 1
    whole = good if place != "in body" or long_enough else replace(good, status=200, body=NEVER_WHOLE)
    return replace(whole, place=place, ending=ending)


def lying(good: Reaction, by: int) -> Reaction:
    """Return `good` with a content-length that is wrong by so many bytes; what is too short then closes."""
    whole = good if by > 0 or len(good.content) >= -by else replace(good, body=NEVER_WHOLE[:1] * -by)
    content = whole.content
    return replace(whole, body=content, content_length=len(content) + by, ending="close" if by > 0 else whole.ending)


def _with_type(headers: tuple[tuple[str, str], ...], kind: str) -> tuple[tuple[str, str], ...]:
    if any(name.lower() == "content-type" for name, _ in headers):
        return headers
    return (*headers, ("content-type", kind))
