"""ambassador_lib with every layer of the policy on, over each engine and with each amount of telemetry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .base import Contestant, Simple
from .httpx_family import async_session, limits, sync_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .base import Place, Session

NEEDS = ("ambassador_lib.client",)
SDK = ("opentelemetry.sdk.trace.export",)


def provider(*, sampled: bool) -> Any:
    """Set up OpenTelemetry as applications do: spans go in batches to an exporter that forgets them."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    class Forgetful(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002
            return SpanExportResult.SUCCESS

    made = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
    made.add_span_processor(BatchSpanProcessor(Forgetful()))
    trace.set_tracer_provider(made)
    return made


def _open_sync(place: Place, *, telemetry: str, over_httpx: bool) -> Session:
    import httpx

    from ambassador_lib import Client

    tracing = None if telemetry == "off" else provider(sampled=telemetry == "sampled")
    transport = httpx.HTTPTransport(limits=limits(place), trust_env=False) if over_httpx else None
    client = Client(_path(place), transport=transport, unmatched="reject", trust_env=False)
    session = sync_session(client, place.url)

    def close() -> None:
        session.close()
        if tracing is not None:
            tracing.shutdown()

    return Simple(session.call, close)


def _open_async(place: Place, *, telemetry: str, over_httpx: bool) -> Session:
    import httpx

    from ambassador_lib import AsyncClient

    tracing = None if telemetry == "off" else provider(sampled=telemetry == "sampled")
    transport = httpx.AsyncHTTPTransport(limits=limits(place), trust_env=False) if over_httpx else None
    client = AsyncClient(_path(place), transport=transport, unmatched="reject", trust_env=False)
    session = async_session(client, place.url)

    async def close() -> None:
        await session.close()
        if tracing is not None:
            tracing.shutdown()

    return Simple(session.call, close)


def _path(place: Place) -> Path:
    from pathlib import Path

    return Path(place.policy)


def contestants() -> Iterator[Contestant]:
    for kind, opened in (("sync", _open_sync), ("async", _open_async)):
        for telemetry, suffix, title in (
            ("off", "", "ambassador_lib"),
            ("unsampled", "-unsampled", "ambassador_lib, traced, not sampled"),
            ("sampled", "-sampled", "ambassador_lib, every call sampled"),
        ):
            yield Contestant(
                name=f"ours{suffix}", kind=kind, title=title, family="ours",
                open=partial(opened, telemetry=telemetry, over_httpx=False), target="policy",
                needs=NEEDS if telemetry == "off" else (*NEEDS, *SDK), telemetry=telemetry,
            )  # fmt: skip
        yield Contestant(
            name="ours-over-httpx", kind=kind, title="ambassador_lib over httpx's transport", family="ours",
            open=partial(opened, telemetry="off", over_httpx=True), target="policy", needs=NEEDS, telemetry="off",
        )  # fmt: skip
