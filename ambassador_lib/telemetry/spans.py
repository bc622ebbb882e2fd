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


NANOSECONDS = 1e9
"""In a second."""


class Identity:
    """A span that is not recorded: what its headers tell."""

    __slots__ = ("told",)

    below: Callable[[], int] | None = None
    """Gives the ids of spans below it where none of them is recorded either."""

    def __init__(self, told: SpanContext) -> None:
        self.told = told

    def placed(self, above: Context) -> Context:
        """Return the context `above` with this span as its current one."""
        return trace.set_span_in_context(trace.NonRecordingSpan(self.told), above)


class Around(Identity):
    """What is around a call: a span of the application's or of whoever called it, or none (not valid)."""

    __slots__ = ()

    def placed(self, above: Context) -> Context:
        return above


class Unrecorded(Identity):
    """An identity whose spans below it are not recorded either."""

    __slots__ = ("below",)

    def __init__(self, told: SpanContext, below: Callable[[], int]) -> None:
        self.told = told
        self.below = below


class Recording(Identity):
    """A span that has to be ended, once; `attributes` are those that it has then, or gets then."""

    __slots__ = ("attributes", "is_open")

    attributes: Attributes
    is_open: bool

    def end(self, name: str, status: Status | None, now: float) -> None:
        """End the span: renamed unless `name` is empty; `status` `None` is unset, `now` in seconds."""


class Spans(Protocol):
    """A way to make spans."""

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        parent: Identity,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        """Start a span below `parent`, which stands in the context `above`; a `Recording` has to be ended.

        `describe(*facts)` returns its attributes, a dictionary of its own, of which some never want to know.
        """


class PublicSpans:
    """Spans of any tracer, by OpenTelemetry's API alone."""

    def __init__(self, tracer: Tracer, time: Callable[[], float]) -> None:
        self._tracer = tracer
        self._time = time

    def start(
        self,
        name: str,
        kind: SpanKind,
        above: Context,
        parent: Identity,
        describe: Callable[..., Attributes],
        *facts: Any,
    ) -> Identity:
        started = int(self._time() * NANOSECONDS)
        span = self._tracer.start_span(name, parent.placed(above), kind, describe(*facts), start_time=started)
        return Identity(span.get_span_context()) if type(span) is trace.NonRecordingSpan else _Started(span)


class _Started(Recording):
    """A span of somebody else's, recorded or not as he likes."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        super().__init__(span.get_span_context())
        self.attributes = {}
        self.is_open = True
        self._span = span

    def placed(self, above: Context) -> Context:
        return trace.set_span_in_context(self._span, above)

    def end(self, name: str, status: Status | None, now: float) -> None:
        span = self._span
        if name:
            span.update_name(name)
        span.set_attributes(self.attributes)
        if status is not None:
            span.set_status(status)
        span.end(int(now * NANOSECONDS))
