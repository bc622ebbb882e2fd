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
    from .kit import Kit, UnfiredStepWarning, Upstreams, mapped_policy, simulation
    from .misuse import MisuseError
    from .replies import Reply, Script, close, drip, garbage, hang, reset
    from .seen import Seen
    from .upstream import ServerTls, Upstream

_HOME = {
    "FakeClock": "clock",
    "FakeRandom": "clock",
    "Kit": "kit",
    "MisuseError": "misuse",
    "Reply": "replies",
    "Script": "replies",
    "Seen": "seen",
    "ServerTls": "upstream",
    "UnfiredStepWarning": "kit",
    "Upstream": "upstream",
    "Upstreams": "kit",
    "assert_breaker": "assertions",
    "assert_calls": "assertions",
    "assert_no_duplicate_writes": "assertions",
    "assert_total_time_below": "assertions",
    "calls_as_timeline": "assertions",
    "close": "replies",
    "drip": "replies",
    "garbage": "replies",
    "hang": "replies",
    "mapped_policy": "kit",
    "reset": "replies",
    "simulation": "kit",
}

__all__ = [
    "FakeClock",
    "FakeRandom",
    "Kit",
    "MisuseError",
    "Reply",
    "Script",
    "Seen",
    "ServerTls",
    "UnfiredStepWarning",
    "Upstream",
    "Upstreams",
    "assert_breaker",
    "assert_calls",
    "assert_no_duplicate_writes",
    "assert_total_time_below",
    "calls_as_timeline",
    "close",
    "drip",
    "garbage",
    "hang",
    "mapped_policy",
    "reset",
    "simulation",
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
