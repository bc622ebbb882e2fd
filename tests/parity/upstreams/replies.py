"""What an upstream answers: the declaration of a scenario, nothing that runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .records import Request

Ending = Literal["keep", "close", "reset", "hang", "goaway"]
Place = Literal["before head", "in head", "in body", "after body"]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

REFUSED_STREAM = 7
CANCEL = 8


@dataclass(frozen=True)
class Reply:
    """One answer. Whatever ends early (`place`) ends as `ending` says; times are in seconds.

    - `body`: text or bytes go with a content-length; a list of pieces goes chunked, `pause` seconds apart; None is the
      upstream's name.
    - `delay`: before the head.
    - `length`: announce this content-length, whatever the body is.
    - `interim`: 1xx statuses sent before the head.
    - `raw`: these bytes instead of a well-formed answer; `ending` follows.
    - `code`: HTTP/2's error code, with `ending="reset"`.
    - `goaway_covers`: with `ending="goaway"`, whether the last stream id named covers this request.
    """

    status: int = 200
    headers: Headers = ()
    body: str | bytes | Sequence[bytes | str] | None = None
    delay: float = 0.0
    pause: float = 0.0
    length: int | None = None
    interim: Sequence[int] = ()
    trailers: Headers = ()
    ending: Ending = "keep"
    place: Place = "after body"
    raw: bytes | None = None
    code: int = CANCEL
    goaway_covers: bool = False

    def later(self, delay: float) -> Reply:
        """The same, after `delay` seconds."""
        return replace(self, delay=delay)


def hang(place: Place = "before head", **fields: Any) -> Reply:
    """Say nothing (more) until the peer leaves."""
    return Reply(ending="hang", place=place, **fields)


def close(place: Place = "before head", **fields: Any) -> Reply:
    """Close the connection with a FIN."""
    return Reply(ending="close", place=place, **fields)


def reset(place: Place = "before head", **fields: Any) -> Reply:
    """Reset: the connection with a RST in HTTP/1, the stream with `code=` in HTTP/2."""
    return Reply(ending="reset", place=place, **fields)


def goaway(*, covers: bool = False, **fields: Any) -> Reply:
    """HTTP/2: say GOAWAY and close. Unless it `covers` it, this request is above the last stream it names."""
    return Reply(ending="goaway", place="before head", goaway_covers=covers, **fields)


def raw(data: bytes, ending: Ending = "close") -> Reply:
    """Answer with these bytes."""
    return Reply(raw=data, ending=ending)


def grpc(status: int | None = 0, message: str = "", *, in_headers: bool = False, **fields: Any) -> Reply:
    """A gRPC answer over HTTP/2: one empty message and `grpc-status` in the trailers, or in the head alone."""
    told = [] if status is None else [("grpc-status", str(status))] + ([("grpc-message", message)] if message else [])
    kind = ("content-type", "application/grpc")
    if in_headers:
        return Reply(headers=[kind, *told], body=b"", **fields)
    return Reply(headers=[kind], body=b"\0\0\0\0\0", trailers=told, **fields)


@dataclass(frozen=True)
class Names:
    """What a name server answers to every question: addresses of either family, a code (3: NXDOMAIN), or nothing.

    `ttl` is in seconds.
    """

    addresses: Sequence[str] = ()
    code: int = 0
    ttl: int = 30
    silent: bool = False


NXDOMAIN = Names(code=3)
SERVFAIL = Names(code=2)

Script = int | Reply | Names | Sequence[Any] | Mapping[str, Any] | Callable[[Request], Any]
"""A status; a reply; what a name server says; a list, one a request, the last repeats; a dict by path (`"*"` for the
rest), where lists count by path; or a function of the request that returns any of these."""


@dataclass(frozen=True)
class Tls:
    """How an upstream speaks TLS; certificates are names known to `certificates.py`."""

    certificate: str = "server"
    client_ca: str | None = None
    """Demand a client certificate by this authority."""
    alpn: Sequence[str] = ()
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    curve: str | None = None
    """The only curve it agrees to, by OpenSSL's name."""


@dataclass(frozen=True)
class Upstream:
    """One upstream.

    - `kind`: `http1`, `http2` (prior knowledge, or ALPN under TLS), `refused` (the port is taken, nobody listens),
      `backlog` (its backlog is full: connecting neither succeeds nor fails), `dns` and `dns over tcp` (a name
      server: `script` is a `Names`, the requests' methods are A and AAAA).
    - `health`: the script of requests whose path is `health_path`; they are recorded apart (`checks`).
    - `greeting`: what becomes of a new connection: `reset`, `close`, `hang`, or bytes that answer whatever comes.
    - `idle`: seconds after which a kept connection is closed.
    - `early`: answer as soon as the head is there; the body is read afterwards.
    - `max_streams`: HTTP/2's SETTINGS_MAX_CONCURRENT_STREAMS.
    - `host`: the loopback address to listen on.
    - `pipe`: listen on a Unix socket instead, a file of this run (`${file:x}` in policies).
    """

    script: Script = 200
    kind: Literal["http1", "http2", "refused", "backlog", "dns", "dns over tcp"] = "http1"
    tls: Tls | None = None
    health: Script | None = None
    health_path: str = "/health"
    greeting: Literal["reset", "close", "hang"] | bytes | None = None
    idle: float | None = None
    early: bool = False
    max_streams: int | None = None
    host: str = "127.0.0.1"
    pipe: str | None = None


def answer(script: Script, request: Request, *, by_path: bool = False) -> Reply:
    """Return what `script` says to `request`."""
    while not isinstance(script, Reply):
        if isinstance(script, int):
            script = Reply(script)
        elif isinstance(script, Mapping):
            script, by_path = script.get(request.path, script.get("*", 404)), True
        elif callable(script):
            script = script(request)
        else:
            count = request.of_path if by_path else request.number
            script = script[min(count, len(script)) - 1]
    return script


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return the headers as pairs."""
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)
