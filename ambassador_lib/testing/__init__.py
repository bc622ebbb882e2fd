"""What tests need: a scriptable upstream, virtual time, scripted randomness, certificates made on the fly.

Provisional: the names here serve this library's own tests and examples, and may change until they become its pytest
plugin. Nothing of it is imported by `import ambassador_lib`.

    with Upstream(503, 503, 200) as upstream:
        httpx.get(upstream.url)                 # 503
        upstream.requests[0].headers
"""

from __future__ import annotations

from .clock import FakeClock, FakeRandom
from .replies import Reply, Script, close, drip, garbage, hang, reset
from .seen import Seen
from .upstream import ServerTls, Upstream

__all__ = [
    "FakeClock",
    "FakeRandom",
    "Reply",
    "Script",
    "Seen",
    "ServerTls",
    "Upstream",
    "close",
    "drip",
    "garbage",
    "hang",
    "reset",
]
