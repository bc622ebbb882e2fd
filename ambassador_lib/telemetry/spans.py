"""What all spans have in common, however they are made: an identity; and the public way to make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Link, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, SpanKind, Status, Tracer

    from .attributes import Attributes

FLAGS = tuple(TraceFlags(number) for number in range(4))
NO_LINKS: tuple[Link, ...] = ()


class Identity:
    """A span that is not recorded: what its headers tell, and what hangs below it.

    `below` gives the ids of spans below it where none of them is recorded either; else `None`.
    """

    __slots__ = ("below", "told")

    recording = False

    def __init__(self, told: SpanContext, below: Callable[[], int] | None = None) -> None:
        self.told = told
        self.below = below

    def placed(self, above: Context) -> Context:
        """Return the context `above` with this span as its current one."""
        return trace.set_span_in_context(trace.NonRecordingSpan(self.told), above)

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        """End the span: renamed unless `name` is empty, with these attributes besides; `status` `None` is unset."""


class Spans(Protocol):
    """A way to make spans; `now`, where it is asked for, is in nanoseconds."""

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        below: Identity | None,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        """Start a span below the span `below`, else below the current one of `above`.

        `describe(*facts)` returns its attributes, of which some never want to know.
        """


class PublicSpans:
    """Spans of any tracer, by OpenTelemetry's API alone."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self._tracer = tracer
        self._now = now

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        below: Identity | None,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        context = above if below is None else below.placed(above)
        span = self._tracer.start_span(name, context, kind, describe(*facts), start_time=self._now())
        return Identity(span.get_span_context()) if type(span) is trace.NonRecordingSpan else _Started(span)


class _Started(Identity):
    """A span of somebody else's, recorded or not as he likes."""

    __slots__ = ("_span",)

    recording = True

    def __init__(self, span: trace.Span) -> None:
        super().__init__(span.get_span_context())
        self._span = span

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(self._span, above)

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        span = self._span
        if name:
            span.update_name(name)
        span.set_attributes(attributes)
        if status is not None:
            span.set_status(status)
        span.end(now)
