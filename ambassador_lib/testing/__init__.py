"""What tests need: upstreams that fail by script, virtual time, an application's own policy pointed at them.

As pytest fixtures (`upstreams`, `simulated_upstreams`, `virtual_time`, `ambassador_policy`), and as context managers
for everything else (`simulation()`, `mapped_policy()`, `Upstream`); docs/testing.md shows how. Nothing of it is
imported by `import ambassador_lib`, and each name only when it is first asked for.

    with Upstream(503, 503, 200) as upstream:
        httpx.get(upstream.url)                 # 503
        upstream.requests[0].headers
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assertions import (
        assert_breaker,
        assert_calls,
        assert_no_duplicate_writes,
        assert_total_time_below,
        calls_as_timeline,
    )
    from .clock import FakeClock, FakeRandom
    from .direct import AsyncSimulatedTransport, SimulatedTransport
    from .faults import Answer, Reaction, Reception, close, drip, garbage, hang, reply, reset
    from .kit import Kit, UnfiredStepWarning, Upstreams, mapped_policy, simulation
    from .kit_tls import stand_in_for_files
    from .latency import Latency, exponential, fixed, lognormal, normal, pareto, uniform
    from .misuse import MisuseError, ScriptError
    from .seen import Seen
    from .simulated import SimulatedUpstream, Simulation
    from .tls import ServerTls
    from .upstream import Upstream
    from .virtual_time import VirtualTime

_HOME = {
    "Answer": "faults",
    "AsyncSimulatedTransport": "direct",
    "FakeClock": "clock",
    "FakeRandom": "clock",
    "Kit": "kit",
    "Latency": "latency",
    "MisuseError": "misuse",
    "Reaction": "faults",
    "Reception": "faults",
    "ScriptError": "misuse",
    "Seen": "seen",
    "ServerTls": "tls",
    "SimulatedTransport": "direct",
    "SimulatedUpstream": "simulated",
    "Simulation": "simulated",
    "UnfiredStepWarning": "kit",
    "Upstream": "upstream",
    "Upstreams": "kit",
    "VirtualTime": "virtual_time",
    "assert_breaker": "assertions",
    "assert_calls": "assertions",
    "assert_no_duplicate_writes": "assertions",
    "assert_total_time_below": "assertions",
    "calls_as_timeline": "assertions",
    "close": "faults",
    "drip": "faults",
    "exponential": "latency",
    "fixed": "latency",
    "garbage": "faults",
    "hang": "faults",
    "lognormal": "latency",
    "mapped_policy": "kit",
    "normal": "latency",
    "pareto": "latency",
    "reply": "faults",
    "reset": "faults",
    "simulation": "kit",
    "stand_in_for_files": "kit_tls",
    "uniform": "latency",
}

__all__ = [
    "Answer",
    "AsyncSimulatedTransport",
    "FakeClock",
    "FakeRandom",
    "Kit",
    "Latency",
    "MisuseError",
    "Reaction",
    "Reception",
    "ScriptError",
    "Seen",
    "ServerTls",
    "SimulatedTransport",
    "SimulatedUpstream",
    "Simulation",
    "UnfiredStepWarning",
    "Upstream",
    "Upstreams",
    "VirtualTime",
    "assert_breaker",
    "assert_calls",
    "assert_no_duplicate_writes",
    "assert_total_time_below",
    "calls_as_timeline",
    "close",
    "drip",
    "exponential",
    "fixed",
    "garbage",
    "hang",
    "lognormal",
    "mapped_policy",
    "normal",
    "pareto",
    "reply",
    "reset",
    "simulation",
    "stand_in_for_files",
    "uniform",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
