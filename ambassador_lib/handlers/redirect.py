"""Redirects that are followed in the application's place (`internal_redirect_policy`; semantics 1.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .._httpx import content_of
from ..call import Call, Next
from ..errors import Redirected
from ..routing.redirects import SEE_OTHER

if TYPE_CHECKING:
    from ..routing.redirects import Redirects
    from ..runtime.base import Runtime


class InternalRedirect:
    """Sends the call on its way again, where the answer of an upstream says so and the whole request is at hand."""

    def __init__(self, redirects: Redirects, runtime: Runtime) -> None:
        self._redirects = redirects
        self._runtime = runtime

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        response = await next(call)
        status = response.status_code
        if status not in self._redirects.codes or call.find_route is None or not _whole(call):
            return response
        if not self._redirects.accept(call, response.headers.raw, call.find_route):
            return response
        if status == SEE_OTHER and call.method not in ("GET", "HEAD"):
            call.method = "GET"
            call.body = httpx.ByteStream(b"")
            call.headers = [
                header for header in call.headers if header[0] not in (b"content-length", b"transfer-encoding")
            ]
        call.attempt.retried_because = "internal redirect"
        await self._runtime.discard(response)
        raise Redirected


def _whole(call: Call) -> bool:
    """Whether the request has ended, and all of its body is there to be sent again."""
    if call.request_ended is None:
        return False
    recording = getattr(call.body, "recording", None)
    if recording is not None:
        return bool(recording.ended and recording.can_replay)
    return isinstance(call.body, httpx.ByteStream) and len(content_of(call.body) or b"") <= call.body_limit
