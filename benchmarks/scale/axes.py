"""What is varied, and who is measured along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Axis:
    """`x`: the values; `quick`: those of a quick run. `figures`: what is measured, the first is drawn."""

    name: str
    unit: str
    x: Sequence[int]
    quick: Sequence[int]
    kind: Literal["sync", "async"]
    figures: Sequence[str]
    over: Literal["null", "network"]


EVERYTHING = Axis(
    "everything", "endpoints, a tenth as many routes, each URL new", (1, 10, 100, 1_000, 10_000), (1, 10, 100), "sync",
    ("cpu_client", "build", "memory"), "null",
)  # fmt: skip
AXES = (
    Axis("endpoints", "endpoints of the cluster", (1, 10, 100, 1_000, 10_000), (1, 10, 100), "sync",
         ("cpu_client", "build", "memory"), "null"),
    Axis("routes", "routes before the one taken", (1, 10, 100, 1_000), (1, 10, 100), "sync",
         ("cpu_client", "build", "memory"), "null"),
    Axis("clusters", "clusters", (1, 10, 100, 1_000), (1, 10, 100), "sync",
         ("cpu_client", "build", "memory"), "null"),
    EVERYTHING,
    Axis("callers", "callers at once", (1, 4, 16, 64, 256, 1_000), (1, 4, 16), "async",
         ("cpu_client", "rate", "p50", "p99"), "network"),
    Axis("body", "bytes of the response's body", (0, 1_000, 10_000, 100_000, 1_000_000, 10_000_000),
         (0, 1_000, 100_000), "async", ("cpu_client", "p50", "rate"), "network"),
    Axis("threads", "threads", (1, 2, 4, 8, 16, 32), (1, 2, 4), "sync",
         ("cpu_client", "rate", "p50", "p99"), "network"),
)  # fmt: skip
