"""Replies of our own: an exception, or the very response that the sidecar would have sent (semantics 12)."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx

from .._httpx import content_of, make_headers
from ..algorithms.grpc_status import DEADLINE_EXCEEDED
from ..call import Call, Header, Next
from ..engine.base import BODILESS
from ..errors import AmbassadorError, LocalReply
from ..policy.runtime_layers import GRPC_DEADLINE_EXCEEDED, HIDES_FAILURE_REASON
from ..routing.joined import RESPONSE_HEADERS, on_one_line

if TYPE_CHECKING:
    from ..policy.model import HttpConnectionManager
    from ..routing.local_reply import LocalReplyRewrite
    from ..runtime.base import Clock

CLOSING = frozenset((400, 431))
"""Statuses of replies to what may be no request at all; a sidecar closes the caller's connection behind them."""
CLOSE = (b"connection", b"close")
_NO_LENGTH = frozenset((204, 304))

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"proxy-connection", b"upgrade"))


class LocalReplies:
    """Turns errors into responses (`local_replies="response"`), or gives them their response and lets them pass."""

    def __init__(
        self,
        manager: HttpConnectionManager,
        rewrite: LocalReplyRewrite,
        clock: Clock,
        *,
        as_response: bool,
        runtime: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._as_response = as_response
        self._rewrite = rewrite
        self._clock = clock
        self._server = (manager.server_name or "envoy").encode()
        self._overwrite = manager.server_header_transformation
        self._via = manager.via.encode()
        self._return_request_id = manager.always_set_request_id_in_response
        self._hides_failure_reason = runtime.get(HIDES_FAILURE_REASON) is not False
        self._grpc_deadline_exceeded = runtime.get(GRPC_DEADLINE_EXCEEDED) is True

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        try:
            response = await next(call)
        except AmbassadorError as error:
            reply = self.failed(call, error)
            if reply is None:
                raise
            return reply
        self.response(call, response)
        return response

    def response(self, call: Call, response: httpx.Response) -> None:
        """Note what came of the call, and dress it as a sidecar would."""
        report = call.report
        report.status = response.status_code
        if not report.details:
            report.details = "via_upstream"
        if self._as_response:
            headers = self._dressed(call, response.headers.raw)
            if BODILESS in response.extensions:
                _tell_no_length(call, response.status_code, headers)
            if call.is_last or _is_unfinished(call):
                headers.append(CLOSE)
            response.headers = make_headers(headers)

    def failed(self, call: Call, error: AmbassadorError) -> httpx.Response | None:
        """Give the error its response, and return that if it is to be given in place of the error."""
        reply = error.reply
        call.flag(reply.flag)
        call.report.details = reply.details
        response = error.response = self._respond(call, reply)
        if self._as_response:
            call.unbound()
            return response
        response.read()
        return None

    def shape(self, call: Call, reply: LocalReply) -> None:
        """Give a reply the form that the application gets, but for what every response is dressed with."""
        if reply.shaped:
            return
        reply.shaped = True
        if reply.reason and not self._hides_failure_reason:
            reply.body += f", transport failure reason: {reply.reason}"
        if reply.flag == "UT" and self._grpc_deadline_exceeded:
            reply.grpc_status = DEADLINE_EXCEEDED
        status, headers, body = self._rewrite.finish(
            call, reply.status, reply.headers, reply.body.encode("utf-8", "surrogateescape"), reply.grpc_status
        )
        call.report.status = reply.status if call.code is None else call.code
        reply.status, reply.headers, reply.body = status, headers, body.decode("utf-8", "surrogateescape")

    def _respond(self, call: Call, reply: LocalReply) -> httpx.Response:
        closing = call.is_last or reply.status in CLOSING or _is_unfinished(call)
        self.shape(call, reply)
        headers = self._dressed(call, reply.headers)
        if closing:
            headers.append(CLOSE)
        # Not `content=`: a response that is read already could not be streamed by the application any more.
        return httpx.Response(
            reply.status,
            headers=headers,
            stream=httpx.ByteStream(reply.body.encode("utf-8", "surrogateescape")),
            request=call.request,
            extensions={"ambassador": call.report},
        )

    def _dressed(self, call: Call, headers: list[Header]) -> list[Header]:
        """What a sidecar does to every response on its way to the application (semantics 1.3)."""
        dressed = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        names = {name.lower() for name, _ in dressed}
        if len(names) != len(dressed):
            on_one_line(dressed, RESPONSE_HEADERS)
        if self._overwrite == "OVERWRITE":
            dressed = [header for header in dressed if header[0].lower() != b"server"]
            dressed.append((b"server", self._server))
        elif self._overwrite == "APPEND_IF_ABSENT" and b"server" not in names:
            dressed.append((b"server", self._server))
        if b"date" not in names:
            dressed.append((b"date", formatdate(self._clock.time(), usegmt=True).encode()))
        if self._via:
            dressed = _append_via(dressed, self._via)
        returned = self._return_request_id or (call.internal and call.header(b"x-envoy-force-trace") is not None)
        if returned and (request_id := call.header(b"x-request-id")):
            dressed = [header for header in dressed if header[0].lower() != b"x-request-id"]
            dressed.append((b"x-request-id", request_id))
        return dressed


def _is_unfinished(call: Call) -> bool:
    """Whether the answer comes before the whole request: a sidecar then closes the connection behind it."""
    return call.request_ended is None and content_of(call.body) != b""


def _tell_no_length(call: Call, status: int, headers: list[Header]) -> None:
    """A sidecar's HTTP/1.1 caller is told that nothing follows, where HTTP/2 said it without words."""
    if call.method == "HEAD" or status in _NO_LENGTH or any(name.lower() == b"content-length" for name, _ in headers):
        return
    headers.append((b"content-length", b"0"))


def _append_via(headers: list[Header], via: bytes) -> list[Header]:
    for index, (name, value) in enumerate(headers):
        if name.lower() == b"via":
            headers[index] = (name, value + b", " + via)
            return headers
    return [*headers, (b"via", via)]
