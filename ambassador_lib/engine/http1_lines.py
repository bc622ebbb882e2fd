"""The lines of one head of HTTP/1.1, for where httptools cannot be imported: it comes compiled, or not at all.

As much of httptools' parser as `http1_head` asks for, strict as it is. h11 would not do: of equal content-lengths it
leaves one, and so nobody could refuse what Envoy refuses; and it takes ten times as long.
"""

from __future__ import annotations

import re
from typing import Any

STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] ([0-9]{3})(?: ([^\r\n]*))?\r\n")
LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*[^ \t\r]", re.IGNORECASE)
CONNECTION_UPGRADE = re.compile(rb"\r\n(?:proxy-)?connection:(?:[^\r]*,)?[ \t]*upgrade[ \t]*[,\r]", re.IGNORECASE)
MAX_LENGTH = 2**64 - 1
"""Of a body."""


class HttpParserError(Exception):
    """The head is none."""


class HttpParserUpgrade(Exception):  # noqa: N818 - httptools' name
    """Never raised: what follows a switch of protocols is not read here."""


class HttpResponseParser:
    """Reads one head that has come whole."""

    def __init__(self, protocol: Any) -> None:
        """`protocol.on_status` is told of the reason, `protocol.on_header` of each header and the blanks behind it."""
        self._protocol = protocol
        self._status = 0

    def set_dangerous_leniencies(self, *, lenient_version: bool) -> None:
        """Versions that nobody speaks are taken anyway: who asks for less judges them."""

    def feed_data(self, data: bytes) -> None:
        """Read a head, its blank line included; `HttpParserError`."""
        first = STATUS_LINE.match(data)
        if first is None:
            raise HttpParserError("no status line")
        self._status = int(first[1])
        if first[2]:
            self._protocol.on_status(first[2])
        at = first.end()
        while line := LINE.match(data, at):
            name, value = line.groups()
            if len(value) > 19 and name.lower() == b"content-length" and value.isdigit() and int(value) > MAX_LENGTH:
                raise HttpParserError("a content-length that 64 bits cannot hold")
            self._protocol.on_header(name, value)
            at = line.end()
        if data[at:] != b"\r\n":
            raise HttpParserError("a line that is no header")
        if self._status == 101 and not (UPGRADE.search(data) and CONNECTION_UPGRADE.search(data)):
            raise HttpParserError("a switch of protocols that does not name one")

    def get_status_code(self) -> int:
        """Return the status that was read."""
        return self._status
