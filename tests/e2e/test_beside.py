"""What runs beside a call over real sockets: it is broken off, and its connections, threads and places come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from ambassador_lib import AsyncClient, Client
from ambassador_lib.runtime.background import IDLE
from ambassador_lib.testing import Upstream, hang

BASE = "http://127.0.0.1:15001"
PATIENCE = 5.0

Document = dict[str, Any]
PolicyFor = Callable[..., Document]
BACKENDS = pytest.mark.parametrize("backend", ["sync", "asyncio", "trio"])


def run(backend: str, policy: Document, *checks: Callable[[Any], bool]) -> Any:
    """Make one call, wait until the checks hold for the client, and close it: no thread of its is left then."""
    if backend == "sync":
        before = set(threading.enumerate())
        with Client(policy) as client:
            response = client.get(BASE)
            latest = time.monotonic() + PATIENCE
            while not all(check(client) for check in checks):
                assert time.monotonic() < latest, "it never came"
                time.sleep(0.002)
        latest = time.monotonic() + IDLE - 1  # sooner than one that is kept would go by itself
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("ambassador_lib-"):
                thread.join(max(0.0, latest - time.monotonic()))
                assert not thread.is_alive(), thread.name
        return response

    async def main() -> Any:
        async with AsyncClient(policy) as client:
            response = await client.get(BASE)
            with anyio.fail_after(PATIENCE):
                while not all(check(client) for check in checks):  # noqa: ASYNC110 - told by no event
                    await anyio.sleep(0.002)
            return response

    return anyio.run(main, backend=backend)


def at_work(client: Any) -> Any:
    return client._ambassador()._at_work


def nothing_held(client: Any) -> bool:
    clusters = at_work(client).clusters.values()
    taken = [
        (limits.active, limits.pending, limits.retries) for cluster in clusters for limits in cluster.limits.values()
    ]
    return set(taken) == {(0, 0, 0)} and all(host.active == 0 for cluster in clusters for host in cluster.hosts)


@BACKENDS
def test_the_loser_of_a_race_is_broken_off(backend: str, policy_for: PolicyFor) -> None:
    """Its connection is closed at once, though its upstream would never have answered."""
    with Upstream() as upstream:
        upstream.replies(hang(), 200)
        route = {
            "cluster": "up",
            "timeout": "60s",
            "hedge_policy": {"hedge_on_per_try_timeout": True},
            "retry_policy": {"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.1s"},
        }
        response = run(
            backend,
            policy_for(upstream, route=route),
            nothing_held,
            lambda _: upstream.open_connections == 1,
            lambda client: not at_work(client).parts.racers._running(),
        )
        assert response.status_code == 200
        assert len(upstream.requests) == 2


@BACKENDS
def test_a_shadow_that_hangs_ends_with_the_client(backend: str, policy_for: PolicyFor) -> None:
    """Closing the client breaks the copy off within a moment."""
    with Upstream() as upstream, Upstream() as shadow:
        shadow.hangs()
        policy = policy_for(
            upstream, route={"cluster": "up", "timeout": "60s", "request_mirror_policies": [{"cluster": "shadow"}]}
        )
        clusters = policy["static_resources"]["clusters"]
        endpoint = {"address": {"socket_address": {"address": shadow.host, "port_value": shadow.port}}}
        assignment = {"cluster_name": "shadow", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
        clusters.append({**clusters[0], "name": "shadow", "load_assignment": assignment})
        begun = time.monotonic()
        kept: list[Any] = []

        def keep(client: Any) -> bool:
            kept[:] = [at_work(client)]
            return bool(shadow.requests)

        response = run(backend, policy, keep)
        assert response.status_code == 200
        assert time.monotonic() - begun < PATIENCE
        assert not kept[0].parts.copies._running()
        assert kept[0].clusters["shadow"].limits["DEFAULT"].active == 0
        latest = time.monotonic() + PATIENCE
        while shadow.open_connections:
            assert time.monotonic() < latest, "the connection was never closed"
            time.sleep(0.002)
