"""Answers that a route gives without an upstream: direct responses, redirects, no forwarding (semantics 1.6)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from ..algorithms.grpc_status import grpc_message, grpc_status, is_grpc
from .format import Render, compile_format
from .request_parts import scheme_of
from .rewrite import compile_path_rewrite, rewrite_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..call import Call, Header
    from ..policy.model.core import DataSource, SubstitutionFormatString
    from ..policy.model.route import DirectResponseAction, RedirectAction, Route
    from ..runtime.base import Clock

_REDIRECT_STATUS = {
    "MOVED_PERMANENTLY": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}
_BODILESS = (204, 304)


class Formatted:
    """A body's format and the content type that goes with it. Source: `SubstitutionFormatString`."""

    __slots__ = ("_render", "content_type")

    def __init__(self, form: SubstitutionFormatString, clock: Clock) -> None:
        self._render: Render = compile_format(form, read, clock)
        default = "text/plain" if form.json_format is None else "application/json"
        self.content_type = (form.content_type or default).encode()

    def body(self, call: Call, status: int, headers: Sequence[Header], local: bytes) -> bytes:
        """Return the body; `local` is what it would have been, the operator LOCAL_REPLY_BODY."""
        call.local_body = local
        try:
            return self._render(call, status, headers)
        finally:
            call.local_body = b""


class Answer(Protocol):
    """What a route answers by itself; `headers` go before the route's mutations, framing comes after them."""

    status: int
    body: bytes
    form: Formatted | None
    """Makes another body of `body`, for each call."""
    details: str
    flag: str

    def headers(self, call: Call) -> list[Header]:
        """Return the headers that the answer has of itself; a rewrite may change the call."""


def compile_answer(route: Route, clock: Clock, *, suppress_envoy_headers: bool) -> Answer | None:
    """Return what the route answers by itself, `None` if it forwards."""
    if route.direct_response is not None:
        return DirectResponse(route.direct_response, clock)
    if route.redirect is not None:
        return Redirect(route, route.redirect, suppress_envoy_headers=suppress_envoy_headers)
    if route.route is None:
        return NotForwarded()
    return None


class DirectResponse:
    """A fixed answer; its body is read when the table is built."""

    details = "direct_response"
    flag = ""

    def __init__(self, action: DirectResponseAction, clock: Clock) -> None:
        self.status = action.status
        self.form = None if action.body_format is None else Formatted(action.body_format, clock)
        self.body = b"" if action.body is None or action.status in _BODILESS else read(action.body)

    def headers(self, call: Call) -> list[Header]:
        """Return a location where the status has one, and the content type of a formatted body."""
        headers: list[Header] = []
        if self.status == 201 or 300 <= self.status < 400:  # Envoy adds the request's own URL to these
            headers.append(_location(f"{scheme_of(call)}://{call.authority}{call.target}"))
        if self.form is not None:
            headers.append((b"content-type", self.form.content_type))
        return headers


class Redirect:
    """An absolute `location`, put together from the request's URL and what the action replaces of it."""

    details = "direct_response"
    flag = ""
    body = b""
    form: Formatted | None = None

    def __init__(self, route: Route, action: RedirectAction, *, suppress_envoy_headers: bool) -> None:
        self.status = _REDIRECT_STATUS[action.response_code]
        self._action = action
        self._scheme = action.scheme_redirect or ("https" if action.https_redirect else None)
        self._port = f":{action.port_redirect}" if action.port_redirect else ""
        self._rewrite = compile_path_rewrite(route.match, action.prefix_rewrite, action.regex_rewrite)
        self._keep_original = not suppress_envoy_headers

    def headers(self, call: Call) -> list[Header]:
        """Return the location."""
        rewritten = None if self._rewrite is None else self._rewrite(call.target)
        rewrite_path(call, rewritten, keep_original=self._keep_original)
        scheme = self._scheme or scheme_of(call)
        host = self._action.host_redirect or self._host(call, scheme)
        target = self._target(call.target if rewritten is None else rewritten)
        slash = "" if target.startswith("/") else "/"  # a rewrite may have lost it
        return [_location(f"{scheme}://{host}{self._port}{slash}{target}")]

    def _host(self, call: Call, scheme: str) -> str:
        """Return the request's host, without a port that is replaced or was the default of the scheme left."""
        host = call.authority
        at = host.rfind("]:") + 1 if host.startswith("[") else host.rfind(":")
        if at <= 0:
            return host
        proto = forwarded_proto(call)
        default_port = {"https": ":443", "http": ":80"}.get(proto)
        if self._port or (scheme != proto and host[at:] == default_port):
            return host[:at]
        return host

    def _target(self, target: str) -> str:
        action = self._action
        if action.path_redirect:
            if "?" in action.path_redirect:  # its own query wins, and is not stripped
                return action.path_redirect
            _, mark, query = target.partition("?")
            target = action.path_redirect + mark + query
        return target.partition("?")[0] if action.strip_query else target


