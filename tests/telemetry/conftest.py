"""Calls without a transport, and spans kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ambassador_lib.call import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def make_call() -> Callable[..., Call]:
    def make(url: str = "http://127.0.0.1:15001/charges?page=2", method: str = "GET", **headers: str) -> Call:
        call = Call(httpx.Request(method, url), 0.0)
        call.authority = "127.0.0.1:15001"
        call.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return call

    return make
