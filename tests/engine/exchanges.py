"""Exchanges of which a test says what it is about; compiled engines take no others' objects for them."""

from __future__ import annotations

from typing import Any

import httpx

from ambassador_lib.call import Deadline
from ambassador_lib.engine.base import Destination, Exchange


def exchange_of(destination: Destination | None = None, **changes: Any) -> Exchange:
    """Return a GET of `http://app.test/x?y=1`, but for `changes`."""
    parts: dict[str, Any] = {
        "method": "GET",
        "scheme": "http",
        "authority": "app.test",
        "target": "/x?y=1",
        "headers": [],
        "stream": httpx.ByteStream(b""),
        "deadline": Deadline(),
        "on_connected": lambda: None,
        "url": httpx.URL("http://app.test/x?y=1"),
        "extensions": {},
    }
    return Exchange(**{**parts, **changes}, destination=destination or Destination("c", "127.0.0.1", 80))
