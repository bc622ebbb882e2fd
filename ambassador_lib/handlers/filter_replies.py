"""The way back through the HTTP filters, for responses and for local replies alike (semantics 9)."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from .._httpx import make_headers
from ..call import Call, Next
from ..errors import AmbassadorError, LocalReply
from ..filters.base import Reply, Respond, mutate


class FilterReplies:
    """Shows every response to the filters, from the last to the first.

    A local reply passes all of them as well, whichever made it: Envoy begins its way back at the end of the chain,
    even for what it refuses before there is a route. `shape` gives it its final form first.
    """

    def __init__(self, unrouted: tuple[Respond, ...], shape: Callable[[Call, LocalReply], None]) -> None:
        self._unrouted = unrouted
        self._shape = shape

    async def handle(self, call: Call, next: Next) -> httpx.Response:
        try:
            response = await next(call)
        except AmbassadorError as error:
            self._reply(call, error.reply)
            raise
        responds = call.responds
        if responds:
            call.code = response.status_code
            headers = response.headers.raw
            before = headers.copy()
            reply = Reply(response.status_code, headers, response)
            for respond in responds:
                respond(call, reply)
            if headers != before:
                response.headers = make_headers(headers)
        return response

    def _reply(self, call: Call, reply: LocalReply) -> None:
        mutate(call, reply)
        # What is refused before there is a route passes the filters as what none claims does.
        responds = self._unrouted if call.responds is None else call.responds
        if responds:
            self._shape(call, reply)
            call.code = reply.status
            body = reply.body.encode("utf-8", "surrogateescape")
            shown = Reply(reply.status, reply.headers, None, body)
            for respond in responds:
                respond(call, shown)
            if shown.body is not body:
                reply.body = shown.body.decode("utf-8", "surrogateescape")
