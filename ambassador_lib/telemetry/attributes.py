"""What spans say, by OpenTelemetry's stable semantic conventions for HTTP clients. Plain functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..call import Attempt, Call

Attributes = dict[str, str | int]

KNOWN_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# `url.full`: "query string values for these keys SHOULD be redacted by default".
_SECRET = re.compile(r"([?&](?:AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-\w+)=)[^&#]*")
_USERINFO = re.compile(r"^([^:/?#]+://)([^/?#]*)@")


def method_name(method: str) -> str:
    """Return a span's name: the method, `HTTP` for one that the conventions do not know."""
    return method if method in KNOWN_METHODS else "HTTP"


def call_attributes(call: Call) -> Attributes:
    """Describe the logical request as the application made it."""
    url = call.request.url
    found = _method_attributes(call.method)
    found["url.full"] = redacted(str(url))
    found["server.address"] = url.host
    _add_port(found, url.port, url.scheme)
    return found


def try_attributes(call: Call, attempt: Attempt) -> Attributes:
    """Describe one try as the upstream sees it: rewritten host and path."""
    found = _method_attributes(call.method)
    found["url.full"] = redacted(f"{call.scheme}://{call.authority}{call.target}")
    host, port = split_address(call.authority.rpartition("@")[2])
    found["server.address"] = host
    _add_port(found, port, call.scheme)
    if attempt.number > 1:
        found["http.request.resend_count"] = attempt.number - 1
    if call.report.cluster:
        found["upstream_cluster.name"] = call.report.cluster
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


def error_type(error: BaseException) -> str:
    """Return the exception's qualified name; built-in ones stand without their module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_description(error: BaseException) -> str | None:
    """Return the message alone: the story of the call that some errors append repeats the URL unredacted."""
    return str(error.args[0]) if error.args else None


def redacted(url: str) -> str:
    """Return the URL without credentials: neither userinfo nor signatures in its query."""
    if "@" in url:
        url = _USERINFO.sub(lambda found: f"{found[1]}REDACTED{':REDACTED' * (':' in found[2])}@", url)
    return _SECRET.sub(r"\1REDACTED", url) if "=" in url else url


def split_address(text: str) -> tuple[str, int | None]:
    """Split `host:port`, `[v6]:port`, or a host alone."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        return text.strip("[]"), None
    return host.strip("[]"), int(port)


def _method_attributes(method: str) -> Attributes:
    if method in KNOWN_METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def _add_port(found: Attributes, port: int | None, scheme: str) -> None:
    port = _PORTS.get(scheme) if port is None else port
    if port is not None:
        found["server.port"] = port
