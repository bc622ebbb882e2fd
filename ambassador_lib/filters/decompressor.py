"""The decompressor filter: decodes gzip in both directions, and asks upstreams for it.

Source: `envoy.extensions.filters.http.decompressor.v3.Decompressor`; semantics 9.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from .._httpx import content_of
from ..algorithms.inflate import Inflater
from ..call import Answer, Call, Header, Next
from ..policy.model import filters as model
from ..routing.draws import runtime_flag
from ..routing.mutations import set_lower_header
from .base import FilterContext, Layer, Reply, Scope
from .coded import CodedBody

ENCODING = b"gzip"
_BODILESS = frozenset((204, 304))


class Decompressor:
    """The filter of one listener."""

    def __init__(self, config: model.Decompressor, context: FilterContext) -> None:
        library: model.GzipDecompressor = config.decompressor_library.typed_config
        bits, ratio, chunk = library.window_bits or 15, library.max_inflate_ratio or 100, library.chunk_size or 4096
        self._make: Callable[[], Inflater] = lambda: Inflater(bits, ratio, chunk)
        request = config.request_direction_config or model.Decompressor.RequestDirectionConfig()
        response = config.response_direction_config or model.Decompressor.ResponseDirectionConfig()
        self._request = request.common_config or model.Decompressor.CommonDirectionConfig()
        self._response = response.common_config or model.Decompressor.CommonDirectionConfig()
        self._decodes_requests = runtime_flag(self._request.enabled, context.values)
        self._decodes_responses = runtime_flag(self._response.enabled, context.values)
        self._asks = self._decodes_responses and request.advertise_accept_encoding is not False

    def prepare(self, config: Any) -> None:
        """No level of a route table sets anything for this filter."""

    def layer(self, scope: Scope, settings: Sequence[None]) -> Layer:  # noqa: ARG002 - every route alike
        """The same for every route."""
        return Layer(handle=self.handle, respond=self.respond if self._decodes_responses else None)

    def handle(self, call: Call, next: Next) -> Answer:
        """Decode the request's body, and ask for an encoded response."""
        if self._asks:
            _ask(call)
        if self._decodes_requests and _is_encoded(call.headers, self._request) and content_of(call.body) != b"":
            decoder = self._make()
            body = content_of(call.body)
            call.body = CodedBody(call.body, decoder) if body is None else httpx.ByteStream(decoder.feed(body))
            call.headers[:] = [*_decoded(call.headers), (b"transfer-encoding", b"chunked")]
        return next(call)

    def respond(self, call: Call, reply: Reply) -> None:
        """Decode the response's body."""
        response = reply.response
        if response is None or call.method == "HEAD" or reply.status in _BODILESS:
            return
        if _is_encoded(reply.headers, self._response):
            response.stream = CodedBody(response.stream, self._make())
            reply.headers[:] = [*_decoded(reply.headers), (b"transfer-encoding", b"chunked")]


def _ask(call: Call) -> None:
    """Put gzip behind what the caller accepts, in place of what he said of it."""
    joined = b",".join(value for name, value in call.headers if name == b"accept-encoding")
    accepted = [token.strip() for token in joined.split(b",")]
    others = [token for token in accepted if token and token.partition(b";")[0].strip().lower() != ENCODING]
    set_lower_header(call.headers, b"accept-encoding", b",".join((*others, ENCODING)))


def _is_encoded(headers: list[Header], config: model.Decompressor.CommonDirectionConfig) -> bool:
    found = {name.lower(): value for name, value in reversed(headers)}
    if found.get(b"content-encoding", b"").partition(b",")[0].strip().lower() != ENCODING:
        return False
    if config.ignore_no_transform_header:
        return True
    return b"no-transform" not in found.get(b"cache-control", b"").lower()


def _decoded(headers: list[Header]) -> list[Header]:
    """The headers without what is true of the encoded body only."""
    kept: list[Header] = []
    for name, value in headers:
        lower = name.lower()
        if lower == b"content-encoding" and b"," in value:
            kept.append((name, value.partition(b",")[2].strip()))
        elif lower not in (b"content-encoding", b"content-length", b"transfer-encoding"):
            kept.append((name, value))
    return kept
