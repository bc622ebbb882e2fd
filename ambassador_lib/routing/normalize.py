"""Changes to path and Host before routing, on request of the connection manager (semantics 1.1)."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy.model.listener import HttpConnectionManager

_SLASHES = re.compile("/{2,}")
_ESCAPE = re.compile("%([0-9a-fA-F]{2})")
_SLASH_ESCAPE = re.compile("%(2|5)(?:(?<=2)[fF]|(?<=5)[cC])")
_DOT_PARAMETERS = re.compile(r"(?<=/)(\.{1,2});[^/]*")
_UNESCAPED = frozenset(string.ascii_letters + string.digits + "-._~")
_KEPT = frozenset(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@%/[]")


UNESCAPING = ("REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
"""Of `path_with_escaped_slashes_action`: those that look for escaped slashes."""


def unescape_slashes(target: str) -> str:
    """Decode `%2F` and `%5C` in the path. Source: `HttpConnectionManager.path_with_escaped_slashes_action`."""
    path, mark, query = target.partition("?")
    return _SLASH_ESCAPE.sub(lambda found: "/" if found[1] == "2" else "\\", path) + mark + query


def normalize_path(target: str) -> str | None:
    r"""Resolve dot segments, decode what needs no escape, turn `\` into `/`; `None` if the path is not acceptable.

    Source: `HttpConnectionManager.normalize_path` (RFC 3986, 6.2.2). The query is left alone.
    """
    path, mark, query = target.partition("?")
    if not path.startswith("/") or "%00" in path:
        return None
    path = _DOT_PARAMETERS.sub(r"\1", path)  # "..;x" counts as "..", but only where no dot is encoded
    path = _ESCAPE.sub(_decode, path).replace("\\", "/")
    path = "".join(character if character in _KEPT else _escape(character) for character in path)
    return _without_dots(path) + mark + query


def _decode(escape: re.Match[str]) -> str:
    character = chr(int(escape.group(1), 16))
    return character if character in _UNESCAPED else escape.group(0)


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("latin-1"))


def _without_dots(path: str) -> str:
    resolved: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if resolved:
                resolved.pop()
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in (".", ".."):
        resolved.append("")
    return "/" + "/".join(resolved)


def merge_slashes(target: str) -> str:
    """Make one slash of several in the path. Source: `HttpConnectionManager.merge_slashes`."""
    path, mark, query = target.partition("?")
    return _SLASHES.sub("/", path) + mark + query


def port_start(authority: str) -> int | None:
    """Return where the port begins with its colon, `None` if there is none; a bare colon is no port."""
    at = authority.rfind(":")
    return None if at < 0 or at < authority.rfind("]") or at + 1 == len(authority) else at


def without_port(authority: str) -> str:
    """Return the host alone; a bare colon goes, too. Source: `RouteConfiguration.ignore_port_in_host_matching`."""
    at = authority.rfind(":")
    return authority if at < authority.rfind("]") or at < 0 else authority[:at]


def strip_any_host_port(authority: str) -> str:
    """Cut the port off. Source: `HttpConnectionManager.strip_any_host_port`."""
    return authority[: port_start(authority)]


def strip_matching_host_port(authority: str, listener_port: int) -> str:
    """Cut the port off if it is the listener's. Source: `HttpConnectionManager.strip_matching_host_port`."""
    at = port_start(authority)
    return authority[:at] if at is not None and authority[at + 1 :] == str(listener_port) else authority


def strip_trailing_host_dot(authority: str) -> str:
    """Cut a dot behind the host off, port or not. Source: `HttpConnectionManager.strip_trailing_host_dot`."""
    at = port_start(authority)
    host, port = authority[:at], "" if at is None else authority[at:]
    return host.removesuffix(".") + port


def strip_host(authority: str, manager: HttpConnectionManager, listener_port: int) -> str:
    """Do to the authority all that the connection manager asks for."""
    if manager.strip_trailing_host_dot:
        authority = strip_trailing_host_dot(authority)
    if manager.strip_any_host_port:
        return strip_any_host_port(authority)
    if manager.strip_matching_host_port:
        return strip_matching_host_port(authority, listener_port)
    return authority
