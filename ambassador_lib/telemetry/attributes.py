"""What spans say, by OpenTelemetry's stable semantic conventions for HTTP clients. Plain functions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .._httpx import parts_of
from .unchangeable import Kept

if TYPE_CHECKING:
    from collections.abc import Hashable

    import httpx

Attributes = dict[str, str | int]
Outcome = int | type[object]
"""How a request ended: with a status, or with an exception of this type."""

KNOWN_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
SPAN_NAMES = {method: method for method in KNOWN_METHODS}
OTHER_NAME = "HTTP"
"""Of spans whose method the conventions do not know."""
FIRST_ERROR_STATUS = 400
"""HTTP semantic conventions: for a client, 4xx are errors too."""
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

KEPT = 1024
KEPT_LENGTH = 2048
"""Descriptions of requests that are kept, and characters of the longest URL in them: 5 MB at most, usually a tenth."""


_kept: dict[Hashable, Attributes] = {}

# `url.full`: "query string values for these keys SHOULD be redacted by default".
_SECRET = re.compile(r"([?&](?:AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-\w+)=)[^&#]*")
_USERINFO = re.compile(r"^([^:/?#]+://)([^/?#]*)@")


def call_attributes(method: str, url: httpx.URL) -> Attributes:
    """Describe the logical request as the application made it."""
    key = (method, parts_of(url))
    return dict(_kept.get(key) or keep(key, described_call(method, url)))


def described_call(method: str, url: httpx.URL) -> Attributes:
    """Do the same without looking for what is known."""
    return _attributes(method, str(url), url.host, url.port, url.scheme)


def try_attributes(
    method: str, scheme: str, authority: str, target: str, number: int, cluster: str | None
) -> Attributes:
    """Describe one try as the upstream sees it: rewritten host and path."""
    key = (method, scheme, authority, target, cluster)
    found = dict(_kept.get(key) or keep(key, _upstream_attributes(*key)))
    if number > 1:
        found["http.request.resend_count"] = number - 1
    return found


@lru_cache(maxsize=1024)
def peer_attributes(peer: str) -> Attributes:
    """Describe the other end of a connection, `address:port`; shared, so never changed."""
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


def _upstream_attributes(method: str, scheme: str, authority: str, target: str, cluster: str | None) -> Attributes:
    host, port = split_address(authority.rpartition("@")[2])
    found = _attributes(method, f"{scheme}://{authority}{target}", host, port, scheme)
    if cluster:
        found["upstream_cluster.name"] = cluster
    return found


def _attributes(method: str, url: str, host: str, port: int | None, scheme: str) -> Attributes:
    found: Attributes = {"http.request.method": method}
    if method not in KNOWN_METHODS:
        found = {"http.request.method": "_OTHER", "http.request.method_original": method}
    found["url.full"] = redacted(url)
    found["server.address"] = host
    port = _PORTS.get(scheme) if port is None else port
    if port is not None:
        found["server.port"] = port
    return found


def kept(key: Hashable) -> Attributes | None:
    """Return what was kept under a key."""
    return _kept.get(key)


def keep(key: Hashable, found: Attributes) -> Attributes:
    """Keep what most calls will say again: of a long URL, or one that comes with its signature, few will."""
    url = str(found["url.full"])
    if len(url) <= KEPT_LENGTH and "REDACTED" not in url:
        if len(_kept) >= KEPT:
            _kept.clear()
        _kept[key] = found = Kept(found)
    return found
