"""What the end-to-end tests share: policies for simulated upstreams, and one way to call for every kind of client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

import ambassador_lib.surroundings as world
from ambassador_lib import AsyncClient, Client
from ambassador_lib.testing import VirtualTime

if TYPE_CHECKING:
    from ambassador_lib.testing import SimulatedUpstream, Upstream

BASE = "http://127.0.0.1:15001"
TYPES = "type.googleapis.com/envoy.extensions.filters"

Document = dict[str, Any]
Ask = Callable[..., httpx.Response]


def policy_for(
    *upstreams: Upstream | SimulatedUpstream,
    route: Document | None = None,
    match: str = "/",
    cluster: Document | None = None,
) -> Document:
    """Return a bootstrap: one listener on port 15001, one route, one STATIC cluster `up` of the given upstreams."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {
            "name": "routes",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": match}, "route": route or {"cluster": "up"}}],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "app",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "up",
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": endpoints(*upstreams)}]},
                    **(cluster or {}),
                }
            ],
        }
    }


def endpoints(*upstreams: Upstream | SimulatedUpstream) -> list[Document]:
    """Return `lb_endpoints` for the upstreams."""
    return [
        {"endpoint": {"address": {"socket_address": {"address": upstream.host, "port_value": upstream.port}}}}
        for upstream in upstreams
    ]


@pytest.fixture(name="policy_for")
def policy_for_fixture() -> Callable[..., Document]:
    """`policy_for`, for test modules, which import nothing from one another."""
    return policy_for


@pytest.fixture(params=["sync", "asyncio", "trio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Make one call through a client opened for it: `ask(policy, path, client={...}, **request)`."""
    backend: str = request.param

    def blocking(policy: Document, path: str = "/", client: Document | None = None, **call: Any) -> httpx.Response:
        with Client(policy, **(client or {})) as opened:
            return opened.request(call.pop("method", "GET"), BASE + path, **call)

    def in_loop(policy: Document, path: str = "/", client: Document | None = None, **call: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            async with AsyncClient(policy, **(client or {})) as opened:
                return await opened.request(call.pop("method", "GET"), BASE + path, **call)

        time = world.installed.clock if world.installed is not None else None
        options = {"clock": time.trio_clock()} if backend == "trio" and isinstance(time, VirtualTime) else {}
        return anyio.run(main, backend=backend, backend_options=options)

    return blocking if backend == "sync" else in_loop
