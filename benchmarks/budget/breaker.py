"""When a circuit opens: the textbook's scenarios, through the library's own client and breaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import httpx

from ambassador_lib import CircuitOpenError, Client

URL = "http://127.0.0.1:15001/"
TEXTBOOK = ((10, 15), (30, 50), (49, 100))

Order = Literal["spread evenly", "failures first", "failures last"]
ORDERS: tuple[Order, ...] = ("spread evenly", "failures first", "failures last")


@dataclass(frozen=True)
class Scenario:
    """So many of so many calls fail, in this order."""

    failures: int
    calls: int
    order: Order = "spread evenly"

    def __post_init__(self) -> None:
        if not 0 <= self.failures <= self.calls:
            raise ValueError("there are at most as many failures as calls")

    def outcomes(self) -> list[bool]:
        """Return for each call whether it fails."""
        ends = range(1, self.calls + 1)
        if self.order == "failures first":
            return [end <= self.failures for end in ends]
        if self.order == "failures last":
            return [end > self.calls - self.failures for end in ends]
        return [end * self.failures // self.calls > (end - 1) * self.failures // self.calls for end in ends]


@dataclass(frozen=True)
class Verdict:
    """What came of it; `opened_after` calls, `None` where the circuit stayed closed. `sent`: what the upstream got."""

    scenario: Scenario
    opened_after: int | None
    sent: int


def play(scenario: Scenario, *, failure_rate: float = 0.5, minimum: int = 20) -> Verdict:
    """Send the calls through a client with that breaker, all within its window."""
    outcomes = iter(scenario.outcomes())
    sent = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        return httpx.Response(503 if next(outcomes) else 200)

    document = _policy(failure_rate, minimum)
    with Client(document, transport=httpx.MockTransport(answer)) as client:
        for number in range(scenario.calls):
            try:
                client.get(URL)
            except CircuitOpenError:
                return Verdict(scenario, number, sent)
        # The last call may have been the one that opens it: only one more shows.
        outcomes = iter([False])
        try:
            client.get(URL)
        except CircuitOpenError:
            return Verdict(scenario, scenario.calls, sent)
        return Verdict(scenario, None, sent - 1)


def _policy(failure_rate: float, minimum: int) -> dict[str, Any]:
    breaker = {"failure_rate": str(failure_rate), "minimum_requests": minimum, "window": "60s", "open_for": "60s"}
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 21_001}}}}
    cluster = {
        "name": "billing",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "billing", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "metadata": {"filter_metadata": {"ambassador_lib": {"circuit_breaker": breaker}}},
    }
    package = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{package}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "billing",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "billing",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "billing"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{package}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "billing",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15_001}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
