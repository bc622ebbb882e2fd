"""What a connection manager makes of replies of its own (semantics 12.3): mapped by the first filter that applies,
then formatted. Direct responses and redirects of routes are such replies, too; an upstream's never is.

Source: `HttpConnectionManager.local_reply_config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .log_filters import LogCondition, LogFilters
from .mutations import HeaderMutation, compile_response
from .respond import Formatted, frame, read

if TYPE_CHECKING:
    from ..call import Call, Header
    from ..policy.model.access_log import LocalReplyConfig, ResponseMapper
    from ..runtime.base import Clock


class Mapper:
    """One mapper, compiled."""

    __slots__ = ("body", "body_format", "condition", "mutations", "status")

    def __init__(self, model: ResponseMapper, filters: LogFilters, clock: Clock) -> None:
        self.condition: LogCondition = filters.compile(model.filter)
        self.status = model.status_code
        self.body = None if model.body is None else read(model.body)
        form = model.body_format_override
        self.body_format = None if form is None else Formatted(form, clock)
        self.mutations: tuple[HeaderMutation, ...] = compile_response(model.headers_to_add, (), clock)


class LocalReplyRewrite:
    """Finishes replies: maps and formats them as the configuration asks for, and frames them."""

    __slots__ = ("_body_format", "_mappers")

    def __init__(self, config: LocalReplyConfig | None, filters: LogFilters, clock: Clock) -> None:
        models = () if config is None else config.mappers
        self._mappers = tuple(Mapper(model, filters, clock) for model in models)
        form = None if config is None else config.body_format
        self._body_format = None if form is None else Formatted(form, clock)

    def finish(
        self, call: Call, status: int, headers: list[Header], body: bytes, grpc: int | None = None
    ) -> tuple[int, list[Header], bytes]:
        """Return the reply as it leaves; filters and added headers see the status as it was, the format the new one.

        `grpc` is the gRPC status, where it is not what stands for the HTTP status.
        """
        body_format = self._body_format
        if self._mappers or body_format is not None:
            call.code = status
            mapper = next((one for one in self._mappers if one.condition(call, status, headers)), None)
            if mapper is not None:
                for level in mapper.mutations:
                    level.apply(headers, call, status, headers)
                body = body if mapper.body is None else mapper.body
                body_format = mapper.body_format or body_format
                status = call.code = mapper.status or status
        if body_format is None:
            return frame(call, status, headers, body, grpc=grpc)
        body = body_format.body(call, status, headers, body)
        return frame(call, status, headers, body, body_format.content_type, grpc)
