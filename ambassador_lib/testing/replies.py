"""What a simulated upstream answers: well-formed replies, and every way of not giving one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .seen import Seen

Ending = Literal["keep", "close", "reset", "hang"]
Place = Literal["before head", "in head", "in body", "after body"]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    A `body` of `bytes` or `str` goes with a content-length, a sequence of pieces goes chunked, `pause` seconds
    apart. `delay` is in seconds and lies before the head. `ending` says what becomes of the connection at `place`:
    kept, closed (FIN), reset (RST) or left silent; at any place but `"after body"` the rest is never sent. `raw`
    goes out in place of a well-formed response, then `ending` follows.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes | str | Sequence[bytes] = b""
    delay: float = 0.0
    pause: float = 0.0
    ending: Ending = "keep"
    place: Place = "after body"
    raw: bytes | None = None

    @property
    def header_list(self) -> list[tuple[str, str]]:
        """The headers as pairs."""
        return list(self.headers.items()) if isinstance(self.headers, Mapping) else list(self.headers)

    @property
    def fails(self) -> bool:
        """True where a caller cannot take it for a good answer: a 5xx, or one that never comes whole."""
        return self.status >= 500 or self.raw is not None or self.place != "after body" or self.ending == "hang"


Answer = int | Reply
"""A bare number is a reply with that status."""

Script = Answer | Callable[[Seen], Answer]
"""An answer, or what makes one from the request."""


def hang(place: Place = "before head") -> Reply:
    """Say nothing (more) until the peer leaves."""
    return Reply(ending="hang", place=place, body=b"never whole")


def close(place: Place = "before head", *, delay: float = 0.0) -> Reply:
    """Close the connection with a FIN."""
    return Reply(ending="close", place=place, body=b"never whole", delay=delay)


def reset(place: Place = "before head", *, delay: float = 0.0) -> Reply:
    """Break the connection off with an RST."""
    return Reply(ending="reset", place=place, body=b"never whole", delay=delay)


def garbage(data: bytes = b"\x00\xffnot HTTP at all\r\n\r\n") -> Reply:
    """Answer something that is no HTTP, then close."""
    return Reply(raw=data, ending="close")


def drip(*pieces: bytes, pause: float = 0.05, status: int = 200) -> Reply:
    """Send a chunked body piece by piece."""
    return Reply(status, body=pieces, pause=pause)


def as_reply(script: Script, seen: Seen) -> Reply:
    """Return the reply that `script` has for the request `seen`."""
    if callable(script):
        script = script(seen)
    return Reply(script) if isinstance(script, int) else script