class TlsRedirect:
    """The answer to plain HTTP where `VirtualHost.require_tls` wants TLS: the same URL with https, port and all."""

    status = 301
    body = b""
    form: Formatted | None = None
    details = "direct_response"
    flag = ""

    def headers(self, call: Call) -> list[Header]:
        """Return the location."""
        return [_location(f"https://{call.authority}{call.target}")]


class NotForwarded:
    """`non_forwarding_action` under a plain router is no cluster found."""

    status = 503
    body = b""
    form: Formatted | None = None
    details = "cluster_not_found"
    flag = "NC"

    def headers(self, call: Call) -> list[Header]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return []


def frame(
    call: Call,
    status: int,
    headers: list[Header],
    body: bytes,
    body_type: bytes = b"text/plain",
    grpc: int | None = None,
) -> tuple[int, list[Header], bytes]:
    """Add what frames the body; to a gRPC request, turn the answer into one that has trailers only.

    `body_type` is the content type of a body that no header gives another one, `grpc` the gRPC status if it is not what
    stands for the HTTP status.
    """
    if is_grpc(call.header(b"content-type")):
        code = grpc_status(status) if grpc is None else grpc
        headers = [header for header in headers if header[0] != b"content-type"]
        told_all = call.method != "HEAD"  # which is told neither a length nor a message (verified)
        headers += [
            *([(b"content-length", b"0")] if told_all else ()),
            (b"content-type", b"application/grpc"),
            (b"grpc-status", b"%d" % code),
        ]
        if body and told_all:
            headers.append((b"grpc-message", grpc_message(body.decode("utf-8", "replace"))))
        return 200, headers, b""
    if not body:
        headers = [header for header in headers if header[0] != b"content-type"]
    elif all(name != b"content-type" for name, _ in headers):
        headers.append((b"content-type", body_type))
    if status in _BODILESS or (call.method == "HEAD" and not body):  # Envoy does not say that nothing would follow
        return status, headers, b""
    headers.append((b"content-length", b"%d" % len(body)))
    return status, headers, b"" if call.method == "HEAD" else body


def forwarded_proto(call: Call) -> str:
    """Return what the caller is believed to have used: `x-forwarded-proto`, which every request carries."""
    value = call.header(b"x-forwarded-proto")
    return value.decode("latin-1") if value else call.scheme


def read(source: DataSource) -> bytes:
    """Return the bytes of a data source; `ValueError` if there are none to be had."""
    if source.inline_string is not None:
        return source.inline_string.encode()
    if source.inline_bytes is not None:
        return source.inline_bytes
    if source.filename is not None:
        try:
            with open(source.filename, "rb") as file:
                return file.read()
        except OSError as error:
            raise ValueError(f"cannot read {source.filename!r}: {error.strerror}") from error
    if source.environment_variable is not None:
        value = os.environ.get(source.environment_variable)
        if value is None:
            raise ValueError(f"environment variable {source.environment_variable!r} is not set")
        return value.encode()
    return b""


def _location(url: str) -> Header:
    return (b"location", url.encode("latin-1", "replace"))
