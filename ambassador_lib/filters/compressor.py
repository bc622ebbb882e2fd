"""The compressor filter: encodes responses where the caller accepts it, and requests where the policy says so.

Source: `envoy.extensions.filters.http.compressor.v3.Compressor`; semantics 9.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import httpx

from .._httpx import content_of
from ..algorithms.accept_encoding import wants
from ..algorithms.deflate import LEVELS, STRATEGIES, Deflater
from ..call import Answer, Call, Header, Next
from ..engine.base import BODILESS
from ..policy.model import filters as model
from ..routing.draws import runtime_flag
from .base import FilterContext, Layer, Reply, Scope
from .coded import CodedBody

ENCODING = "gzip"
SHORTEST = 30
TYPES = frozenset(
    (
        "text/html", "text/plain", "text/css", "application/javascript", "application/x-javascript",
        "text/javascript", "text/x-javascript", "text/ecmascript", "text/js", "text/jscript", "text/x-js",
        "application/ecmascript", "application/x-json", "application/xml", "application/json", "image/svg+xml",
        "text/xml", "application/xhtml+xml", "application/grpc-web", "application/grpc-web+proto",
    )
)  # fmt: skip
_BODILESS = frozenset((204, 304))
_TRANSFER_ENCODINGS = frozenset(("gzip", "br", "deflate", "compress", "zstd"))
_STATUS = b"x-envoy-compression-status"

Make = Callable[[], Deflater]


@dataclass(frozen=True, slots=True)
class _Direction:
    """Which bodies are worth it."""

    is_on: bool
    shortest: int
    types: frozenset[str]

    def is_long_enough(self, headers: list[Header]) -> bool:
        length = joined(headers, b"content-length")
        return length is None or (length.isdigit() and int(length) >= self.shortest)

    def is_of_type(self, headers: list[Header]) -> bool:
        kind = joined(headers, b"content-type")
        return kind is None or kind.partition(b";")[0].strip().lower().decode("latin-1") in self.types


@dataclass(frozen=True, slots=True)
class _Level:
    """What one level of the route table sets; `None`: nothing."""

    is_on: bool | None = None
    hides_accepted: bool | None = None
    make: Make | None = None


class Compressor:
    """The filter of one listener."""

    def __init__(self, config: model.Compressor, context: FilterContext) -> None:
        self.make = _maker(config.compressor_library.typed_config)
        request = config.request_direction_config
        common = (request.common_config if request is not None else None) or model.Compressor.CommonDirectionConfig()
        self.requests = _direction(common, context, is_set=request is not None)
        self.config = config.response_direction_config or _older(config)
        common = self.config.common_config or model.Compressor.CommonDirectionConfig()
        self.responses = _direction(common, context)
        self.choose_first = config.choose_first

    def prepare(self, config: model.CompressorPerRoute) -> _Level:
        """Return what one level sets: for responses alone, but for the library."""
        if config.overrides is None:
            return _Level(is_on=False)
        response, library = config.overrides.response_direction_config, config.overrides.compressor_library
        level = _Level(make=None if library is None else _maker(library.typed_config))
        if response is None:
            return level
        return replace(level, is_on=True, hides_accepted=response.remove_accept_encoding_header)

    def layer(self, scope: Scope, settings: Sequence[_Level]) -> Layer:  # noqa: ARG002 - no route differs by itself
        """The most specific level counts."""
        made = _Encoding(self, settings[-1] if settings else _Level())
        return Layer(handle=made.handle, respond=made.respond if made.answers else None)


class _Encoding:
    """The filter on the calls of one route."""

    def __init__(self, owner: Compressor, level: _Level) -> None:
        config = owner.config
        self._owner = owner
        self._make = level.make or owner.make
        self._requests = owner.requests
        self._responses = owner.responses
        self.answers = owner.responses.is_on if level.is_on is None else level.is_on
        hides = config.remove_accept_encoding_header if level.hides_accepted is None else level.hides_accepted
        self._hides_accepted = self.answers and hides
        self._weakens = config.weaken_etag_on_compress
        self._minds_etag = config.disable_on_etag_header and not self._weakens
        self._codes = frozenset(config.uncompressible_response_codes)
        self._tells = config.status_header_enabled

    def handle(self, call: Call, next: Next) -> Answer:
        """Encode the request's body; remember what the caller accepts, as it may be hidden from those behind."""
        accepted = joined(call.headers, b"accept-encoding")
        notes = call.notes or {}
        call.notes = {**notes, id(self): accepted, Compressor: (*notes.get(Compressor, ()), self._owner)}
        if self._hides_accepted and accepted is not None:
            call.headers[:] = [header for header in call.headers if header[0] != b"accept-encoding"]
        if self._is_request_encoded(call):
            encoder, body = self._make(), content_of(call.body)
            call.body = CodedBody(call.body, encoder) if body is None else httpx.ByteStream(encoder.whole(body))
            call.headers[:] = _encoded(call.headers)
        return next(call)

    def _is_request_encoded(self, call: Call) -> bool:
        wanted, headers = self._requests, call.headers
        return (
            wanted.is_on
            and content_of(call.body) != b""
            and wanted.is_long_enough(headers)
            and wanted.is_of_type(headers)
            and joined(headers, b"content-encoding") is None
            and not _is_transfer_encoded(headers)
        )

    def respond(self, call: Call, reply: Reply) -> None:
        """Encode the response's body, and say that what the caller accepts makes a difference."""
        headers = reply.headers
        if joined(headers, b"content-encoding") is not None or _has_token(headers, b"cache-control", "no-transform"):
            return
        has_body = _has_body(call, reply)
        reason = self._reason(reply)
        if reason:
            if self._tells and has_body:
                headers.append((_STATUS, f"{ENCODING};{reason}".encode()))
            return
        if has_body and self._is_wanted(call, reply) and not _is_transfer_encoded(headers):
            self._encode(reply)
        _add_vary(reply.headers)

    def _reason(self, reply: Reply) -> str:
        """Return why the response is not encoded whoever asks for it, in Envoy's words; empty if it may be."""
        headers, wanted = reply.headers, self._responses
        if not wanted.is_long_enough(headers):
            return "ContentLengthTooSmall"
        if not wanted.is_of_type(headers):
            return "ContentTypeNotAllowed"
        if self._minds_etag and joined(headers, b"etag") is not None:
            return "EtagNotAllowed"
        return "StatusCodeNotAllowed" if reply.status in self._codes else ""

    def _is_wanted(self, call: Call, reply: Reply) -> bool:
        """Ask `accept-encoding`; of several compressors, the first one for this type says whether it wins ties."""
        notes = call.notes or {}
        accepted = notes.get(id(self))
        if accepted is None:
            return False
        owners = notes[Compressor]
        first = next((one for one in owners if one.responses.is_of_type(reply.headers)), self._owner)
        return wants(accepted.decode("latin-1"), ENCODING, choose_first=first.choose_first)

    def _encode(self, reply: Reply) -> None:
        length = joined(reply.headers, b"content-length") or b""
        headers = _encoded(reply.headers)
        for index, (name, value) in reversed(list(enumerate(headers))):
            if name.lower() == b"etag" and value[:2].lower() != b"w/":
                headers[index : index + 1] = [(name, b"W/" + value)] if self._weakens else []
        if self._tells:
            headers.append((_STATUS, b"gzip;Compressed;OriginalLength=" + length))
        reply.headers[:] = headers
        encoder = self._make()
        if reply.response is None:
            reply.body = encoder.whole(reply.body)
        else:
            reply.response.stream = CodedBody(reply.response.stream, encoder)


