"""What spans say, by OpenTelemetry's stable semantic conventions for HTTP clients. Plain functions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from ..call import Call

Attributes = dict[str, str | int]
Outcome = int | type[object]
"""How a request ended: with a status, or with an exception of this type."""

KNOWN_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
FIRST_ERROR_STATUS = 400
"""HTTP semantic conventions: for a client, 4xx are errors too."""
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# `url.full`: "query string values for these keys SHOULD be redacted by default".
_SECRET = re.compile(r"([?&](?:AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-\w+)=)[^&#]*")
_USERINFO = re.compile(r"^([^:/?#]+://)([^/?#]*)@")


def method_name(method: str) -> str:
    """Return a span's name: the method, `HTTP` for one that the conventions do not know."""
    return method if method in KNOWN_METHODS else "HTTP"


def call_attributes(method: str, url: httpx.URL) -> Attributes:
    """Describe the logical request as the application made it."""
    return _attributes(method, redacted(str(url)), url.host, url.port, url.scheme)


def try_attributes(
    method: str, scheme: str, authority: str, target: str, number: int, cluster: str | None
) -> Attributes:
    """Describe one try as the upstream sees it: rewritten host and path."""
    host, port = split_address(authority.rpartition("@")[2] if "@" in authority else authority)
    found = _attributes(method, redacted(f"{scheme}://{authority}{target}"), host, port, scheme)
    if number > 1:
        found["http.request.resend_count"] = number - 1
    if cluster:
        found["upstream_cluster.name"] = cluster
    return found


def story_attributes(call: Call) -> Attributes:
    """Tell what became of the logical request, under the names of Envoy's span tags."""
    report = call.report
    found: Attributes = {}
    if report.flags:
        found["response_flags"] = ",".join(report.flags)
    if report.cluster:
        found["upstream_cluster.name"] = report.cluster
    request_id = call.header(b"x-request-id")
    if request_id is not None:
        found["guid:x-request-id"] = request_id.decode("latin-1")
    return found


def peer_attributes(peer: str) -> Attributes:
    """Describe the other end of a connection, `address:port`."""
    address, port = split_address(peer)
    found: Attributes = {"network.peer.address": address}
    if port is not None:
        found["network.peer.port"] = port
    return found


def server_attributes(method: str, authority: str, scheme: str) -> Attributes:
    """Describe a request's method and server, as metrics tell them apart."""
    host, port = split_address(authority.rpartition("@")[2])
    found: Attributes = {"http.request.method": method if method in KNOWN_METHODS else "_OTHER", "server.address": host}
    port = _PORTS.get(scheme) if port is None else port
    if port is not None:
        found["server.port"] = port
    return found


def outcome_attributes(outcome: Outcome) -> Attributes:
    """Say how a request ended."""
    if not isinstance(outcome, int):
        return {"error.type": error_type(outcome)}
    found: Attributes = {"http.response.status_code": outcome}
    if outcome >= FIRST_ERROR_STATUS:
        found["error.type"] = str(outcome)
    return found


def error_type(kind: type[object]) -> str:
    """Return an exception's qualified name; built-in ones stand without their module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_description(error: BaseException) -> str | None:
    """Return the message alone: the story of the call that some errors append repeats the URL unredacted."""
    return str(error.args[0]) if error.args else None


def redacted(url: str) -> str:
    """Return the URL without credentials: neither userinfo nor signatures in its query."""
    if "@" in url:
        url = _USERINFO.sub(lambda found: f"{found[1]}REDACTED{':REDACTED' * (':' in found[2])}@", url)
    # Nearly all URLs have none, and to find that out by the expression costs ten times as much.
    if "X-Amz-" in url or "ignature=" in url or "sig=" in url or "KeyId=" in url:
        return _SECRET.sub(r"\1REDACTED", url)
    return url


@lru_cache(maxsize=1024)  # of few hosts, mostly
def split_address(text: str) -> tuple[str, int | None]:
    """Split `host:port`, `[v6]:port`, or a host alone."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        return text.strip("[]"), None
    return host.strip("[]"), int(port)


def _attributes(method: str, url: str, host: str, port: int | None, scheme: str) -> Attributes:
    found: Attributes
    if method in KNOWN_METHODS:
        found = {"http.request.method": method, "url.full": url, "server.address": host}
    else:
        found = {
            "http.request.method": "_OTHER",
            "http.request.method_original": method,
            "url.full": url,
            "server.address": host,
        }
    port = _PORTS.get(scheme) if port is None else port
    if port is not None:
        found["server.port"] = port
    return found
