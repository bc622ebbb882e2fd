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

from .spans import NO_LINKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    _events = ()
    _links = NO_LINKS
    _name = _part("_name", "facts.name")
    _context = _part("_context", "told")
    _kind = _part("_kind", "kind")
    _instrumentation_info = _part("_instrumentation_info", "scope.info")
    _instrumentation_scope = _part("_instrumentation_scope", "scope.scope")
    _parent = _part("_parent", "outer")
    _start_time = _part("_start_time", "started")
    _end_time = _part("_end_time", "ended")
    _attributes = _part("_attributes", "attributes")
    _resource = _part("_resource", "scope.resource")
    _status = _part("_status", "status")

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
