"""What Envoy's HTTP/1 codec refuses in a response's head and h11 lets pass: framing that two readers may read twice."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import h11

from ..call import Header
from ..errors import protocol_error
from .framing import excess

if TYPE_CHECKING:
    from .base import Destination

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
WORD = re.compile(rb"(?<![A-Za-z0-9])[a-z]")
LENGTH_LINE = re.compile(rb"\ncontent-length[ \t]*:([^\n]*)", re.IGNORECASE)


def accepted_headers(
    event: h11.Response | h11.InformationalResponse, head: bytes, destination: Destination
) -> list[Header]:
    """Return the headers; `head` is what came, since h11 makes one content-length of several equal ones."""
    headers = event.headers.raw_items()
    if too_much := excess(headers, destination):
        raise protocol_error(too_much)
    if len(head) > destination.max_head_size + 4 * len(headers):  # the status line, then: h11 bounds the incomplete
        raise protocol_error(f"a response head of more than {destination.max_head_size} bytes")
    if CONTROL.search(b"".join([value for _, value in headers])):
        raise protocol_error("control character in a response header")
    fields = dict(event.headers)
    length = fields.get(b"content-length")
    has_no_body = event.status_code < 200 or event.status_code == 204
    if b"transfer-encoding" in fields and (has_no_body or length is not None):
        raise protocol_error("transfer-encoding where there is no body, or a content-length")
    if length is None:
        return headers
    lines = LENGTH_LINE.findall(head)
    if len(lines) > 1 or any(b"," in line for line in lines):
        raise protocol_error("more than one content-length")
    if not has_no_body:
        return headers
    if int(length):
        raise protocol_error(f"content-length {length.decode()} with status {event.status_code}")
    return [header for header in headers if header[0].lower() != b"content-length"]  # as Envoy does (RFC 9110 8.6)


@lru_cache(maxsize=1024)
def proper_case(name: bytes) -> bytes:
    """Return a header's name with a capital at its start and after whatever is no letter and no digit.

    Source: `Http1ProtocolOptions.HeaderKeyFormat.proper_case_words`.
    """
    return WORD.sub(lambda found: found[0].upper(), name)
