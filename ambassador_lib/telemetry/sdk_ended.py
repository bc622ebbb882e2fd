"""What exporters see of spans that are not built before they are read; and what others see of one under way.

Both are the SDK's classes, so they stand here by themselves: what is compiled cannot inherit from them.
"""

from __future__ import annotations

from copy import copy
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import SpanContext

    from .sdk_spans import Sampled


def _part(name: str, path: str) -> property:
    """One of the parts that a `ReadableSpan` keeps: read where it is; set, it makes an ordinary span of this one."""

    def change(span: Ended, value: object) -> None:
        fields = vars(span.sampled.readable())
        span.__class__ = ReadableSpan  # type: ignore[assignment]
        vars(span).clear()
        vars(span).update(fields)
        setattr(span, name, value)

    return property(attrgetter(f"sampled.{path}"), change)


class Ended(ReadableSpan):
    """A span that has ended, of which no more is there than `sampled` knows: equal to an ordinary one in every part."""

    sampled: Sampled

    _dropped = 0
    _name = _part("_name", "facts.name")
    _context = _part("_context", "told")
    _kind = _part("_kind", "kind")
    _instrumentation_info = _part("_instrumentation_info", "scope.info")
    _instrumentation_scope = _part("_instrumentation_scope", "scope.scope")
    _parent = _part("_parent", "outer")
    _start_time = _part("_start_time", "started")
    _end_time = _part("_end_time", "ended")
    _attributes = _part("_attributes", "attributes")
    _events = _part("_events", "scope.nothing")
    _links = _part("_links", "scope.nothing")
    _resource = _part("_resource", "scope.resource")
    _status = _part("_status", "status")

    # By the inherited ones an exporter would pay for a Python function each, and for the attributes once more to learn
    # that none was dropped.
    name = property(_name.fget)
    context = property(_context.fget)
    kind = property(_kind.fget)
    instrumentation_scope = property(_instrumentation_scope.fget)
    parent = property(_parent.fget)
    start_time = property(_start_time.fget)
    end_time = property(_end_time.fget)
    resource = property(_resource.fget)
    status = property(_status.fget)
    events = property(_events.fget)
    links = property(_links.fget)
    dropped_attributes = dropped_events = dropped_links = property(attrgetter("_dropped"))

    def get_span_context(self) -> SpanContext:
        return self.sampled.told

    @property
    def attributes(self) -> Mapping[str, str | int]:
        """As of any span; many are read, and few in another way than this."""
        return MappingProxyType(self.sampled.facts.whole())

    def __reduce__(self) -> tuple[Callable[[ReadableSpan], ReadableSpan], tuple[ReadableSpan]]:
        """Be copied and pickled as an ordinary one."""
        return copy, (self.sampled.readable(),)


class UnderWay(trace.NonRecordingSpan):
    """What a sampler or a propagator of somebody else's sees of a span that is yet to be built."""

    def is_recording(self) -> bool:
        return True
