"""ambassador_lib: every layer of the policy on, over each engine, with each amount of telemetry; and routing alone.

What the goals are of is there a second time, with the hot modules compiled.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..compiled import SUFFIX
from ..load.absence import NOT_FRESH
from .base import KINDS, Contestant, PolicyName, Simple
from .httpx_family import async_session, limits, sync_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from ..figures.results import Kind
    from .base import Place, Session

NEEDS = ("ambassador_lib.client",)
SDK = ("opentelemetry.sdk.trace.export", "opentelemetry.sdk.metrics.export")
READ_EVERY = 1000
"""Milliseconds between two readings of the metrics; OpenTelemetry's default, a minute, would not come in a turn."""

COMPILED = ("ours", "ours-bare", "ours-full", "ours-full-tls", "ours-full-uvloop")
"""Those who are measured with the compiled library as well."""

Telemetry = Literal["off", "unsampled", "sampled", "full"]


def tracer_provider(*, sampled: bool) -> Any:
    """Set up traces as applications do: spans go in batches to an exporter that reads them, and forgets them."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    class Forgetful(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            for span in spans:
                _read(span)
            return SpanExportResult.SUCCESS

    made = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
    made.add_span_processor(BatchSpanProcessor(Forgetful()))
    trace.set_tracer_provider(made)
    return made


def _read(span: Any) -> tuple[object, ...]:
    """Look at all that an exporter would send: a span that is made when it is read costs nothing before."""
    context, parent, status = span.get_span_context(), span.parent, span.status
    return (
        context.trace_id, context.span_id, context.trace_state.to_header(), None if parent is None else parent.span_id,
        parent is not None and parent.is_remote, span.name, span.kind, span.start_time, span.end_time,
        [(key, value, type(value)) for key, value in span.attributes.items()], span.events, span.links,
        status.status_code, status.description, span.dropped_attributes, span.dropped_events, span.dropped_links,
        span.resource, span.instrumentation_scope,
    )  # fmt: skip


def meter_provider() -> Any:
    """Set up metrics as applications do: a thread reads them and hands them to an exporter that forgets them."""
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader

    class Forgetful(MetricExporter):
        def export(self, metrics_data: Any, timeout_millis: float = 0, **_: Any) -> MetricExportResult:  # noqa: ARG002
            return MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002
            return True

        def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
            pass

    reader = PeriodicExportingMetricReader(Forgetful(), export_interval_millis=READ_EVERY)
    made = MeterProvider(metric_readers=[reader])
    metrics.set_meter_provider(made)
    return made


def set_up(telemetry: Telemetry) -> Callable[[], None]:
    """Set up as much telemetry as is asked for; return what ends it."""
    providers = []
    if telemetry != "off":
        providers.append(tracer_provider(sampled=telemetry != "unsampled"))
    if telemetry == "full":
        providers.append(meter_provider())

    def end() -> None:
        for one in providers:
            one.shutdown()

    return end


def _open(kind: Kind, place: Place, *, telemetry: Telemetry, over_httpx: bool) -> Session:
    import httpx

    from ambassador_lib import AsyncClient, Client

    end = set_up(telemetry)
    policy = Path(place.policy)
    session: Session
    if kind == "sync":
        inner = httpx.HTTPTransport(limits=limits(place), trust_env=False) if over_httpx else None
        session = sync_session(Client(policy, transport=inner, unmatched="reject", trust_env=False), place.url)

        def close() -> None:
            session.close()
            end()

        return Simple(session.call, close)
    carrier: httpx.AsyncBaseTransport | None = None
    if over_httpx:
        carrier = httpx.AsyncHTTPTransport(limits=limits(place), trust_env=False)
    session = async_session(AsyncClient(policy, transport=carrier, unmatched="reject", trust_env=False), place.url)

    async def close_async() -> None:
        await session.close()
        end()

    return Simple(session.call, close_async)


def _one(
    kind: Kind, name: str, title: str, *, telemetry: Telemetry = "off", policy: PolicyName = "full",
    over_httpx: bool = False, uvloop: bool = False,
) -> Contestant:  # fmt: skip
    needs = (*NEEDS, *(SDK if telemetry != "off" else ()), *(("uvloop",) if uvloop else ()))
    return Contestant(
        name=name, kind=kind, title=title, family="ours", needs=needs, target="policy", policy=policy,
        open=partial(_open, kind, telemetry=telemetry, over_httpx=over_httpx), telemetry=telemetry, without=NOT_FRESH,
        loop="uvloop" if uvloop else "asyncio",
    )  # fmt: skip


def compiled(name: str) -> str:
    """Return the name of one of ours who runs the compiled library."""
    return name.replace("ours", "ours-compiled", 1)


def contestants() -> Iterator[Contestant]:
    for one in _interpreted():
        yield one
        if one.name in COMPILED:
            yield replace(one, name=compiled(one.name), title=f"{one.title}{SUFFIX}", compiled=True)


def _interpreted() -> Iterator[Contestant]:
    us = "ambassador_lib"
    for kind in KINDS:
        yield _one(kind, "ours", us)
        yield _one(kind, "ours-bare", f"{us}, routing alone", policy="bare")
        yield _one(kind, "ours-unsampled", f"{us}, traced, not sampled", telemetry="unsampled")
        yield _one(kind, "ours-sampled", f"{us}, every call sampled", telemetry="sampled")
        yield _one(kind, "ours-full", f"{us}, every call sampled, metrics", telemetry="full")
        yield _one(kind, "ours-over-httpx", f"{us} over httpx's transport", over_httpx=True)
        yield _one(kind, "ours-tls", f"{us}, TLS", policy="tls")
        yield _one(kind, "ours-full-tls", f"{us}, every call sampled, metrics, TLS", policy="tls", telemetry="full")
    yield _one("async", "ours-uvloop", f"{us} on uvloop", uvloop=True)
    yield _one(
        "async", "ours-full-uvloop", f"{us}, every call sampled, metrics, on uvloop", telemetry="full", uvloop=True
    )
