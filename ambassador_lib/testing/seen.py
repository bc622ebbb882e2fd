"""What an upstream has seen: one `Seen` per request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Seen:
    """One request, as it arrived, and what became of it.

    `arrived`, `finished` and `gone` are readings of the upstream's clock (`time.monotonic`, or virtual time): request
    complete, answer written whole, peer found to have left before that.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    """As they came; over HTTP/2 without the pseudo-headers, and with `host` for `:authority`."""
    body: bytes
    connection: int
    """Number of the connection it came on, from 1."""
    arrived: float
    client: str | None = None
    """Common name of the client's certificate; `None` without TLS or certificate."""
    server_name: str | None = None
    """The SNI that the client asked for."""
    answered: int | None = None
    """The status sent; `None` while there is none, or where the answer never had one."""
    failed: bool = False
    """True where the answer was a 5xx or a broken one."""
    finished: float | None = None
    gone: float | None = None
    endpoint: int = 0
    """Number of the upstream's endpoint that it came to, from 0."""
    protocol: str = "HTTP/1.1"
    """`"HTTP/1.1"` or `"HTTP/2"`."""
    because: str = ""
    """The step of the script that answered it, as code; empty where nothing was scripted."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return the first value of the header `name`, in whatever case it came."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Return every value of the header `name`."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def is_health_check(self) -> bool:
        """Whether it comes from an active health check: Envoy's name for its checker, which is ours as well."""
        return (self.header("user-agent") or "").startswith("Envoy/HC")
