"""What the SDK's own samplers decide, without asking them: they look at no more than a span's parent and trace."""
# ruff: noqa: SLF001 - what is private is looked at in `sdk_parts` before

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler, TraceIdRatioBased

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanContext

LOCAL: Final = 1
"""The place (`place_of`) below a local span that is not sampled."""
REMOTE: Final = 3
"""The place below a remote one."""
SAMPLED: Final = 1


def decide(sampler: Sampler, parent: SpanContext | None, trace_id: int) -> Decision | None:
    """Decide as the SDK's own samplers would, which look at no more than this; `None`: it is another, ask it."""
    sampler = _responsible(sampler, place_of(parent))
    if type(sampler) is StaticSampler:
        return sampler._decision
    if type(sampler) is TraceIdRatioBased:
        kept = trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < sampler.bound
        return Decision.RECORD_AND_SAMPLE if kept else Decision.DROP
    return None


def fixed_decisions(sampler: Sampler) -> tuple[Decision | None, ...]:
    """Return what is decided in each place (`place_of`) whatever the trace; `None` where that depends."""
    found = [_responsible(sampler, place) for place in range(5)]
    return tuple(each._decision if type(each) is StaticSampler else None for each in found)


def place_of(parent: SpanContext | None) -> int:
    """Number what samplers tell apart: no parent, a local one, not sampled and sampled, a remote one likewise."""
    if parent is None:
        return 0
    return (REMOTE if parent.is_remote else LOCAL) + (parent.trace_flags & SAMPLED)


def _responsible(sampler: Sampler, place: int) -> Sampler:
    """Return who decides in a place."""
    while type(sampler) is ParentBased:
        sampler = (
            sampler._root,
            sampler._local_parent_not_sampled,
            sampler._local_parent_sampled,
            sampler._remote_parent_not_sampled,
            sampler._remote_parent_sampled,
        )[place]
    return sampler
