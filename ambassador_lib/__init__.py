"""The sidecar's work without the sidecar: point `Client` at the policy file that your Envoy reads.

    from ambassador_lib import Client

    with Client("envoy.yaml") as client:
        client.get("http://127.0.0.1:15001/charges")

Every public name is imported when it is first asked for, so `import ambassador_lib` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ._native import __compiled__ as __compiled__
    from .call import Attempt, CallReport
    from .client import AsyncClient, Client
    from .errors import (
        AmbassadorError,
        CircuitOpenError,
        FaultInjectedError,
        LocalReplyError,
        NoHealthyUpstreamError,
        NoRouteError,
        NotReadyError,
        PerTryTimeoutError,
        PolicyError,
        RateLimitedError,
        RouteTimeoutError,
        UpstreamConnectError,
        UpstreamOverflowError,
        UpstreamResetError,
    )
    from .policy import Policy
    from .transport import AmbassadorTransport, AsyncAmbassadorTransport

_HOME = {
    "AmbassadorError": "errors",
    "AmbassadorTransport": "transport",
    "AsyncAmbassadorTransport": "transport",
    "AsyncClient": "client",
    "Attempt": "call",
    "CallReport": "call",
    "CircuitOpenError": "errors",
    "Client": "client",
    "FaultInjectedError": "errors",
    "LocalReplyError": "errors",
    "NoHealthyUpstreamError": "errors",
    "NoRouteError": "errors",
    "NotReadyError": "errors",
    "PerTryTimeoutError": "errors",
    "Policy": "policy",
    "PolicyError": "errors",
    "RateLimitedError": "errors",
    "RouteTimeoutError": "errors",
    "UpstreamConnectError": "errors",
    "UpstreamOverflowError": "errors",
    "UpstreamResetError": "errors",
    "__compiled__": "_native",
}

__all__ = [
    "AmbassadorError",
    "AmbassadorTransport",
    "AsyncAmbassadorTransport",
    "AsyncClient",
    "Attempt",
    "CallReport",
    "CircuitOpenError",
    "Client",
    "FaultInjectedError",
    "LocalReplyError",
    "NoHealthyUpstreamError",
    "NoRouteError",
    "NotReadyError",
    "PerTryTimeoutError",
    "Policy",
    "PolicyError",
    "RateLimitedError",
    "RouteTimeoutError",
    "UpstreamConnectError",
    "UpstreamOverflowError",
    "UpstreamResetError",
    "__version__",
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
