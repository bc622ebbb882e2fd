"""What an upstream saw."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Request:
    """One request as it came in. Times are `time.monotonic()`."""

    number: int
    """The how-manieth of this upstream, from 1; health checks count apart."""
    of_path: int
    """The how-manieth with this path, the query left aside."""
    method: str
    target: str
    """Path and query."""
    headers: list[tuple[str, str]]
    """Names as received; HTTP/2's pseudo-headers among them."""
    connection: int
    """The number of the connection, from 1."""
    arrived: float
    """When the head was complete."""
    body: bytes = b""
    chunked: bool = False
    complete: bool = False
    """Whether the body came whole."""
    answered: float | None = None
    """When the answer had been written."""
    gone: float | None = None
    """When the peer left, or reset the stream, before the answer was written."""
    tls: dict[str, str | None] = field(default_factory=dict)
    """`version`, `alpn`, `sni`, `client` (the common name in the client's certificate), `resumed` (yes or no)."""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"

    def header(self, name: str) -> str | list[str] | None:
        """The value of the header: a list where there are several lines, None where there is none."""
        return one_or_many(self.headers, name)


def one_or_many(headers: list[tuple[str, str]], name: str) -> str | list[str] | None:
    """Return the value, the list of values or None."""
    values = [value for key, value in headers if key.lower() == name.lower()]
    if len(values) > 1:
        return values
    return values[0] if values else None
