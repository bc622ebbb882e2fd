"""Everything that files bring is exchanged under load, over real connections, and nothing fails or is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ambassador_lib import AsyncClient, Client
from ambassador_lib.testing import Upstream, reply

from .conftest import BASE, Document

PATIENCE = 10.0
CALLERS = 8
ROUNDS = 3
V3 = "type.googleapis.com/envoy.config."


class Files:
    """A policy of which all but the names of files is discovered; `exchange` moves everything to an upstream."""

    def __init__(self, folder: Path, policy: Document, upstreams: list[Upstream]) -> None:
        self.folder = folder
        (self.listener,), (cluster,) = policy["static_resources"]["listeners"], policy["static_resources"]["clusters"]
        self.manager = self.listener["filter_chains"][0]["filters"][0]["typed_config"]
        self.routes = self.manager.pop("route_config")
        self.assignment = cluster.pop("load_assignment")
        self.cluster = cluster
        self.upstreams = upstreams
        self.put(0)
        self.policy = {
            "dynamic_resources": {name: self.source(name) for name in ("cds_config", "lds_config")},
        }

    def source(self, name: str) -> Document:
        return {"path_config_source": {"path": os.fspath(self.folder / name)}}

    def put(self, number: int) -> None:
        upstream = self.upstreams[number % len(self.upstreams)]
        endpoint = {"address": {"socket_address": {"address": upstream.host, "port_value": upstream.port}}}
        self.write(
            "eds",
            {
                "@type": f"{V3}endpoint.v3.ClusterLoadAssignment",
                **self.assignment,
                "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
            },
        )
        changed = {"connect_timeout": f"{number + 2}s", "type": "EDS"}
        eds = {"eds_cluster_config": {"eds_config": self.source("eds")}}
        self.write("cds_config", {"@type": f"{V3}cluster.v3.Cluster", **self.cluster, **changed, **eds})
        self.write("rds", {"@type": f"{V3}route.v3.RouteConfiguration", **self.routes})
        self.manager["rds"] = {"route_config_name": self.routes["name"], "config_source": self.source("rds")}
        self.manager["stat_prefix"] = f"round {number}"
        self.write("lds_config", {"@type": f"{V3}listener.v3.Listener", **self.listener})

    def write(self, name: str, resource: Document) -> None:
        fresh = self.folder / f"{name}.new"
        fresh.write_text(json.dumps({"resources": [resource]}))
        fresh.replace(self.folder / name)


@pytest.fixture
def files(tmp_path: Path, policy_for: Callable[..., Document]) -> Iterator[Files]:
    with Upstream(reply(text="0")) as first, Upstream(reply(text="1")) as second:
        yield Files(tmp_path, policy_for(first), [first, second])


def held() -> tuple[int, int]:
    """How many files and threads are open."""
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    return descriptors, threading.active_count()


def settled(before: tuple[int, int]) -> bool:
    """Wait until no more is held than before: upstreams notice a closed connection a little later."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        now = held()
        if now[0] <= before[0] and now[1] <= before[1]:
            return True
        time.sleep(0.01)
    return False


def test_threads_call_while_everything_is_exchanged(files: Files) -> None:
    """No call of any thread fails, each round is seen, and closing gives back every thread and descriptor."""
    before = held()
    results: list[Any] = []
    stop = threading.Event()
    with Client(files.policy) as client:

        def call() -> None:
            while not stop.is_set():
                try:
                    results.append(client.get(BASE).text)
                except Exception as error:  # noqa: BLE001 - looked at below
                    results.append(error)

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for number in range(1, ROUNDS + 1):
            files.put(number)
            until = time.monotonic() + PATIENCE
            while client.get(BASE).text != str(number % 2):
                assert time.monotonic() < until
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert client.discovery_errors == {}
        upstream = client._ambassador()._at_work.clusters["up"]
        assert [limits.active for limits in upstream.limits.values()] == [0, 0]
    assert set(results) == {"0", "1"}
    assert settled(before)


def test_tasks_call_while_everything_is_exchanged(files: Files) -> None:
    """The same for tasks of one loop."""
    before = held()
    results: list[Any] = []

    async def main() -> None:
        done = False
        async with AsyncClient(files.policy) as client:

            async def call() -> None:
                while not done:
                    try:
                        results.append((await client.get(BASE)).text)
                    except Exception as error:  # noqa: BLE001 - looked at below
                        results.append(error)

            tasks = [asyncio.ensure_future(call()) for _ in range(CALLERS)]
            for number in range(1, ROUNDS + 1):
                files.put(number)
                async with asyncio.timeout(PATIENCE):
                    while (await client.get(BASE)).text != str(number % 2):
                        pass
            done = True
            await asyncio.gather(*tasks)
            assert client.discovery_errors == {}

    asyncio.run(main())
    assert set(results) == {"0", "1"}
    assert settled(before)