def joined(headers: list[Header], name: bytes) -> bytes | None:
    """Return all lines of a header as one; `None` where there is none."""
    found = [value for key, value in headers if key.lower() == name]
    return b",".join(found) if found else None


def _direction(
    config: model.Compressor.CommonDirectionConfig, context: FilterContext, *, is_set: bool = True
) -> _Direction:
    return _Direction(
        is_on=is_set and runtime_flag(config.enabled, context.values),
        shortest=config.min_content_length or SHORTEST,
        types=frozenset(one.lower() for one in config.content_type) or TYPES,
    )


def _older(config: model.Compressor) -> model.Compressor.ResponseDirectionConfig:
    """What the filter's older fields say of responses."""
    common = model.Compressor.CommonDirectionConfig(
        enabled=config.runtime_enabled, min_content_length=config.content_length, content_type=config.content_type
    )
    return model.Compressor.ResponseDirectionConfig(
        common_config=common,
        disable_on_etag_header=config.disable_on_etag_header,
        remove_accept_encoding_header=config.remove_accept_encoding_header,
    )


def _maker(library: model.GzipCompressor) -> Make:
    level, strategy = LEVELS[library.compression_level], STRATEGIES[library.compression_strategy]
    window, memory = library.window_bits or 12, library.memory_level or 5
    return lambda: Deflater(level, window, memory, strategy)


def _has_body(call: Call, reply: Reply) -> bool:
    if call.method == "HEAD" or reply.status in _BODILESS:
        return False
    if reply.response is not None:
        return BODILESS not in reply.response.extensions
    return reply.body != b""


def _has_token(headers: list[Header], name: bytes, token: str) -> bool:
    value = joined(headers, name)
    return value is not None and token in (one.strip().lower() for one in value.decode("latin-1").split(","))


def _is_transfer_encoded(headers: list[Header]) -> bool:
    value = joined(headers, b"transfer-encoding")
    if value is None:
        return False
    return not _TRANSFER_ENCODINGS.isdisjoint(one.strip().lower() for one in value.decode("latin-1").split(","))


def _encoded(headers: list[Header]) -> list[Header]:
    """The headers of the encoded body."""
    kept = [header for header in headers if header[0].lower() not in (b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-encoding", ENCODING.encode()), (b"transfer-encoding", b"chunked")]


def _add_vary(headers: list[Header]) -> None:
    """Name `Accept-Encoding` unless it is named with these very letters, as Envoy does."""
    value = joined(headers, b"vary")
    if value is None:
        headers.append((b"vary", b"Accept-Encoding"))
    elif b"Accept-Encoding" not in (one.strip() for one in value.split(b",")):
        at = next(index for index, (name, _) in enumerate(headers) if name.lower() == b"vary")
        name = headers[at][0]
        headers[:] = [header for header in headers if header[0].lower() != b"vary"]
        headers.insert(at, (name, value + b", Accept-Encoding"))
