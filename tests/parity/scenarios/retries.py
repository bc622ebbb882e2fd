"""Retries (semantics 3)."""

from __future__ import annotations

from ..bootstrap import boot, retry, route
from ..look import hits, lines, status
from ..model import Scenario, get

SCENARIOS = [
    Scenario(
        "retry_5xx_recovers",
        "5xx: 503, 500, then 200 within num_retries 2",
        rule="3.2 5xx",
        upstreams={"a": [503, 500, 200]},
        policy=boot([route(retry_policy=retry("5xx", 2))]),
        calls=[get("/x?y=1")],
        expect=[status(200), hits(a=3), lines("GET /x?y=1", "GET /x?y=1", "GET /x?y=1")],
    ),
]
