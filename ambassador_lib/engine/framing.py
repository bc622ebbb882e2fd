"""What HTTP/1.1 and HTTP/2 share: how a request's body is announced, and what a response's head may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._httpx import content_of
from ..call import Header

if TYPE_CHECKING:
    from .base import Destination


def fixed_body(stream: Any) -> bytes | None:
    """Return the whole body where it is known to be at hand, `None` where it must be iterated over."""
    content = content_of(stream)
    if content is None:
        content = b"" if stream is None else stream if isinstance(stream, bytes) else None
    return content


BODILESS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "TRACE"))
"""Methods whose requests say nothing of a body where there is none."""


def framed_headers(headers: list[Header], body: bytes | None, method: str = "GET") -> list[Header]:
    """Announce the body where the headers do not do so yet: its length if known, else chunks."""
    for name, _ in headers:
        if name in (b"content-length", b"transfer-encoding"):
            return headers
    announced = announcement(body, method)
    return headers if announced is None else [*headers, announced]


def announcement(body: bytes | None, method: str) -> Header | None:
    """Return the header that announces a body, `None` for the length of one that is still to come.

    No body is announced too, as Envoy does in HTTP/1.1, but for methods that never have one.
    """
    if body is None:
        return b"transfer-encoding", b"chunked"
    if not body and method in BODILESS:
        return None
    return b"content-length", b"%d" % len(body)


def excess(lines: list[tuple[bytes, bytes, bytes]], destination: Destination) -> str:
    """Say by what a response's head is larger than Envoy takes; nothing where it is not."""
    if len(lines) > destination.max_headers:
        return f"more than {destination.max_headers} response headers"
    if sum(len(name) + len(value) + 4 for name, _, value in lines) > destination.max_head_size:
        return f"response headers of more than {destination.max_head_size} bytes"
    return ""
