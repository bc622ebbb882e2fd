"""What all spans have in common, however they are made: an identity; and the public way to make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Link, TraceFlags

from .attributes import OTHER_NAME, SPAN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import SpanContext, SpanKind, Status, Tracer

    from .attributes import Attributes

FLAGS = tuple(TraceFlags(number) for number in range(4))
NO_LINKS: tuple[Link, ...] = ()
Facts = tuple[Any, ...]
"""What a span is about, as `describe` takes it; its method is the first."""


class Identity:
    """A span that is not recorded: what its headers tell.

    That of a logical request, `call.span`, has besides what the spans of its tries are made from. `above` is the
    context around it. `spans` is `None` where the policy decided against tracing this request: identities travel on,
    marked as not sampled, and nothing is recorded (semantics 11.2). `wire` is the policy's own format; `is_plain`:
    tries are told their identity in the W3C's alone.
    """

    __slots__ = ("above", "is_plain", "spans", "told", "wire")

    above: Context
    spans: Spans | None
    wire: TextMapPropagator | None
    is_plain: bool

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
    """A span that has to be ended, once. `facts`: what is still to be told of it at its end, `None` if it was told."""

    __slots__ = ("facts", "is_open")

    facts: Facts | None
    is_open: bool

    def end(self, name: str, attributes: Attributes, status: Status | None, now: int) -> None:
        """End the span: renamed unless `name` is empty; `status` `None` is unset, `now` in nanoseconds.

        `attributes` are added to those that were told at its start; they may be shared, so they are never changed.
        """


class Spans(Protocol):
    """A way to make spans."""

    def start(
        self, kind: SpanKind, above: Context, parent: Identity, describe: Callable[..., Attributes], facts: Facts
    ) -> Identity:
        """Start a span below `parent`, which stands in the context `above`; a `Recording` has to be ended.

        `describe(*facts)` returns its attributes, a dictionary of its own, of which some never want to know.
        """


class PublicSpans:
    """Spans of any tracer, by OpenTelemetry's API alone. `now`: the time in nanoseconds."""

    def __init__(self, tracer: Tracer, now: Callable[[], int]) -> None:
        self._tracer = tracer
        self._now = now

    def start(
        self, kind: SpanKind, above: Context, parent: Identity, describe: Callable[..., Attributes], facts: Facts
    ) -> Identity:
        name = SPAN_NAMES.get(facts[0], OTHER_NAME)
        started = self._now()
        span = self._tracer.start_span(name, parent.placed(above), kind, describe(*facts), start_time=started)
        return Identity(span.get_span_context()) if type(span) is trace.NonRecordingSpan else _Started(span)


class _Started(Recording):
    """A span of somebody else's, recorded or not as he likes."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        super().__init__(span.get_span_context())
        self.facts = None
        self.is_open = True
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
